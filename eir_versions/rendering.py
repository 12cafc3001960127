"""One frame of an instance to an 8-bit picture array: decoding, grayscale or colour, overlays."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from eir_versions import reasons
from eir_versions.codecs import DecodedFrame, decode_frame
from eir_versions.colour_profiles import profile_of, to_srgb
from eir_versions.display_shutters import frame_shutter
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.instance_file import InstanceFile
from eir_versions.mask_module import Subtraction, recommended
from eir_versions.overlays import FrameWords, overlays_of
from eir_versions.palettes import (
    Palette,
    palette_of,
    supplemental,
    supplemented,
    well_known_palette,
)
from eir_versions.pet import suv_of
from eir_versions.pixels import (
    GrayscaleTransform,
    PixelsError,
    Window,
    apply_palette,
    apply_shutter,
    burn_overlays,
    render_grayscale,
    rgb_from_ybr,
    to_eight_bits,
)
from eir_versions.pixels.model import PictureArray
from eir_versions.presentation_states import PSEUDO_COLOUR, FramePresentation, PresentationState
from eir_versions.reduced import reduced_frame
from eir_versions.subtracting import render_subtracted
from eir_versions.transforms import difference_transform, grayscale_transform, undone_transform

Drawing = Callable[[GrayscaleTransform], PictureArray]


@dataclass(frozen=True)
class FrameRequest:
    """Which frame, through which window (None: the stored VOI), with overlays or without.

    `halvings` gives it at a half, a quarter, … of its size; overlays and shutters fit the whole
    size only. `in_suv` says that the window is in SUVbw. `palette` is a name of `jobs.PALETTES`,
    for grayscale images that are read in colour. `presentation` replaces what the image says about
    itself; it decides about overlays on its own. `native` leaves out the subtraction that the image
    recommends.
    """

    frame_number: int = 1
    window: Window | None = None
    overlays: bool = False
    halvings: int = 0
    in_suv: bool = False
    palette: str = ""
    presentation: PresentationState | None = None
    native: bool = False


def render_frame(instance: InstanceFile, request: FrameRequest) -> PictureArray:
    """Return (rows, columns) or (rows, columns, 3) uint8, in the matrix as stored.

    What a shutter hides is painted over first, overlays are drawn last.

    Raises:
        UnrenderableInstanceError: with the reason; FrameNotFoundError for a number out of range.
    """
    if request.halvings:
        decoded = reduced_frame(instance, request.frame_number, request.halvings)
    else:
        decoded = decode_frame(instance, request.frame_number)
    frame = FrameWords(instance.header, request.frame_number - 1, decoded.words)
    try:
        if request.presentation is not None:
            presentation = FramePresentation(request.presentation, instance, request.frame_number)
            return _presented(presentation, decoded, frame, request)
        picture = _picture(instance, decoded, request)
        picture = apply_shutter(picture, frame_shutter(instance.dataset, frame))
        if request.overlays:
            picture = burn_overlays(picture, overlays_of(instance.dataset, frame))
    except PixelsError as error:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS) from error
    return picture


def window_of(instance: InstanceFile, request: FrameRequest) -> Window | None:
    """Return the window asked for in modality units.

    Raises:
        UnrenderableInstanceError: no_suv, when it is asked for in SUV and none can be told.
    """
    if request.window is None or not request.in_suv:
        return request.window
    factor = suv_of(instance.dataset).factor
    if factor is None:
        raise UnrenderableInstanceError(reasons.NO_SUV)
    wanted = request.window
    return Window(wanted.center / factor, wanted.width / factor, wanted.function)


def _presented(
    presentation: FramePresentation,
    decoded: DecodedFrame,
    frame: FrameWords,
    request: FrameRequest,
) -> PictureArray:
    state, instance = presentation.state, presentation.instance
    if instance.header.layout.samples == 1 and decoded.photometric != "PALETTE COLOR":
        transform = presentation.transform(window_of(instance, request))
        palette = None
        if state.kind == PSEUDO_COLOUR:
            palette = palette_of(state.dataset, signed=False)
        draw = _drawing(decoded, instance, presentation.subtraction())
        picture = _gray(draw, transform, palette)
    else:
        picture = _colour(instance, decoded)
    picture = to_srgb(picture, profile_of(state.dataset) or profile_of(instance.dataset))
    picture = apply_shutter(picture, presentation.shutter(frame))
    return burn_overlays(picture, presentation.overlays(frame))


def _picture(instance: InstanceFile, decoded: DecodedFrame, request: FrameRequest) -> PictureArray:
    header, dataset = instance.header, instance.dataset
    if header.layout.samples > 1 or decoded.photometric == "PALETTE COLOR":
        return to_srgb(_colour(instance, decoded), profile_of(dataset))
    index, window = request.frame_number - 1, window_of(instance, request)
    asked = well_known_palette(request.palette) if request.palette else None
    subtraction = recommended(dataset, header, request.frame_number)
    if isinstance(subtraction, Subtraction) and not request.native:
        transform = difference_transform(dataset, header, index, window)
        return _gray(_drawing(decoded, instance, subtraction), transform, asked)
    is_undone = subtraction is not None and request.native
    transform_of = undone_transform if is_undone else grayscale_transform
    transform = transform_of(dataset, header, index, window)
    picture = _gray(_drawing(decoded, instance), transform, asked)
    palette = None if asked else supplemental(dataset, index, signed=header.layout.signed)
    return picture if palette is None else supplemented(picture, decoded.values, palette)


def _drawing(
    decoded: DecodedFrame, instance: InstanceFile, subtraction: Subtraction | None = None
) -> Drawing:
    if subtraction is not None:
        return partial(render_subtracted, decoded, instance, subtraction)
    return partial(render_grayscale, decoded.values, instance.header.layout)


def _gray(draw: Drawing, transform: GrayscaleTransform, palette: Palette | None) -> PictureArray:
    """The grayscale pipeline; a palette's three tables take the place of the Presentation LUT."""
    if palette is None:
        return draw(transform)
    tables = (replace(transform, presentation=table, inverse=False) for table in palette)
    return np.stack([draw(table) for table in tables], axis=-1)


def _colour(instance: InstanceFile, decoded: DecodedFrame) -> PictureArray:
    layout = instance.header.layout
    if decoded.photometric == "PALETTE COLOR":
        return apply_palette(decoded.values, palette_of(instance.dataset, signed=layout.signed))
    samples = to_eight_bits(decoded.values[..., :3], layout.bits_stored)
    if decoded.photometric.startswith("YBR_"):
        return rgb_from_ybr(samples, partial="PARTIAL" in decoded.photometric)
    return np.ascontiguousarray(samples)
