"""Which frames digital subtraction takes for a frame (PS3.3 C.7.6.10, C.11.13; PS3.4 N.2.1.2).

What an image recommends and cannot be done is told in words, and the frame is shown as it is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from eir_versions.headers import ImageHeader, integer, items, numbers, text, value_of
from eir_versions.pixels import LookupTable

SUBTRACTED, REVERSED = "SUB", "REV_TID"
SEVERAL_OPERATIONS = "several mask operations are for it"
_MOST_FRAMES = 64
_LARGEST_SHIFT = 4096.0
_X_RAY = "1.2.840.10008.5.1.4.1.1.12."
# What says more about enhanced images than the Mask Module does, and is not followed.
_FINER = {
    "FrameDisplaySequence": "a Frame Display Sequence is not followed",
    "PixelIntensityRelationshipLUTSequence": "a Pixel Intensity Relationship LUT is not followed",
}
_FINER_GROUPS = {
    "FramePixelShiftSequence": "pixel shifts of single frames are not followed",
    "PixelIntensityRelationshipLUTSequence": "a Pixel Intensity Relationship LUT is not followed",
}


@dataclass(frozen=True)
class Subtraction:
    """Frames by number: the mean of `mask`, moved, is taken from the mean of `contrast`.

    `shift` is (rows down, columns to the left), fractions of a pixel included. `visible` is the
    share of the mask that stays in the picture, 0 to 1 (C.8.19.7.1). `tables` lead single frames to
    values logarithmic to the X-ray intensity, instead of the modality step.
    """

    mask: tuple[int, ...]
    contrast: tuple[int, ...]
    shift: tuple[float, float] = (0.0, 0.0)
    visible: float = 0.0
    tables: Mapping[int, LookupTable] = field(default_factory=dict)


@dataclass(frozen=True)
class Native:
    """No subtraction, though one is asked for; `why` in words."""

    why: str


def recommended(
    dataset: Dataset, header: ImageHeader, frame_number: int
) -> Subtraction | Native | None:
    """Return the subtraction that an image recommends for a frame; None where it recommends none.

    It takes place where values are logarithmic to the X-ray intensity: stored so (LOG), or made so
    by a Modality LUT (LIN).
    """
    if text(dataset, "RecommendedViewingMode").upper() != SUBTRACTED:
        return None
    why = _unsuitable(dataset, header, frame_number)
    if why:
        return Native(why)
    operations = items(dataset, "MaskSubtractionSequence")
    found = [item for item in operations if covers(item, "ApplicableFrameRange", frame_number)]
    if len(found) != 1:
        return Native(SEVERAL_OPERATIONS if found else "no mask operation for it")
    return subtraction_of(found[0], header, frame_number)


def stated(state: Dataset, header: ImageHeader, frame_number: int) -> Subtraction | Native | None:
    """Return the subtraction that a presentation state has for a frame; None where it has none."""
    found = items(state, "MaskSubtractionSequence")
    if not found or text(state, "RecommendedViewingMode").upper() not in ("", SUBTRACTED):
        return None
    if len(found) > 1:
        return Native(SEVERAL_OPERATIONS)
    if text(found[0], "MaskOperation").upper() == REVERSED:
        return Native(f"mask operation {REVERSED} is not for such a state")
    return subtraction_of(found[0], header, frame_number)


def is_logarithmic(dataset: Dataset) -> bool:
    """Return whether stored values are logarithmic; a Modality LUT then leads away from that."""
    return text(dataset, "PixelIntensityRelationship").upper() == "LOG"


def _unsuitable(dataset: Dataset, header: ImageHeader, frame_number: int) -> str:
    if header.layout.samples != 1 or header.photometric == "PALETTE COLOR":
        return "the image is in colour"
    groups = items(dataset, "SharedFunctionalGroupsSequence")[:1]
    groups += items(dataset, "PerFrameFunctionalGroupsSequence")[frame_number - 1 : frame_number]
    for scopes, finer in (([dataset], _FINER), (groups, _FINER_GROUPS)):
        for keyword, words in finer.items():
            if any(value_of(scope, keyword) is not None for scope in scopes):
                return words
    relation = text(dataset, "PixelIntensityRelationship").upper()
    is_x_ray = text(dataset, "SOPClassUID").startswith(_X_RAY)
    has_table = bool(items(dataset, "ModalityLUTSequence"))
    if relation == "LOG" or (relation == "LIN" and has_table) or not (relation or is_x_ray):
        return ""
    return f"values are not logarithmic to the X-ray intensity ({relation or 'nothing said'})"


def covers(item: Dataset, keyword: str, frame_number: int) -> bool:
    """Return whether a frame lies in one of the pairs of a range; without one, every frame does."""
    ends = numbers(item, keyword)
    pairs = zip(ends[::2], ends[1::2], strict=False)
    return not ends or any(first <= frame_number <= last for first, last in pairs)


def subtraction_of(item: Dataset, header: ImageHeader, frame_number: int) -> Subtraction | Native:
    """Return what an item of the Mask Subtraction Sequence, which is for a frame, does to it."""
    operation = text(item, "MaskOperation").upper()
    averaged = integer(item, "ContrastFrameAveraging", 1)
    shift = shift_of(item)
    if operation == "AVG_SUB":
        mask = tuple(int(one) for one in numbers(item, "MaskFrameNumbers") if math.isfinite(one))
    elif operation == "TID" and averaged == 1:
        mask = (frame_number - integer(item, "TIDOffset", 1),)
    elif operation == REVERSED and averaged == 1 and numbers(item, "ApplicableFrameRange"):
        mask = (_reversed(item, frame_number) - integer(item, "TIDOffset", 1),)
    else:
        means = f" of means of {averaged} frames" if averaged != 1 else ""
        return Native(f"mask operation {operation[:16] or 'without a name'}{means} is not applied")
    contrast = tuple(range(frame_number, frame_number + max(0, min(averaged, _MOST_FRAMES + 1))))
    if shift is None:
        return Native("its Mask Sub-pixel Shift is no shift")
    if not mask or not contrast or len(mask) + len(contrast) > _MOST_FRAMES:
        return Native(f"none, or more than {_MOST_FRAMES}, frames to take the mean of")
    if not 1 <= min(*mask, *contrast) <= max(*mask, *contrast) <= header.number_of_frames:
        return Native("a frame that it takes does not exist")
    return Subtraction(mask, contrast, shift)


def _reversed(item: Dataset, frame_number: int) -> int:
    """Where REV_TID counts from: for each frame further on one further back (C.7.6.10.1.1)."""
    first = numbers(item, "ApplicableFrameRange")[0]
    return 2 * int(first) - frame_number if math.isfinite(first) else -1


def shift_of(item: Dataset) -> tuple[float, float] | None:
    """Return the shift of a mask, (rows down, columns to the left); None for what is none."""
    values = numbers(item, "MaskSubPixelShift")
    if not values:
        return 0.0, 0.0
    usable = len(values) == 2 and all(abs(one) <= _LARGEST_SHIFT for one in values)
    return (values[0], values[1]) if usable else None
