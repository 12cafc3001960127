"""What the pixel pipeline needs to know about one frame (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eir_versions.pixels.errors import PixelsError
from eir_versions.pixels.luts import LookupTable

IntegerArray = NDArray[np.integer[Any]]
RealArray = NDArray[np.integer[Any] | np.floating[Any]]
PictureArray = NDArray[np.uint8]

_ALLOCATIONS = (1, 8, 16, 32, 64)
_FLOAT_ALLOCATIONS = (32, 64)
_SAMPLES = (1, 3, 4)


class WindowFunction(StrEnum):
    """VOI LUT Function (0028,1056), PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True)
class PixelFormat:
    """How the samples of one frame are laid out (PS3.3 C.7.6.3.1, PS3.5 section 8).

    Raises:
        PixelsError: the attributes contradict each other or describe something no decoder has.
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    samples: int = 1
    signed: bool = False
    floating: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.rows <= 65535 and 0 < self.columns <= 65535):
            raise PixelsError(f"Rows x Columns {self.rows} x {self.columns} is not a picture")
        if self.samples not in _SAMPLES:
            raise PixelsError(f"Samples per Pixel {self.samples} is not 1, 3 or 4")
        allowed = _FLOAT_ALLOCATIONS if self.floating else _ALLOCATIONS
        if self.bits_allocated not in allowed or (self.bits_allocated == 64 and not self.floating):
            raise PixelsError(f"Bits Allocated {self.bits_allocated} is not supported")
        if not 0 < self.bits_stored <= self.bits_allocated:
            raise PixelsError(f"Bits Stored {self.bits_stored} does not fit Bits Allocated")
        if not self.bits_stored - 1 <= self.high_bit < self.bits_allocated:
            raise PixelsError(f"High Bit {self.high_bit} contradicts Bits Stored")

    @property
    def pixel_count(self) -> int:
        """Pixels in one frame."""
        return self.rows * self.columns

    @property
    def frame_bits(self) -> int:
        """Bits that one native frame takes in Pixel Data, without padding."""
        return self.pixel_count * self.samples * self.bits_allocated

    @property
    def lowest(self) -> int:
        """The smallest stored value this format can hold."""
        return -(1 << (self.bits_stored - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The largest stored value this format can hold."""
        return (1 << (self.bits_stored - int(self.signed))) - 1


@dataclass(frozen=True)
class Rescale:
    """Modality rescale: value · slope + intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_usable(self) -> bool:
        """False for slope 0, NaN or infinite: such a rescale is left out."""
        return bool(np.isfinite(self.slope) and np.isfinite(self.intercept) and self.slope != 0)


@dataclass(frozen=True)
class Window:
    """Window centre and width in modality units (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR

    @property
    def is_usable(self) -> bool:
        """False for a width of 0 or less, NaN or infinite: the next alternative is taken."""
        return bool(np.isfinite(self.center) and np.isfinite(self.width) and self.width > 0)


@dataclass(frozen=True)
class Padding:
    """Stored values, both ends included, that are not part of the image (PS3.3 C.7.5.1.1.2)."""

    low: int
    high: int


@dataclass(frozen=True)
class FullRange:
    """No VOI step: black to white is all that the format and the modality step can hold."""


@dataclass(frozen=True)
class GrayscaleTransform:
    """All that turns stored values into a picture, in the order of PS3.4 N.2.

    `voi` None, or a window that is not usable, means the range of the frame itself without its
    padding. `inverse` is Presentation LUT Shape INVERSE, or MONOCHROME1 where no shape is given.
    A `presentation` table (Presentation LUT Sequence) comes after the VOI step.
    """

    modality: LookupTable | Rescale | None = None
    voi: LookupTable | Window | FullRange | None = None
    padding: Padding | None = None
    inverse: bool = False
    presentation: LookupTable | None = None
