"""Softcopy presentation states: how a reader left an image (PS3.3 A.33, PS3.4 annex N).

What the state says replaces what the image says: a step that it leaves out is not taken at all.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.angiography_states import ANGIOGRAPHY, AngiographyState
from eir_versions.display_shutters import shutter_of
from eir_versions.errors import StateNotPossibleError, UnrenderableInstanceError
from eir_versions.headers import integer, items, numbers, text, value_of
from eir_versions.instance_file import UNREADABLE, InstanceFile, open_body
from eir_versions.mask_module import Native, Subtraction, stated
from eir_versions.overlays import OVERLAY_GROUPS, FrameWords, layer_of, overlays_of
from eir_versions.pixels import (
    Area,
    FullRange,
    GrayscaleTransform,
    LookupTable,
    Overlay,
    Rescale,
    Shutter,
    Turn,
    Window,
)
from eir_versions.transforms import (
    dataset_is_little,
    may_be_negative,
    padding_of,
    pixel_spacing,
    rescale_of,
    table_item,
    voi_of,
)

GRAYSCALE = "1.2.840.10008.5.1.4.1.1.11.1"
COLOUR = "1.2.840.10008.5.1.4.1.1.11.2"
PSEUDO_COLOUR = "1.2.840.10008.5.1.4.1.1.11.3"
APPLICABLE = frozenset({GRAYSCALE, COLOUR, PSEUDO_COLOUR, ANGIOGRAPHY})
_EVERY_STATE = "1.2.840.10008.5.1.4.1.1.11."
_WHITE = 255
_MOST_REFERENCES = 20_000


@dataclass(frozen=True)
class Reference:
    """An image that a presentation state is for; no frame numbers mean all of its frames."""

    sop_instance_uid: str
    frame_numbers: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class PresentationState:
    """An opened presentation state; `kind` is its SOP class, one of `APPLICABLE`."""

    dataset: Dataset
    kind: str

    @property
    def references(self) -> tuple[Reference, ...]:
        """The images it is for."""
        found = [
            _reference(item)
            for series in items(self.dataset, "ReferencedSeriesSequence")
            for item in items(series, "ReferencedImageSequence")[:_MOST_REFERENCES]
        ]
        return tuple(found[:_MOST_REFERENCES])

    @property
    def created(self) -> str:
        """When it was made, as text that sorts; empty when it does not say."""
        day, time = (text(self.dataset, f"PresentationCreation{part}") for part in ("Date", "Time"))
        return day + time

    def chosen(self, keyword: str, sop_instance_uid: str, frame_number: int) -> list[Dataset]:
        """Return the items of a sequence that are for a frame: those that name it, or no image."""
        return [
            item
            for item in items(self.dataset, keyword)
            if _names(item, sop_instance_uid, frame_number)
        ]


def open_presentation_state(source: BinaryIO) -> PresentationState:
    """Read a presentation state from a Part 10 file.

    Raises:
        UnrenderableInstanceError: unreadable; state_not_applied for a kind that the hub does not
            apply, presentation_state for what is none.
    """
    try:
        dataset = open_body(source).dataset
    except UNREADABLE as error:
        raise UnrenderableInstanceError(reasons.UNREADABLE) from error
    kind = text(dataset, "SOPClassUID")
    if is_left_out(kind):
        raise UnrenderableInstanceError(reasons.STATE_NOT_APPLIED)
    if kind not in APPLICABLE:
        raise UnrenderableInstanceError(reasons.PRESENTATION_STATE)
    return PresentationState(dataset, kind)


def is_left_out(sop_class_uid: str) -> bool:
    """Return whether it is a presentation state of a kind that the hub does not apply.

    Blending, volumes, a Modality LUT by place: said so wherever its pictures are shown as stored,
    never drawn in part.
    """
    return sop_class_uid.startswith(_EVERY_STATE) and sop_class_uid not in APPLICABLE


@dataclass(frozen=True, eq=False)
class FramePresentation:
    """A presentation state as it holds for one frame of one image.

    Raises:
        UnrenderableInstanceError: presentation_state, when it is not for this frame or cannot be;
            state_not_possible, as `StateNotPossibleError`, when it asks for what is not done.
    """

    state: PresentationState
    instance: InstanceFile
    frame_number: int

    def __post_init__(self) -> None:
        is_gray = self.instance.header.layout.samples == 1
        is_gray &= self.instance.header.photometric != "PALETTE COLOR"
        named = any(
            item.sop_instance_uid == self._image_uid
            and self.frame_number in (item.frame_numbers or (self.frame_number,))
            for item in self.state.references
        )
        if not named or is_gray == (self.state.kind == COLOUR):
            raise UnrenderableInstanceError(reasons.PRESENTATION_STATE)
        if isinstance(self._stated, Native):
            raise StateNotPossibleError(self._stated.why)

    @property
    def _image_uid(self) -> str:
        return text(self.instance.dataset, "SOPInstanceUID")

    def transform(self, window: Window | None) -> GrayscaleTransform:
        """Return the grayscale transformation; a reader's own `window` replaces its VOI."""
        dataset, header = self.state.dataset, self.instance.header
        modality = self._modality()
        tables = items(dataset, "PresentationLUTSequence")[:1]
        little = dataset_is_little(dataset)
        return GrayscaleTransform(
            modality,
            window or self._voi(modality) or FullRange(),
            padding_of(self.instance.dataset, header),
            text(dataset, "PresentationLUTShape").upper() == "INVERSE",
            next((table_item(item, signed=False, little=little) for item in tables), None),
        )

    def subtraction(self) -> Subtraction | None:
        """Return which frames are subtracted (C.11.13, C.11.19), None where none are."""
        return None if isinstance(self._stated, Native) else self._stated

    def shutter(self, frame: FrameWords) -> Shutter | None:
        """Return what hides parts of the frame (C.11.12, C.11.20)."""
        is_angiography = self.state.kind == ANGIOGRAPHY
        scope = self._angiography.shutter_scope() if is_angiography else self.state.dataset
        return shutter_of(scope, frame)

    def overlays(self, frame: FrameWords) -> tuple[Overlay, ...]:
        """Return the planes that the state activates; its own hide those of the image's group."""
        state = self.state.dataset
        layers = {
            group: layer_of(state, group)
            for group in OVERLAY_GROUPS
            if (group, 0x3000) not in state
        }
        image = overlays_of(
            self.instance.dataset,
            frame,
            lambda group, _layer: self._level(group, layers.get(group, "")),
        )
        return overlays_of(state, frame, self._level) + image

    def turn(self) -> Turn:
        """Return the spatial transformation (C.10.6)."""
        rotation = integer(self.state.dataset, "ImageRotation", 0) % 360
        flip = text(self.state.dataset, "ImageHorizontalFlip").upper() == "Y"
        return Turn(rotation if rotation in (90, 180, 270) else 0, flip)

    def area(self) -> Area | None:
        """Return the displayed area in the matrix as stored, None where there is none (C.10.4)."""
        for item in self._chosen("DisplayedAreaSelectionSequence"):
            first = _whole(item, "DisplayedAreaTopLeftHandCorner")
            last = _whole(item, "DisplayedAreaBottomRightHandCorner")
            if len(first) == 2 and len(last) == 2:
                (left, right), (top, bottom) = (
                    sorted(pair) for pair in zip(first, last, strict=True)
                )
                return Area(left, top, right, bottom)
        return None

    def spacing(self) -> tuple[float, float] | None:
        """Return (between rows, between columns): the state's, else that of the image."""
        for item in self._chosen("DisplayedAreaSelectionSequence"):
            for keyword in ("PresentationPixelSpacing", "PresentationPixelAspectRatio"):
                values = numbers(item, keyword)
                if len(values) == 2 and all(value > 0 for value in values):
                    return values[0], values[1]
        return pixel_spacing(self.instance.dataset, self.frame_number - 1)

    def annotations(self) -> list[Dataset]:
        """Return the items of the Graphic Annotation Sequence for this frame (C.10.5)."""
        return self._chosen("GraphicAnnotationSequence")

    def layer(self, name: str) -> Dataset:
        """Return the item of a graphic layer (C.10.7), empty where it is not described."""
        layers = items(self.state.dataset, "GraphicLayerSequence")
        return next((item for item in layers if text(item, "GraphicLayer") == name), Dataset())

    def layer_level(self, name: str) -> int:
        """Return the grey of a layer, 0 to 255; white where it recommends none."""
        level = integer(self.layer(name), "GraphicLayerRecommendedDisplayGrayscaleValue", -1)
        return _WHITE if level < 0 else min(level, 65535) >> 8

    def _chosen(self, keyword: str) -> list[Dataset]:
        return self.state.chosen(keyword, self._image_uid, self.frame_number)

    @cached_property
    def _stated(self) -> Subtraction | Native | None:
        if self.state.kind == ANGIOGRAPHY:
            return self._angiography.subtraction()
        return stated(self.state.dataset, self.instance.header, self.frame_number)

    @property
    def _angiography(self) -> AngiographyState:
        return AngiographyState(
            self.state.dataset,
            self.instance,
            self.frame_number,
            lambda keyword, frame: self.state.chosen(keyword, self._image_uid, frame),
        )

    def _modality(self) -> LookupTable | Rescale | None:
        dataset = self.state.dataset
        little, signed = dataset_is_little(dataset), self.instance.header.layout.signed
        for item in items(dataset, "ModalityLUTSequence")[:1]:
            table = table_item(item, signed=signed, little=little)
            if table is not None:
                return table
        return rescale_of(dataset)

    def _voi(self, modality: LookupTable | Rescale | None) -> LookupTable | Window | None:
        signed = self.subtraction() is not None or may_be_negative(self.instance.header, modality)
        little = dataset_is_little(self.state.dataset)
        found = (
            voi_of(item, signed=signed, little=little)
            for item in self._chosen("SoftcopyVOILUTSequence")
        )
        return next((voi for voi in found if voi is not None), None)

    def _level(self, group: int, layer: str) -> int | None:
        shutter = integer(self.state.dataset, "ShutterOverlayGroup", -1)
        return None if not layer or group == shutter else self.layer_level(layer)


def _reference(item: Dataset) -> Reference:
    frames = _whole(item, "ReferencedFrameNumber")
    return Reference(text(item, "ReferencedSOPInstanceUID"), frames)


def _names(item: Dataset, sop_instance_uid: str, frame_number: int) -> bool:
    if value_of(item, "ReferencedImageSequence") is None:
        return True
    return any(
        found.sop_instance_uid == sop_instance_uid
        and frame_number in (found.frame_numbers or (frame_number,))
        for found in map(_reference, items(item, "ReferencedImageSequence"))
    )


def _whole(item: Dataset, keyword: str) -> tuple[int, ...]:
    values = numbers(item, keyword)
    return tuple(int(value) for value in values if abs(value) < 1 << 20)
