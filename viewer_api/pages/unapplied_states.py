"""Presentation states that the hub does not apply, by what they would do (PS3.3 A.33, PS3.4 N)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_api.pages.words import lazy_gettext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from viewer_api.pages.words import LazyText

_STATE = "1.2.840.10008.5.1.4.1.1.11."
_REFORMATION = lazy_gettext("reformation in another plane")
_VOLUME = lazy_gettext("volume rendering")
_WOULD: Mapping[str, LazyText] = {
    "4": lazy_gettext("blending of two series"),
    "6": _REFORMATION,
    "7": _REFORMATION,
    "8": lazy_gettext("blending of several series"),
    "9": _VOLUME,
    "10": _VOLUME,
    "11": _VOLUME,
    "12": lazy_gettext("a modality LUT that varies from place to place"),
}


def would_show(sop_class_uid: str) -> str:
    """Return what a state of this kind would show, in a few words."""
    known = _WOULD.get(sop_class_uid.removeprefix(_STATE))
    return str(known or lazy_gettext("a kind that the hub does not know"))
