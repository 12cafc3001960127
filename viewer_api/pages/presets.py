"""Window presets of a series (PS3.3 C.11.2): those it brings, then those of its modality.

CT has a unit, so fixed windows mean the same everywhere. Elsewhere only the stored window knows
what is sensible: the presets are steps from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from viewer_api.pages.words import lazy_gettext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from viewer_api.pages.slice_facts import StoredWindow

MOST_STORED = 4
_LONGEST_WORD = 24

# Centre and width in HU of the windows radiologists switch between.
CT_WINDOWS = (
    (lazy_gettext("Soft tissue"), "40,400,linear"),
    (lazy_gettext("Lung"), "-600,1500,linear"),
    (lazy_gettext("Bone"), "300,1500,linear"),
    (lazy_gettext("Brain"), "35,80,linear"),
    (lazy_gettext("Liver"), "60,160,linear"),
)
# Factor of the width, and how far the centre moves in widths: a lower centre is brighter.
STEPS = (
    (lazy_gettext("More contrast"), 0.6, 0.0),
    (lazy_gettext("Less contrast"), 1.7, 0.0),
    (lazy_gettext("Brighter"), 1.0, -0.25),
    (lazy_gettext("Darker"), 1.0, 0.25),
)


@dataclass(frozen=True)
class Preset:
    """One window: its word and its value as DICOMweb writes it (PS3.18 8.3.5.1.4)."""

    word: str
    value: str


def presets_for(modality: str, stored: Sequence[StoredWindow]) -> tuple[Preset, ...]:
    """Return the presets of a series of `modality` whose middle frame brings the `stored` windows.

    Several stored windows are alternatives; the first is what "as stored" already shows.
    """
    own = tuple(
        Preset(one.explanation[:_LONGEST_WORD] or f"{one.center:g} / {one.width:g}", one.value)
        for one in stored[1 : 1 + MOST_STORED]
    )
    if modality == "CT":
        return own + tuple(Preset(str(word), value) for word, value in CT_WINDOWS)
    if not stored:
        return ()
    first = stored[0]
    steps = (
        (word, first.center + first.width * shift, max(first.width * factor, 1.0))
        for word, factor, shift in STEPS
    )
    return own + tuple(
        Preset(str(word), f"{center:.7g},{width:.7g},{first.function}")
        for word, center, width in steps
        if math.isfinite(center) and math.isfinite(width)
    )
