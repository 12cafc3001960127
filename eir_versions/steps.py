"""What a picture job does to the pixels of one frame, in words, for `eirhub eir explain`.

The words are made from what the pipeline itself is given, in the order of PS3.4 N.2.
"""

from collections.abc import Iterator

from eir_versions.colour_profiles import profile_of
from eir_versions.display_shutters import frame_shutter
from eir_versions.instance_file import InstanceFile
from eir_versions.jobs import PictureJob
from eir_versions.mask_module import Native, Subtraction, recommended
from eir_versions.overlays import FrameWords
from eir_versions.palettes import supplemental
from eir_versions.pixels import LookupTable, PixelsError, Rescale, Window, display_size, fit_within
from eir_versions.transforms import (
    difference_transform,
    grayscale_transform,
    pixel_spacing,
)


def pipeline_steps(instance: InstanceFile, job: PictureJob) -> list[str]:
    """Return the steps from stored bytes to the encoded picture."""
    return [*_decoding(instance), *_values(instance, job), *_picture(instance, job)]


def _decoding(instance: InstanceFile) -> Iterator[str]:
    header, layout = instance.header, instance.header.layout
    sign = "floating" if layout.floating else "signed" if layout.signed else "unsigned"
    yield f"frame decoded from transfer syntax {header.transfer_syntax_uid}"
    yield (
        f"stored values: {layout.columns} x {layout.rows}, {layout.samples} samples, "
        f"{layout.bits_stored} of {layout.bits_allocated} bits, high bit {layout.high_bit}, {sign}"
    )


def _values(instance: InstanceFile, job: PictureJob) -> Iterator[str]:
    header = instance.header
    if job.presentation_state_uid:
        yield f"values, shutter, overlays as state {job.presentation_state_uid} has them"
        return
    if header.photometric == "PALETTE COLOR":
        yield "palette colour lookup tables to RGB"
    elif header.layout.samples == 1:
        yield from _grayscale(instance, job)
    else:
        yield f"photometric {header.photometric} to RGB, 8 bits"
    index = job.frame_number - 1
    if header.layout.samples > 1 and profile_of(instance.dataset) is not None:
        yield "ICC profile to sRGB, relative colorimetric"
    if supplemental(instance.dataset, index, signed=header.layout.signed) is not None:
        yield "supplemental palette colours from its first value on"
    if frame_shutter(instance.dataset, FrameWords(header, index)) is not None:
        yield "what the display shutter hides painted over"
    if job.overlays:
        yield "overlay planes burned in"


def _grayscale(instance: InstanceFile, job: PictureJob) -> Iterator[str]:
    mask = recommended(instance.dataset, instance.header, job.frame_number)
    subtracted = isinstance(mask, Subtraction)
    transform = difference_transform if subtracted else grayscale_transform
    try:
        found = transform(instance.dataset, instance.header, job.frame_number - 1, job.window)
    except PixelsError:
        yield "no usable transformation of values"
        return
    if found.padding is not None:
        yield f"padding {found.padding.low} to {found.padding.high} left out"
    yield f"modality: {_modality(found.modality)}"
    if mask is not None:
        yield _mask(mask)
    voi = "0 in the middle of the frame's differences" if subtracted and not found.voi else ""
    yield f"VOI: {voi or _voi(found.voi)}{', asked for by the recipe' if job.window else ''}"
    yield f"presentation: {'inverted' if found.inverse else 'identity'}, floor(255 * y)"


def _mask(mask: Subtraction | Native) -> str:
    if isinstance(mask, Native):
        return f"mask subtraction is recommended but not done: {mask.why}"
    down, left = mask.shift
    moved = f" moved {down:g} down and {left:g} to the left" if any(mask.shift) else ""
    return f"mask: {_frames(mask.mask)}{moved} subtracted from {_frames(mask.contrast)}"


def _frames(numbers: tuple[int, ...]) -> str:
    if len(numbers) == 1:
        return f"frame {numbers[0]}"
    return f"the mean of frames {', '.join(map(str, numbers))}"


def _modality(found: object) -> str:
    if isinstance(found, LookupTable):
        return f"lookup table of {len(found.entries)} entries, {found.bits} bits"
    if isinstance(found, Rescale):
        return f"value * {found.slope:g} + {found.intercept:g}"
    return "identity"


def _voi(found: object) -> str:
    if isinstance(found, LookupTable):
        return f"lookup table of {len(found.entries)} entries, {found.bits} bits"
    if isinstance(found, Window):
        return f"{found.function.value} centre {found.center:g} width {found.width:g}"
    return "range of the frame"


def _picture(instance: InstanceFile, job: PictureJob) -> Iterator[str]:
    layout = instance.header.layout
    if job.masks:
        yield f"{len(job.masks)} areas with text blackened"
    if job.presentation_state_uid:
        yield "turned, cut to the displayed area, scaled in true aspect, graphics and text drawn"
        yield from _encoding(job)
        return
    spacing = pixel_spacing(instance.dataset, job.frame_number - 1) if job.aspect else None
    size = display_size(layout.rows, layout.columns, spacing)
    if job.box is not None:
        size = fit_within(size, job.box)
    yield f"scaled to {size[0]} x {size[1]} in true aspect"
    yield from _encoding(job)


def _encoding(job: PictureJob) -> Iterator[str]:
    if job.watermark:
        yield f"watermark of {len(job.watermark)} lines burned in with {job.font}"
    ceiling = "" if job.ratio_ceiling is None else f", ratio at most {job.ratio_ceiling:g}"
    yield f"encoded as {job.media_type} from quality {job.quality}{ceiling}"
