"""What a page says of a series whose device recommends digital subtraction (PS3.3 C.7.6.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import image_header
from eir_versions.mask_module import Subtraction, recommended
from viewer_api.pages.slice_facts import header_of
from viewer_api.pages.words import gettext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from image_archive.model import InstanceRecord
    from viewer_api.pages.slice_facts import StoredWindow

_MODALITIES = frozenset({"XA", "RF"})
_MOST_FRAMES = 1000


@dataclass(frozen=True)
class Subtracted:
    """Whether pictures are shown subtracted, and the words for it; empty where nothing asks."""

    done: bool = False
    word: str = ""

    def windows(self, stored: Sequence[StoredWindow]) -> Sequence[StoredWindow]:
        """Return the stored windows that fit: of differences, those around 0, no difference."""
        if not self.done:
            return stored
        fitting = [one for one in stored if abs(one.center) < one.width / 2]
        return fitting if fitting and fitting[0] == stored[0] else ()


def subtraction_of(modality: str, instance: InstanceRecord | None) -> Subtracted:
    """Return what is done of the subtraction that an instance recommends."""
    header = header_of(instance) if instance and modality in _MODALITIES else None
    if instance is None or header is None:
        return Subtracted()
    try:
        checked = image_header(header, instance.transfer_syntax_uid, "PixelData")
    except UnrenderableInstanceError:
        return Subtracted()
    if recommended(header, checked, 1) is None:
        return Subtracted()
    frames = range(1, min(checked.number_of_frames, _MOST_FRAMES) + 1)
    if any(isinstance(recommended(header, checked, one), Subtraction) for one in frames):
        told = gettext(
            "Shown subtracted, as the device recommends; frames without a mask as stored."
        )
        return Subtracted(done=True, word=told)
    return Subtracted(
        word=gettext("The device recommends subtraction, which the hub cannot do: shown as stored.")
    )
