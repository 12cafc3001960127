"""What a picture job does to the pixels of one frame, in words, for `eirhub eir explain`.

The words are made from what the pipeline itself is given, in the order of PS3.4 N.2.
"""

from collections.abc import Iterator

from eir_versions.colour_profiles import profile_of
from eir_versions.display_shutters import frame_shutter
from eir_versions.errors import StateNotPossibleError
from eir_versions.headers import items
from eir_versions.instance_file import InstanceFile
from eir_versions.jobs import PictureJob
from eir_versions.mask_module import Native, Subtraction, recommended
from eir_versions.overlays import FrameWords
from eir_versions.palettes import supplemental
from eir_versions.pixels import (
    FullRange,
    GrayscaleTransform,
    LookupTable,
    PixelsError,
    Rescale,
    Window,
    display_size,
    fit_within,
)
from eir_versions.presentation_states import (
    COLOUR,
    PSEUDO_COLOUR,
    FramePresentation,
    PresentationState,
)
from eir_versions.transforms import (
    difference_transform,
    grayscale_transform,
    pixel_spacing,
    undone_transform,
)


def pipeline_steps(
    instance: InstanceFile, job: PictureJob, state: PresentationState | None = None
) -> list[str]:
    """Return the steps from stored bytes to the encoded picture, as `state` has it where given.

    Of a state that cannot be applied, they are the reason alone.

    Raises:
        UnrenderableInstanceError: the state is not for this frame.
    """
    if state is None:
        return [*_decoding(instance), *_values(instance, job), *_picture(instance, job)]
    try:
        shown = FramePresentation(state, instance, job.frame_number)
    except StateNotPossibleError as error:
        return [f"presentation state {job.presentation_state_uid} is not applied: {error.why}"]
    return [*_decoding(instance), *_presented(shown, job), *_placed(shown, job), *_encoding(job)]


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
    said = recommended(instance.dataset, instance.header, job.frame_number)
    undone = said is not None and job.native
    mask = Native("asked for as it is") if undone else said
    subtracted = isinstance(mask, Subtraction)
    transform = difference_transform if subtracted else grayscale_transform
    transform = undone_transform if undone else transform
    try:
        found = transform(instance.dataset, instance.header, job.frame_number - 1, job.window)
    except PixelsError:
        yield "no usable transformation of values"
        return
    told = "" if mask is None else _mask(mask)
    middle = "0 in the middle of the frame's differences" if subtracted and not found.voi else ""
    yield from _transformed(found, told, middle or _voi(found.voi), job)


def _transformed(found: GrayscaleTransform, mask: str, voi: str, job: PictureJob) -> Iterator[str]:
    if found.padding is not None:
        yield f"padding {found.padding.low} to {found.padding.high} left out"
    yield f"modality: {_modality(found.modality)}"
    if mask:
        yield mask
    yield f"VOI: {voi}{', asked for by the recipe' if job.window else ''}"
    if found.presentation is not None:
        yield f"presentation: {_modality(found.presentation)}, floor(255 * y)"
    else:
        yield f"presentation: {'inverted' if found.inverse else 'identity'}, floor(255 * y)"


def _presented(shown: FramePresentation, job: PictureJob) -> Iterator[str]:
    state, header = shown.state, shown.instance.header
    yield f"as presentation state {job.presentation_state_uid} has it, whatever the image says"
    if header.layout.samples == 1 and header.photometric != "PALETTE COLOR":
        found, mask = shown.transform(job.window), shown.subtraction()
        yield from _transformed(found, _mask(mask) if mask else "", _voi(found.voi), job)
        if state.kind == PSEUDO_COLOUR:
            yield "palette of the state in place of a presentation LUT"
    else:
        yield f"photometric {header.photometric} to RGB, 8 bits"
    if state.kind in (COLOUR, PSEUDO_COLOUR) and _has_profile(shown):
        yield "ICC profile to sRGB, relative colorimetric"
    frame = FrameWords(header, shown.frame_number - 1)
    if shown.shutter(frame) is not None:
        yield "what the state's shutter hides painted over"
    planes = len(shown.overlays(frame))
    if planes:
        yield f"{planes} overlay planes drawn in the greys of their layers"


def _has_profile(shown: FramePresentation) -> bool:
    return any(profile_of(one) is not None for one in (shown.state.dataset, shown.instance.dataset))


def _placed(shown: FramePresentation, job: PictureJob) -> Iterator[str]:
    if job.masks:
        yield f"{len(job.masks)} areas with text blackened"
    turn, area = shown.turn(), shown.area()
    if turn.rotation or turn.flip:
        yield f"turned by {turn.rotation} degrees{', flipped' if turn.flip else ''}"
    if area is not None:
        where = f"{area.left}, {area.top} to {area.right}, {area.bottom}"
        yield f"cut to the displayed area, columns and rows {where}"
    yield "scaled in true aspect"
    drawn = shown.annotations()
    if drawn:
        graphics = sum(len(items(one, "GraphicObjectSequence")) for one in drawn)
        texts = sum(len(items(one, "TextObjectSequence")) for one in drawn)
        yield f"{graphics} graphics and {texts} texts drawn"


def _mask(mask: Subtraction | Native) -> str:
    if isinstance(mask, Native):
        return f"mask subtraction is recommended but not done: {mask.why}"
    down, left = mask.shift
    moved = f" moved {down:g} down and {left:g} to the left" if any(mask.shift) else ""
    told = f"mask: {_frames(mask.mask)}{moved} subtracted from {_frames(mask.contrast)}"
    if mask.tables:
        told += ", after tables to logarithms of the X-ray intensity"
    return f"{told}, {100 * mask.visible:g} % of it left" if mask.visible else told


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
    if isinstance(found, FullRange):
        return "all that values can be from black to white"
    return "range of the frame"


def _picture(instance: InstanceFile, job: PictureJob) -> Iterator[str]:
    layout = instance.header.layout
    if job.masks:
        yield f"{len(job.masks)} areas with text blackened"
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
