"""One frame less its mask: frames decoded, averaged, shifted, subtracted (PS3.4 N.2.1.2)."""

from dataclasses import replace

import numpy as np

from eir_versions.codecs import DecodedFrame, decode_frame
from eir_versions.instance_file import InstanceFile
from eir_versions.mask_module import Subtraction
from eir_versions.pixels import (
    GrayscaleTransform,
    PixelsError,
    Window,
    render_grayscale,
    window_of_range,
)
from eir_versions.pixels.grayscale import modality_range, modality_values, padding_mask
from eir_versions.pixels.model import PictureArray, RealArray
from eir_versions.pixels.subtraction import difference, format_of_difference, mean_of, shifted


def render_subtracted(
    decoded: DecodedFrame,
    instance: InstanceFile,
    subtraction: Subtraction,
    transform: GrayscaleTransform,
) -> PictureArray:
    """Return the picture of a frame, `decoded` already: VOI and what follows see the difference.

    A `transform` whose VOI is None gets a window with 0, no difference, in the middle.

    Raises:
        PixelsError: frames are of different sizes.
        UnrenderableInstanceError: one of the other frames cannot be decoded.
    """
    layout, modality = instance.header.layout, transform.modality
    first = modality_values(decoded.values, layout, modality)
    others = [_modality_values(instance, one, transform) for one in subtraction.contrast[1:]]
    contrast, mask = mean_of([first, *others]), _mask(instance, subtraction, transform)
    if contrast.shape != mask.shape:
        raise PixelsError("frames of different sizes")
    values = difference(contrast, mask)
    padding = padding_mask(decoded.values, transform.padding)
    if padding is not None:
        values = np.where(padding, 0, values)
    voi = transform.voi if transform.voi is not None else _around_nothing(values)
    signed = format_of_difference(layout, *modality_range(layout, modality))
    after = replace(transform, modality=None, padding=None, voi=voi)
    picture = render_grayscale(values, signed, after)
    if padding is not None:
        picture[padding] = 0
    return picture


def _mask(
    instance: InstanceFile, subtraction: Subtraction, transform: GrayscaleTransform
) -> RealArray:
    """The mask of a frame; the next frame of a movie has the same one."""
    key = subtraction.mask, subtraction.shift, transform.modality
    found = instance.averaged_masks.get(key)
    if found is None:
        frames = [_modality_values(instance, one, transform) for one in subtraction.mask]
        found = shifted(mean_of(frames), *subtraction.shift)
        instance.averaged_masks.clear()
        instance.averaged_masks[key] = found
    return found


def _modality_values(
    instance: InstanceFile, frame_number: int, transform: GrayscaleTransform
) -> RealArray:
    values = decode_frame(instance, frame_number).values
    return modality_values(values, instance.header.layout, transform.modality)


def _around_nothing(values: RealArray) -> Window:
    most = max(float(np.abs(values).max()), 1.0)
    return window_of_range(-most, most)
