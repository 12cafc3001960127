"""The display shutter of an image, a frame or a presentation state (PS3.3 C.7.6.11, C.7.6.15)."""

import math

from pydicom.dataset import Dataset

from eir_versions.headers import integer, numbers, value_of
from eir_versions.overlays import FrameWords, overlay_of
from eir_versions.pixels import Shutter, rgb_from_cielab
from eir_versions.pixels.shutters import Bitmap, Circle, Polygon, Rectangle, Shape
from eir_versions.transforms import frame_scopes

_EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
)
_LARGEST = 1 << 20


def frame_shutter(dataset: Dataset, frame: FrameWords) -> Shutter | None:
    """Return the shutter of a frame: its own, the shared one, or that of the dataset."""
    scopes = frame_scopes(dataset, frame.index, "FrameDisplayShutterSequence")
    return next((found for scope in scopes if (found := shutter_of(scope, frame))), None)


def shutter_of(scope: Dataset, frame: FrameWords) -> Shutter | None:
    """Return the shutter that a dataset itself states; shapes that are unusable are left out."""
    said = value_of(scope, "ShutterShape")
    names = [said] if isinstance(said, str) else list(said or ())
    found = [_shape(str(name).strip().upper(), scope, frame) for name in names]
    shapes = tuple(shape for shape in found if shape is not None)
    if not shapes:
        return None
    level = min(max(integer(scope, "ShutterPresentationValue", 0), 0), 65535) >> 8
    return Shutter(shapes, level, cielab(scope, "ShutterPresentationColorCIELabValue"))


def cielab(scope: Dataset, keyword: str) -> tuple[int, int, int] | None:
    """Return the sRGB colour of a CIELab attribute, None where there is none."""
    values = _whole(numbers(scope, keyword))
    if len(values) != 3 or not all(0 <= value <= 65535 for value in values):
        return None
    return rgb_from_cielab((values[0], values[1], values[2]))


def _shape(name: str, scope: Dataset, frame: FrameWords) -> Shape | None:
    if name == "RECTANGULAR":
        edges = _whole(tuple(edge for keyword in _EDGES for edge in numbers(scope, keyword)[:1]))
        return Rectangle(*edges) if len(edges) == len(_EDGES) else None
    if name == "CIRCULAR":
        center = _whole(numbers(scope, "CenterOfCircularShutter"))
        radius = _whole(numbers(scope, "RadiusOfCircularShutter"))
        usable = len(center) == 2 and len(radius) == 1 and radius[0] > 0
        return Circle(center[0], center[1], radius[0]) if usable else None
    if name == "POLYGONAL":
        flat = _whole(numbers(scope, "VerticesOfThePolygonalShutter"))
        pairs = tuple(zip(flat[::2], flat[1::2], strict=False))
        return Polygon(pairs) if len(pairs) >= 3 else None
    return _bitmap(scope, frame) if name == "BITMAP" else None


def _bitmap(scope: Dataset, frame: FrameWords) -> Bitmap | None:
    group = integer(scope, "ShutterOverlayGroup", -1)
    if not 0x6000 <= group <= 0x601E:
        return None
    plane = overlay_of(scope, group, frame)
    return None if plane is None else Bitmap(plane.row, plane.column, plane.bitmap)


def _whole(values: tuple[float, ...]) -> tuple[int, ...]:
    """The values as integers, nothing where one of them is none."""
    usable = all(math.isfinite(value) and abs(value) < _LARGEST for value in values)
    return tuple(int(value) for value in values) if usable else ()
