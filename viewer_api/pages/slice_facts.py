"""Where in the body a frame lies and how it was stored: what a viewer says beside a picture.

Image Plane (PS3.3 C.7.6.2), Plane Position and Orientation of enhanced objects (C.7.6.16.2.3, .4),
Patient Orientation (C.7.6.1.1.1), cine rate (C.7.6.5), lossy compression (C.7.6.1.1.5).
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub_kernel.errors import HubError
from viewer_api.dicomweb.ready_metadata import ready_attributes
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.pages.json_header import JsonHeader
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom.dataset import Dataset

    from image_archive.model import InstanceRecord

    Header = Dataset | JsonHeader

Vector = tuple[float, float, float]
Edges = tuple[str, str, str, str]

# The direction each axis of the patient points to, and its opposite (LPS).
_AXES = (("L", "R"), ("P", "A"), ("H", "F"))
_OPPOSITE = {letter: other for pair in _AXES for letter, other in (pair, pair[::-1])}
# An oblique edge gets a second letter when it leans at least 15 degrees that way.
_LEANING = math.sin(math.radians(15))
_FUNCTIONS = {"LINEAR": "linear", "LINEAR_EXACT": "linear-exact", "SIGMOID": "sigmoid"}
_LARGEST = 2.0**31
_FASTEST_PER_S = 120.0
_BAD_VALUE = (ValueError, TypeError, AttributeError, KeyError, OverflowError, NotImplementedError)


@dataclass(frozen=True)
class StoredWindow:
    """One of the windows an image brings; `function` as DICOMweb names it."""

    center: float
    width: float
    function: str
    explanation: str = ""

    @property
    def value(self) -> str:
        """The value of the `window` parameter."""
        return f"{self.center:.7g},{self.width:.7g},{self.function}"


@dataclass(frozen=True)
class Plane:
    """Position of a frame's first pixel in mm and the directions of its rows and columns (LPS)."""

    position: Vector
    row: Vector
    column: Vector

    @property
    def normal(self) -> Vector:
        """The direction across the frame."""
        (a, b, c), (d, e, f) = self.row, self.column
        return (b * f - c * e, c * d - a * f, a * e - b * d)

    @property
    def along(self) -> float:
        """How far along its normal the frame lies, in mm."""
        return sum(one * other for one, other in zip(self.position, self.normal, strict=True))


@dataclass(frozen=True)
class FrameFacts:
    """What is known of one frame; `edges` names the body's side at left, right, top and bottom."""

    plane: Plane | None
    edges: Edges | None


@dataclass(frozen=True)
class InstanceFacts:
    """What an instance's header says; `lossy_ratio` is None where the device lost nothing.

    It is 0 where it did lose something and does not say how much.
    """

    frames: tuple[FrameFacts, ...]
    frame_of_reference_uid: str = ""
    rate_per_s: float | None = None
    lossy_ratio: float | None = None
    windows: tuple[StoredWindow, ...] = ()


def facts_of(instance: InstanceRecord) -> InstanceFacts:
    """Return what the stored header of `instance` says; what cannot be read is not known."""
    return _known(header_of(instance), instance)


def facts_of_series(instances: Sequence[InstanceRecord]) -> list[InstanceFacts]:
    """Return the same of many instances of one series, from their ready metadata where it is."""
    ready = ready_attributes(services().archive.backend, instances)
    return [
        facts_of(one) if attributes is None else _known(JsonHeader(attributes), one)
        for one, attributes in zip(instances, ready, strict=True)
    ]


def _known(header: Header | None, instance: InstanceRecord) -> InstanceFacts:
    nothing = InstanceFacts((FrameFacts(None, None),) * instance.number_of_frames)
    if header is None:
        return nothing
    try:
        return _facts(header, instance.number_of_frames)
    except _BAD_VALUE:
        return nothing


def header_of(instance: InstanceRecord) -> Dataset | None:
    """Return the dataset without its pixels, None when it cannot be read or weighs too much."""
    backend = services().archive.backend
    try:
        with closing(backend.open(instance.storage_key)) as file:
            return read_object(file, instance.transfer_syntax_uid).dataset
    except (HubError, OSError):
        return None


def edges_of(row: Vector, column: Vector) -> Edges:
    """Return the letters at left, right, top and bottom of a picture with these directions."""
    right, bottom = _letters(row), _letters(column)
    return _turned(right), right, _turned(bottom), bottom


def _facts(header: Header, frame_count: int) -> InstanceFacts:
    sides = _sides(header)
    shared = _items(header, "SharedFunctionalGroupsSequence")[:1]
    per_frame = _items(header, "PerFrameFunctionalGroupsSequence")
    frames = []
    for number in range(frame_count):
        plane = _plane([*per_frame[number : number + 1], *shared], header)
        frames.append(FrameFacts(plane, edges_of(plane.row, plane.column) if plane else sides))
    return InstanceFacts(
        frames=tuple(frames),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID", "") or ""),
        rate_per_s=_rate(header),
        lossy_ratio=_lossy_ratio(header),
        windows=_windows([*per_frame[frame_count // 2 :][:1], *shared], header),
    )


def _plane(groups: Sequence[Header], header: Header) -> Plane | None:
    position = _macro_numbers(groups, "PlanePositionSequence", header, "ImagePositionPatient")
    turn = _macro_numbers(groups, "PlaneOrientationSequence", header, "ImageOrientationPatient")
    if len(position) != 3 or len(turn) != 6:
        return None
    plane = Plane(_vector(position), _vector(turn[:3]), _vector(turn[3:]))
    # Directions that are no directions place nothing.
    return plane if math.hypot(*plane.normal) > 0.5 else None


def _vector(values: Sequence[float]) -> Vector:
    return values[0], values[1], values[2]


def _macro_numbers(
    groups: Sequence[Header], macro: str, header: Header, keyword: str
) -> list[float]:
    for scope in _scopes(groups, macro, header):
        values = _numbers(scope, keyword)
        if values:
            return values
    return []


def _scopes(groups: Sequence[Header], macro: str, header: Header) -> Iterator[Header]:
    for group in groups:
        yield from _items(group, macro)[:1]
    yield header


def _items(dataset: Header, keyword: str) -> list[Header]:
    return list(dataset.get(keyword) or ())


def _numbers(dataset: Header, keyword: str) -> list[float]:
    values = [float(value) for value in _values(dataset.get(keyword))]
    return values if all(math.isfinite(value) for value in values) else []


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)


def _letters(direction: Vector) -> str:
    ordered = sorted(zip(direction, _AXES, strict=True), key=lambda pair: -abs(pair[0]))
    return "".join(
        positive if value > 0 else negative
        for value, (positive, negative) in ordered
        if abs(value) > _LEANING
    )[:2]


def _turned(letters: str) -> str:
    return "".join(_OPPOSITE[letter] for letter in letters)


def _sides(header: Header) -> Edges | None:
    """The letters of Patient Orientation: where rows and columns point to."""
    told = [str(value).strip().upper() for value in _values(header.get("PatientOrientation"))]
    if len(told) != 2 or not all(told) or any(set(text) - _OPPOSITE.keys() for text in told):
        return None
    right, bottom = (text[:2] for text in told)
    return _turned(right), right, _turned(bottom), bottom


def _rate(header: Header) -> float | None:
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        told = _numbers(header, keyword)
        if told and 0 < told[0] <= _FASTEST_PER_S:
            return told[0]
    frame_ms = _numbers(header, "FrameTime")
    if frame_ms and 1000 / _FASTEST_PER_S <= frame_ms[0] <= 10_000:
        return round(1000 / frame_ms[0], 3)
    return None


def _lossy_ratio(header: Header) -> float | None:
    if str(header.get("LossyImageCompression", "") or "").strip() != "01":
        return None
    told = _numbers(header, "LossyImageCompressionRatio")
    # Several compressions, one after the other, multiply (C.7.6.1.1.5.2).
    return math.prod(told) if told and all(1 <= one < _LARGEST for one in told) else 0.0


def _windows(groups: Sequence[Header], header: Header) -> tuple[StoredWindow, ...]:
    for scope in _scopes(groups, "FrameVOILUTSequence", header):
        centers, widths = _numbers(scope, "WindowCenter"), _numbers(scope, "WindowWidth")
        if not centers or _items(scope, "VOILUTSequence"):
            continue
        words = [str(one) for one in _values(scope.get("WindowCenterWidthExplanation"))]
        words += [""] * len(centers)
        function = _FUNCTIONS.get(str(scope.get("VOILUTFunction", "") or "LINEAR").upper())
        if function is None:
            return ()
        return tuple(
            StoredWindow(center, width, function, word.strip())
            for center, width, word in zip(centers, widths, words, strict=False)
            if width >= 1 and max(abs(center), width) < _LARGEST
        )
    return ()
