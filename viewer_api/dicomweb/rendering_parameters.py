"""Reads the query parameters of a rendered request (PS3.18 8.3.5.1)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from eir_versions.pixels import Window, WindowFunction
from viewer_api.errors import BadQueryError

MAX_VIEWPORT = 8_192
_FUNCTIONS = {
    "linear": WindowFunction.LINEAR,
    "linear-exact": WindowFunction.LINEAR_EXACT,
    "sigmoid": WindowFunction.SIGMOID,
}
_ANNOTATIONS = frozenset({"patient", "technique"})
_PROFILES = {"": False, "no": False, "yes": True, "srgb": True}
_LARGEST_WINDOW = 2.0**31
_PLACE = re.compile(r"-?[0-9]{1,6}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True)
class SourceRegion:
    """A part of the image; a width or height of 0 reaches to the edge, a negative one flips it.

    `whole` is the size of the image in the same units; None are pixels of what is shown.
    """

    left: float
    top: float
    width: float
    height: float
    whole: tuple[float, float] | None = None


@dataclass(frozen=True)
class RenderingParameters:
    """`window` replaces the stored VOI; `viewport` is (width, height) in pixels.

    `region` is the part of the image that fills it, None for all. `annotation` holds `patient`,
    `technique` or both. `colour_profile` says that sRGB, which the pixels are in, is embedded.
    `presentation_state_uid` names the state to draw with.
    """

    window: Window | None
    viewport: tuple[int, int] | None
    quality: int | None
    region: SourceRegion | None = None
    annotation: frozenset[str] = frozenset()
    colour_profile: bool = False
    presentation_state_uid: str = ""


def thumbnail_viewport(parameters: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the size a thumbnail is to fit into, None where nothing is said.

    Raises:
        BadQueryError: it is malformed, out of bounds, or names a region.
    """
    text = parameters.get("viewport", "")
    if text.count(",") > 1:
        raise BadQueryError("viewport of a thumbnail must be width,height")
    return _viewport(text)


def parse_rendering(
    parameters: Mapping[str, str], presentation_state_uid: str = ""
) -> RenderingParameters:
    """Return what the decoded query `parameters` ask for; unknown ones are ignored.

    The state to draw with is not among them: who names it looks it up first.

    Raises:
        BadQueryError: a value is malformed or out of bounds.
    """
    return RenderingParameters(
        window=_window(parameters.get("window", "")),
        viewport=_viewport(parameters.get("viewport", "")),
        quality=_quality(parameters.get("quality", "")),
        region=_region(parameters.get("viewport", "")),
        annotation=_annotation(parameters.get("annotation", "")),
        colour_profile=_colour_profile(parameters.get("iccprofile", "")),
        presentation_state_uid=presentation_state_uid,
    )


def _window(text: str) -> Window | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) not in {2, 3}:
        raise BadQueryError("window must be centre,width or centre,width,function")
    function = _FUNCTIONS.get(parts[2].strip().lower() if len(parts) == 3 else "linear")
    if function is None:
        raise BadQueryError("window: the function is one of linear, linear-exact, sigmoid")
    centre, width = _number(parts[0]), _number(parts[1])
    if width <= 0 or (function is WindowFunction.LINEAR and width < 1):
        raise BadQueryError("window: the width must be positive, and at least 1 for linear")
    return Window(centre, width, function)


def _viewport(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) not in {2, 6}:
        raise BadQueryError("viewport must be width,height or width,height,left,top,width,height")
    width, height = (_whole(part, "viewport") for part in parts[:2])
    if not (1 <= width <= MAX_VIEWPORT and 1 <= height <= MAX_VIEWPORT):
        raise BadQueryError(f"viewport: sides are 1 to {MAX_VIEWPORT} pixels")
    return width, height


def _region(text: str) -> SourceRegion | None:
    parts = [part.strip() for part in text.split(",")][2:]
    if not any(parts):
        return None
    left, top, width, height = (_place(part or "0") for part in parts)
    return SourceRegion(abs(left), abs(top), width, height)


def _place(text: str) -> float:
    if not _PLACE.fullmatch(text):
        raise BadQueryError("viewport: left, top, width and height of the region are numbers")
    return float(text)


def _annotation(text: str) -> frozenset[str]:
    asked = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    if not asked <= _ANNOTATIONS:
        raise BadQueryError("annotation is patient, technique or both")
    return asked


def _colour_profile(text: str) -> bool:
    embedded = _PROFILES.get(text.strip().lower())
    if embedded is None:
        raise BadQueryError("iccprofile is no, yes or srgb: other colour spaces are not offered")
    return embedded


def _quality(text: str) -> int | None:
    if not text:
        return None
    quality = _whole(text, "quality")
    if not 1 <= quality <= 100:
        raise BadQueryError("quality is a number from 1 to 100")
    return quality


def _whole(text: str, name: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 6:
        raise BadQueryError(f"{name} must be a whole number")
    return int(digits)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > _LARGEST_WINDOW:
        raise BadQueryError("window must hold finite numbers")
    return number
