"""Graphics and text of a presentation state, drawn onto the finished picture (PS3.3 C.10.5)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from eir_versions.display_shutters import cielab
from eir_versions.headers import items, numbers, text
from eir_versions.pixels import Area, Turn
from eir_versions.pixels.model import PictureArray
from eir_versions.presentation_states import FramePresentation
from eir_versions.watermark import available_font, font_of_size

_MOST_OBJECTS, _MOST_POINTS, _LONGEST_TEXT = 500, 5000, 1024
_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "wqy-microhei.ttc", "DejaVuSans.ttf")
_STEPS = 16
_ELLIPSE_STEPS = 180
_FAR = 1e6

Point = tuple[float, float]
Colour = int | tuple[int, int, int]


@dataclass(frozen=True)
class Placement:
    """Where the matrix of `size` = (rows, columns) came to lie: turned, cut to `area`, scaled.

    `area` is in the turned matrix; `shown` is (width, height) of the finished picture.
    """

    size: tuple[int, int]
    turn: Turn
    area: Area
    shown: tuple[int, int]

    def point(self, x: float, y: float, units: str) -> Point:
        """Return the pixel of the picture for a point in PIXEL, or else DISPLAY, units."""
        width = self.area.right - self.area.left + 1
        height = self.area.bottom - self.area.top + 1
        if units != "DISPLAY":
            x, y = self.turn.point(x, y, self.size)
            x, y = (x - (self.area.left - 1)) / width, (y - (self.area.top - 1)) / height
        return x * self.shown[0] - 0.5, y * self.shown[1] - 0.5


def draw_annotations(
    picture: PictureArray, presentation: FramePresentation, placement: Placement
) -> PictureArray:
    """Return the picture with the state's graphics and texts in the greys of their layers."""
    annotations = presentation.annotations()
    if not annotations:
        return picture
    image = Image.fromarray(picture)
    artist = _Artist(image, placement)
    layers = sorted(annotations, key=lambda item: _order(presentation, item))
    for item in layers:
        artist.colour = _colour(presentation, text(item, "GraphicLayer"), image.mode)
        for graphic in items(item, "GraphicObjectSequence")[:_MOST_OBJECTS]:
            artist.draw_graphic(graphic)
        for label in items(item, "TextObjectSequence")[:_MOST_OBJECTS]:
            artist.draw_text(label)
    return np.asarray(image)


class _Artist:
    """Draws on one picture, in one colour at a time."""

    def __init__(self, image: Image.Image, placement: Placement) -> None:
        self.colour: Colour = 255
        self._draw = ImageDraw.Draw(image)
        self._placement = placement
        self._width = max(1, round(min(image.size) / 512))
        self._font = font_of_size(available_font(_FONTS), max(10, round(min(image.size) / 40)))

    def draw_graphic(self, graphic: Dataset) -> None:
        """Draw one item of the Graphic Object Sequence; an unusable one is left out."""
        shape = _SHAPES.get(text(graphic, "GraphicType").upper())
        points = _points(graphic, "GraphicData")
        units = text(graphic, "GraphicAnnotationUnits").upper()
        if shape is None or not points or units not in ("PIXEL", "DISPLAY"):
            return
        outlines = shape(points)
        filled = text(graphic, "GraphicFilled").upper() == "Y"
        for outline in outlines:
            placed = [self._placement.point(x, y, units) for x, y in outline]
            if not all(abs(part) < _FAR for point in placed for part in point):
                return
            where = [(round(x), round(y)) for x, y in placed]
            if len(where) == 1:
                self._dot(where[0])
            elif filled and where[0] == where[-1]:
                self._draw.polygon(where, fill=self.colour)
            else:
                self._draw.line(where, fill=self.colour, width=self._width)

    def draw_text(self, label: Dataset) -> None:
        """Write a text at its bounding box, or beside its anchor point."""
        written = text(label, "UnformattedTextValue")[:_LONGEST_TEXT].replace("\r", "")
        box = _points(label, "BoundingBoxTopLeftHandCorner")
        corner = box or _points(label, "AnchorPoint")
        units = text(label, f"{'BoundingBox' if box else 'AnchorPoint'}AnnotationUnits").upper()
        if not written or not corner or units not in ("PIXEL", "DISPLAY"):
            return
        x, y = self._placement.point(*corner[0], units)
        if max(abs(x), abs(y)) < _FAR:
            self._draw.multiline_text((x, y), written, fill=self.colour, font=self._font)

    def _dot(self, point: tuple[int, int]) -> None:
        x, y = point
        reach = self._width
        self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=self.colour)


def _order(presentation: FramePresentation, item: Dataset) -> float:
    order = numbers(presentation.layer(text(item, "GraphicLayer")), "GraphicLayerOrder")
    return order[0] if order and math.isfinite(order[0]) else 0.0


def _colour(presentation: FramePresentation, layer: str, mode: str) -> Colour:
    level = presentation.layer_level(layer)
    if mode == "L":
        return level
    said = cielab(presentation.layer(layer), "GraphicLayerRecommendedDisplayCIELabValue")
    return said or (level, level, level)


def _points(item: Dataset, keyword: str) -> list[Point]:
    flat = numbers(item, keyword)[: 2 * _MOST_POINTS]
    pairs = list(zip(flat[::2], flat[1::2], strict=False))
    return pairs if all(math.isfinite(part) for pair in pairs for part in pair) else []


def _single(points: list[Point]) -> Iterator[Sequence[Point]]:
    yield from ([point] for point in points)


def _line(points: list[Point]) -> Iterator[Sequence[Point]]:
    yield points


def _curve(points: list[Point]) -> Iterator[Sequence[Point]]:
    """A Catmull-Rom spline: smooth, and through every point as C.10.5.1.1 asks."""
    closed = points[0] == points[-1] and len(points) > 3
    before, after = (points[-2], points[1]) if closed else (points[0], points[-1])
    knots = np.array([before, *points, after])
    steps = np.linspace(0.0, 1.0, _STEPS, endpoint=False)[:, None]
    out: list[Point] = []
    for p0, p1, p2, p3 in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        a, b, c = 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3, p2 - p0
        spline = p1 + 0.5 * (c * steps + a * steps**2 + b * steps**3)
        out += [(float(x), float(y)) for x, y in spline]
    yield [*out, points[-1]]


def _circle(points: list[Point]) -> Iterator[Sequence[Point]]:
    """Its centre and a point on it."""
    if len(points) == 2:
        radius = math.dist(points[0], points[1])
        yield _ellipse_of(points[0], (radius, 0.0), (0.0, radius))


def _ellipse(points: list[Point]) -> Iterator[Sequence[Point]]:
    """The ends of its major axis, then those of its minor axis."""
    if len(points) == 4:
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
        major, minor = ((bx - ax) / 2, (by - ay) / 2), ((dx - cx) / 2, (dy - cy) / 2)
        yield _ellipse_of(((ax + bx) / 2, (ay + by) / 2), major, minor)


def _ellipse_of(center: Point, major: Point, minor: Point) -> list[Point]:
    angles = [2 * math.pi * step / _ELLIPSE_STEPS for step in range(_ELLIPSE_STEPS)]
    outline = [
        (
            center[0] + math.cos(angle) * major[0] + math.sin(angle) * minor[0],
            center[1] + math.cos(angle) * major[1] + math.sin(angle) * minor[1],
        )
        for angle in angles
    ]
    return [*outline, outline[0]]


_SHAPES: dict[str, Callable[[list[Point]], Iterator[Sequence[Point]]]] = {
    "POINT": _single,
    "MULTIPOINT": _single,
    "POLYLINE": _line,
    "INTERPOLATED": _curve,
    "CIRCLE": _circle,
    "ELLIPSE": _ellipse,
}
