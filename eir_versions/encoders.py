"""Pictures to JPEG and PNG bytes: the same array and quality always give the same bytes."""

import io
from typing import Literal

import numpy as np
import simplejpeg  # type: ignore[import-untyped]  # ships no types
from PIL import Image

from eir_versions.pixels.model import PictureArray

MAX_JPEG_EDGE = 65500
_PNG_LEVEL = 6


def encode_jpeg(
    picture: PictureArray, quality: int, *, subsampling: Literal["444", "420"] = "444"
) -> bytes:
    """Return a baseline JPEG; `picture` is (rows, columns) or (rows, columns, 3), quality 1 to 100.

    No metadata segment but JFIF is written. Edges are limited to 65,500 pixels by the format.
    """
    if picture.ndim == 2:
        data: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(picture[:, :, np.newaxis]), quality, "GRAY", "Gray"
        )
        return data
    colour: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture), quality, "RGB", subsampling
    )
    return colour


def encode_png(picture: PictureArray) -> bytes:
    """Return a PNG without metadata."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG", compress_level=_PNG_LEVEL)
    return out.getvalue()


def decode_picture(data: bytes) -> PictureArray:
    """Return the array of a picture this module encoded."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def resized(picture: PictureArray, size: tuple[int, int]) -> PictureArray:
    """Return the picture resampled to (width, height); the same array when that is its size."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
