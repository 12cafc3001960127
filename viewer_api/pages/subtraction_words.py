"""What a page says of a series whose device recommends digital subtraction (PS3.3 C.7.6.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import image_header
from eir_versions.mask_module import Subtraction, recommended
from viewer_api.pages.slice_facts import header_of
from viewer_api.pages.words import gettext

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord

_MODALITIES = frozenset({"XA", "RF"})
_MOST_FRAMES = 1000


def subtraction_of(modality: str, instance: InstanceRecord | None) -> str:
    """Return whether the pictures of an instance are shown subtracted; empty where none asks."""
    header = header_of(instance) if instance and modality in _MODALITIES else None
    if instance is None or header is None:
        return ""
    try:
        checked = image_header(header, instance.transfer_syntax_uid, "PixelData")
    except UnrenderableInstanceError:
        return ""
    if recommended(header, checked, 1) is None:
        return ""
    frames = range(1, min(checked.number_of_frames, _MOST_FRAMES) + 1)
    if any(isinstance(recommended(header, checked, one), Subtraction) for one in frames):
        return gettext(
            "Shown subtracted, as the device recommends; frames without a mask as stored."
        )
    return gettext("The device recommends subtraction, which the hub cannot do: shown as stored.")
