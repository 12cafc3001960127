"""XA/XRF presentation states, mask and shutter of single frames (PS3.3 A.33.6, PS3.4 N.2.5).

C.11.19 says what is subtracted, C.11.20 what is hidden, C.11.21 how much of a mask is seen. A state
that asks for anything that is not done here is not applied at all; the words say what.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from eir_versions.display_shutters import shutter_of
from eir_versions.headers import integer, items, numbers, text, value_of
from eir_versions.instance_file import InstanceFile
from eir_versions.mask_module import (
    SEVERAL_OPERATIONS,
    SUBTRACTED,
    Native,
    Subtraction,
    covers,
    shift_of,
    subtraction_of,
)
from eir_versions.overlays import FrameWords
from eir_versions.pixels import LookupTable, Rescale
from eir_versions.transforms import dataset_is_little, frame_scopes, rescale_of, table_item

ANGIOGRAPHY = "1.2.840.10008.5.1.4.1.1.11.5"
_X_RAY = frozenset(f"1.2.840.10008.5.1.4.1.1.12.{tail}" for tail in ("1", "1.1", "2", "2.1"))
_TABLES = "PixelIntensityRelationshipLUTSequence"
_IMAGES = "ReferencedImageSequence"
_SHUTTERS = "FrameDisplayShutterSequence"
_NATIVE = "NAT"
_WHOLE = 100.0


class _NotDoneError(Exception):
    """The state asks for what is not done; the message says for what."""


@dataclass(frozen=True, eq=False)
class AngiographyState:
    """A state as it holds for one frame of one image.

    `chosen` gives the items of one of its sequences that are for the image and a frame of it.
    """

    state: Dataset
    instance: InstanceFile
    frame_number: int
    chosen: Callable[[str, int], list[Dataset]]

    def subtraction(self) -> Subtraction | Native | None:
        """Return what is subtracted, None for a frame that is shown as it is by the state's will.

        `Native` says why the state as a whole cannot be applied to the frame.
        """
        try:
            self._check()
            return self._subtraction()
        except _NotDoneError as error:
            return Native(str(error))

    def shutter_scope(self) -> Dataset:
        """Return what holds the attributes of the frame's shutter, if it has one (C.11.20)."""
        found = self._items(_SHUTTERS)
        return found[0] if found else self.state

    def _items(self, keyword: str) -> list[Dataset]:
        return self.chosen(keyword, self.frame_number)

    def _check(self) -> None:
        if text(self.instance.dataset, "SOPClassUID") not in _X_RAY:
            raise _NotDoneError("the image is none of X-ray angiography or fluoroscopy")
        modality = rescale_of(self.state)
        if items(self.state, "ModalityLUTSequence") or modality not in (None, Rescale()):
            raise _NotDoneError("it has a modality step, which such states do not have")
        if any(percent != 0 for percent in self._display("DisplayFilterPercentage")):
            raise _NotDoneError("edge enhancement is not done")
        said = [text(one, "RecommendedViewingMode").upper() for one in self._displays()]
        if any(mode not in ("", self._mode) for mode in said):
            raise _NotDoneError("it says two viewing modes for the frame")
        self._check_shutter()

    def _check_shutter(self) -> None:
        scopes = self._items(_SHUTTERS)
        scopes += [self.state] if value_of(self.state, "ShutterShape") is not None else []
        if len(scopes) > 1:
            raise _NotDoneError("several shutters are for the frame")
        words = FrameWords(self.instance.header, self.frame_number - 1)
        for scope in scopes:
            said = value_of(scope, "ShutterShape") or ()
            found = shutter_of(scope, words)
            if found is None or len(found.shapes) != (1 if isinstance(said, str) else len(said)):
                raise _NotDoneError("a shape of its shutter is none")

    @property
    def _mode(self) -> str:
        return text(self.state, "RecommendedViewingMode").upper()

    def _displays(self) -> Iterator[Dataset]:
        """The items on display that are for the frame, first those for all frames (C.11.21)."""
        for item in self._items("MultiFramePresentationSequence"):
            yield item
            for one in items(item, "FrameDisplaySequence"):
                first, last = integer(one, "StartTrim", 1), integer(one, "StopTrim", 1 << 30)
                if first <= self.frame_number <= last:
                    yield one

    def _display(self, keyword: str) -> set[float]:
        return {value for one in self._displays() for value in numbers(one, keyword)}

    def _subtraction(self) -> Subtraction | None:
        ranged = self._items("MaskSubtractionSequence")
        if any(not _is_range(one, "ApplicableFrameRange") for one in ranged):
            raise _NotDoneError("a range of frames is none")
        if self._is_for_several and any(_IMAGES not in one for one in ranged):
            raise _NotDoneError("a mask operation does not say which of several images it is for")
        found = [one for one in ranged if covers(one, "ApplicableFrameRange", self.frame_number)]
        if self._mode not in (SUBTRACTED, _NATIVE) and found:
            raise _NotDoneError("it does not say whether to subtract")
        if len(found) > 1:
            raise _NotDoneError(SEVERAL_OPERATIONS)
        operation = text(found[0], "MaskOperation").upper() if found else "NONE"
        if self._mode != SUBTRACTED or operation == "NONE" or not self._is_meant(found[0]):
            self._check_as_it_is(found)
            return None
        subtraction = subtraction_of(found[0], self.instance.header, self.frame_number)
        if isinstance(subtraction, Native):
            raise _NotDoneError(subtraction.why)
        frames = {*subtraction.mask, *subtraction.contrast}
        tables = {number: self._table(found[0], number) for number in frames}
        return replace(
            subtraction,
            shift=self._shift(found[0], subtraction.shift),
            visible=self._visible(),
            tables={number: table for number, table in tables.items() if table is not None},
        )

    @property
    def _is_for_several(self) -> bool:
        series = items(self.state, "ReferencedSeriesSequence")
        return sum(len(items(one, _IMAGES)) for one in series) > 1

    def _is_meant(self, item: Dataset) -> bool:
        """Whether a range that is not said reaches the frame (C.7.6.10.1.1)."""
        if numbers(item, "ApplicableFrameRange"):
            return True
        count, operation = self.instance.header.number_of_frames, text(item, "MaskOperation")
        if operation.upper() == "TID":
            return 1 <= self.frame_number - integer(item, "TIDOffset", 1) <= count
        return self.frame_number <= count - integer(item, "ContrastFrameAveraging", 1) + 1

    def _check_as_it_is(self, operations: list[Dataset]) -> None:
        """A table is for subtraction; what it would do to a frame shown as it is, is not said."""
        scopes = operations or [Dataset()]
        if any(self._tables(scope, self.frame_number) for scope in scopes):
            raise _NotDoneError("a table to logarithms for a frame that is not subtracted")

    def _tables(self, operation: Dataset, frame_number: int) -> list[Dataset]:
        found = items(operation, _TABLES) or self.chosen(_TABLES, frame_number)
        if any(not _is_range(one, "LUTFrameRange") for one in found):
            raise _NotDoneError("a range of frames is none")
        return [one for one in found if covers(one, "LUTFrameRange", frame_number)]

    def _table(self, operation: Dataset, frame_number: int) -> LookupTable | None:
        """The table that leads a frame to logarithms, None where its values are such already."""
        found = self._tables(operation, frame_number)
        is_logarithmic = self._relation(frame_number) == "LOG"
        if is_logarithmic and not found:
            return None
        if is_logarithmic or len(found) != 1:
            raise _NotDoneError(
                f"frame {frame_number} has {len(found)} tables to logarithms of the X-ray intensity"
                f" for values that are {self._relation(frame_number) or 'of no known relation'}"
            )
        layout, little = self.instance.header.layout, dataset_is_little(self.state)
        table = table_item(found[0], signed=layout.signed, little=little)
        if table is None or text(found[0], "LUTFunction").upper() != "TO_LOG":
            raise _NotDoneError("a table that leads to no logarithms")
        return table

    def _relation(self, frame_number: int) -> str:
        """Pixel Intensity Relationship of a frame, by functional groups where there are such."""
        dataset, index = self.instance.dataset, frame_number - 1
        scopes = frame_scopes(dataset, index, "FramePixelDataPropertiesSequence")
        said = (text(scope, "PixelIntensityRelationship").upper() for scope in scopes)
        return next((one for one in said if one), "")

    def _shift(self, operation: Dataset, plain: tuple[float, float]) -> tuple[float, float]:
        """The last shift for the frame, of its whole matrix; for parts of it none is done."""
        ranged = items(operation, "PixelShiftSequence")
        if any(not _is_range(one, "PixelShiftFrameRange") for one in ranged):
            raise _NotDoneError("a range of frames is none")
        found = [one for one in ranged if covers(one, "PixelShiftFrameRange", self.frame_number)]
        if len(found) > 1 or (ranged and any(plain)):
            raise _NotDoneError("several pixel shifts are for it")
        if not found:
            return plain
        regions = items(found[0], "RegionPixelShiftSequence")
        if not regions or value_of(regions[-1], "VerticesOfTheRegion") is not None:
            raise _NotDoneError("pixel shifts of parts of a frame are not done")
        shift = shift_of(regions[-1])
        if shift is None or not numbers(regions[-1], "MaskSubPixelShift"):
            raise _NotDoneError("its Mask Sub-pixel Shift is no shift")
        return shift

    def _visible(self) -> float:
        said = self._display("MaskVisibilityPercentage") or {0.0}
        percent = said.pop()
        if said or not 0 <= percent <= _WHOLE:
            raise _NotDoneError("its Mask Visibility Percentage is none")
        return percent / _WHOLE


def _is_range(item: Dataset, keyword: str) -> bool:
    """Whether it holds pairs of first and last frame, or nothing at all."""
    ends = numbers(item, keyword)
    pairs = zip(ends[::2], ends[1::2], strict=False)
    sound = all(math.isfinite(end) for end in ends) and all(one <= other for one, other in pairs)
    return len(ends) % 2 == 0 and sound
