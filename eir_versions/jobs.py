"""What a picture job asks for and gives back; nothing here loads a decoder."""

import hashlib
from dataclasses import dataclass

from eir_versions.pixels import Window

JPEG = "image/jpeg"
PNG = "image/png"
# The well-known palettes of PS3.6 annex B, by the names that pydicom ships them under.
PALETTES = {
    "hotiron": "1.2.840.10008.1.5.1",
    "pet": "1.2.840.10008.1.5.2",
    "hotmetalblue": "1.2.840.10008.1.5.3",
    "pet20step": "1.2.840.10008.1.5.4",
    "spring": "1.2.840.10008.1.5.5",
    "summer": "1.2.840.10008.1.5.6",
    "fall": "1.2.840.10008.1.5.7",
    "winter": "1.2.840.10008.1.5.8",
}
MEDIA_TYPES = frozenset({JPEG, PNG})


@dataclass(frozen=True)
class PictureJob:
    """What picture to make of which frame.

    `box` is (width, height) to fit into, None keeps the matrix. `ratio_ceiling` makes the quality
    rise from `quality` until 8-bit samples in to bytes out is not above it; `measured` False spares
    the figures of fidelity. `watermark` lines are
    burned in with `font`: the first is tiled, the others are written below. `aspect` False shows
    the matrix as stored, square or not. `reduced` takes the values at the smallest of their halved
    sizes that fills the picture: much faster, slightly other pixels, never for a recorded version.
    `masks` are blackened first: (left, top, width, height) in pixels of the matrix; they go with
    no reduction. `in_suv` says that the window is in SUVbw; `palette` names a well-known palette
    (`PALETTES`) for a grayscale image. `presentation_state_uid` names the state that the picture is
    to be drawn with; who draws has to bring it.
    `native` shows an image that recommends subtraction as it is.
    `figures` has the figures of fidelity worked out where no ceiling asks for them.
    """

    frame_number: int = 1
    window: Window | None = None
    box: tuple[int, int] | None = None
    media_type: str = JPEG
    quality: int = 90
    ratio_ceiling: float | None = None
    measured: bool = True
    overlays: bool = False
    aspect: bool = True
    watermark: tuple[str, ...] = ()
    font: str = ""
    reduced: bool = False
    masks: tuple[tuple[int, int, int, int], ...] = ()
    in_suv: bool = False
    palette: str = ""
    presentation_state_uid: str = ""
    figures: bool = False
    native: bool = False


@dataclass(frozen=True)
class Picture:
    """An encoded picture. Figures of fidelity are None for a picture made without a ceiling.

    `psnr_db` is None, too, for a picture without any loss; `compression_ratio` then says how far
    the lossless coding came.
    """

    data: bytes
    media_type: str
    width: int
    height: int
    quality: int | None = None
    compression_ratio: float | None = None
    psnr_db: float | None = None
    ssim: float | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the encoded bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()
