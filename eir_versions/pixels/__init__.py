"""The pixel pipeline in pure numpy: stored values in, 8-bit pictures out (PS3.3, PS3.4 N.2).

It knows arrays and frozen dataclasses only: no dataset, no file, no codec. Imports alone.
"""

from eir_versions.pixels.colour import (
    apply_palette,
    interleave,
    rgb_from_cielab,
    rgb_from_ybr,
    to_eight_bits,
)
from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.geometry import Area, Turn, display_size, fit_within
from eir_versions.pixels.grayscale import render_grayscale
from eir_versions.pixels.luts import LookupTable, expand_segmented, lookup_table
from eir_versions.pixels.model import (
    FullRange,
    GrayscaleTransform,
    Padding,
    PixelFormat,
    Rescale,
    Window,
    WindowFunction,
)
from eir_versions.pixels.overlays import Overlay, burn_overlays
from eir_versions.pixels.shutters import Shutter, apply_shutter
from eir_versions.pixels.stored import stored_values, unpack_words
from eir_versions.pixels.suv import SuvScale
from eir_versions.pixels.voi import window_of_range

__all__ = [
    "Area",
    "FullRange",
    "GrayscaleTransform",
    "LookupTable",
    "Overlay",
    "Padding",
    "PixelFormat",
    "PixelsError",
    "Rescale",
    "Shutter",
    "SuvScale",
    "Turn",
    "Window",
    "WindowFunction",
    "apply_palette",
    "apply_shutter",
    "burn_overlays",
    "display_size",
    "expand_segmented",
    "fit_within",
    "interleave",
    "lookup_table",
    "render_grayscale",
    "rgb_from_cielab",
    "rgb_from_ybr",
    "stored_values",
    "to_eight_bits",
    "unpack_words",
    "window_of_range",
]
