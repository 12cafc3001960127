"""ICC input profiles to sRGB (DICOM PS3.3 C.11.15): LittleCMS, relative colorimetric.

A profile is untrusted bytes: this module is to run in a child of `eir_versions.decoding` only.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from eir_versions.headers import items, value_of
from eir_versions.pixels.model import PictureArray

_MAX_PROFILE_BYTES = 16 << 20
_Transform = ImageCms.ImageCmsTransform | None


def profile_of(dataset: Dataset) -> bytes | None:
    """Return the ICC Profile of a dataset, or of its optical path where there is just one."""
    paths = items(dataset, "OpticalPathSequence")
    for scope in (dataset, *(paths if len(paths) == 1 else ())):
        profile = value_of(scope, "ICCProfile")
        if isinstance(profile, bytes) and 128 < len(profile) <= _MAX_PROFILE_BYTES:
            return profile
    return None


def to_srgb(picture: PictureArray, profile: bytes | None) -> PictureArray:
    """Return an RGB picture in sRGB; a profile that is absent or unusable changes nothing."""
    transform = None if profile is None else _transform(profile)
    if transform is None or picture.ndim != 3:
        return picture
    image = ImageCms.applyTransform(Image.fromarray(picture), transform)
    return np.asarray(image)


@lru_cache(maxsize=4)
def _transform(profile: bytes) -> _Transform:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            "RGB",
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
