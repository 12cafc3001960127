"""One frame less its mask: frames decoded, averaged, shifted, subtracted (PS3.4 N.2.1.2)."""

from dataclasses import dataclass, replace

import numpy as np

from eir_versions.codecs import DecodedFrame, decode_frame
from eir_versions.instance_file import InstanceFile
from eir_versions.mask_module import Subtraction
from eir_versions.pixels import (
    GrayscaleTransform,
    LookupTable,
    PixelsError,
    Rescale,
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
    layout = instance.header.layout
    steps = _Steps(instance, subtraction, transform.modality)
    number, *more = subtraction.contrast
    first = modality_values(decoded.values, layout, steps.of(number))
    contrast, mask = mean_of([first, *map(steps.values, more)]), _mask(steps)
    if contrast.shape != mask.shape:
        raise PixelsError("frames of different sizes")
    values = difference(contrast, mask, subtraction.visible)
    padding = padding_mask(decoded.values, transform.padding)
    if padding is not None:
        values = np.where(padding, 0, values)
    voi = transform.voi if transform.voi is not None else _around_nothing(values)
    signed = format_of_difference(layout, *steps.range())
    after = replace(transform, modality=None, padding=None, voi=voi)
    picture = render_grayscale(values, signed, after)
    if padding is not None:
        picture[padding] = 0
    return picture


@dataclass(frozen=True)
class _Steps:
    """How single frames become the values that are subtracted."""

    instance: InstanceFile
    subtraction: Subtraction
    modality: LookupTable | Rescale | None

    def of(self, frame_number: int) -> LookupTable | Rescale | None:
        return self.subtraction.tables.get(frame_number, self.modality)

    def values(self, frame_number: int) -> RealArray:
        stored = decode_frame(self.instance, frame_number).values
        return modality_values(stored, self.instance.header.layout, self.of(frame_number))

    def range(self) -> tuple[float, float]:
        frames = {*self.subtraction.mask, *self.subtraction.contrast}
        ends = [modality_range(self.instance.header.layout, self.of(one)) for one in frames]
        return min(low for low, _ in ends), max(high for _, high in ends)


def _mask(steps: _Steps) -> RealArray:
    """The mask of a frame; the next frame of a movie has the same one."""
    numbers, shift, known = steps.subtraction.mask, steps.subtraction.shift, steps.instance
    key = numbers, shift, tuple(map(steps.of, numbers))
    found = known.averaged_masks.get(key)
    if found is None:
        found = shifted(mean_of([steps.values(one) for one in numbers]), *shift)
        known.averaged_masks.clear()
        known.averaged_masks[key] = found
    return found


def _around_nothing(values: RealArray) -> Window:
    most = max(float(np.abs(values).max()), 1.0)
    return window_of_range(-most, most)
