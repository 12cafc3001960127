"""Do one picture job: frame, true aspect, watermark, ceiling of the compression ratio."""

import math
from dataclasses import replace

from eir_versions import reasons
from eir_versions.annotations import Placement, draw_annotations
from eir_versions.encoders import (
    MAX_JPEG_EDGE,
    decode_picture,
    encode_jpeg,
    encode_png,
    resized,
)
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.fidelity import psnr_db, ssim
from eir_versions.instance_file import InstanceFile
from eir_versions.jobs import JPEG, PNG, Picture, PictureJob
from eir_versions.mask_module import recommended
from eir_versions.pixels import Area, display_size, fit_within
from eir_versions.pixels.model import PictureArray
from eir_versions.presentation_states import FramePresentation, PresentationState
from eir_versions.reduced import halvings_for
from eir_versions.rendering import FrameRequest, render_frame
from eir_versions.transforms import frame_scopes, pixel_spacing
from eir_versions.watermark import burn_watermark

_QUALITIES = (75, 80, 85, 90, 93, 96, 98, 100)
_LEAST_MARKED_EDGE = 512


def make_picture(
    instance: InstanceFile, job: PictureJob, state: PresentationState | None = None
) -> Picture:
    """Return the picture of the job, as a presentation state has it where one is given.

    Raises:
        UnrenderableInstanceError: with the reason; FrameNotFoundError for a number out of range.
    """
    array = _drawn(instance, job, state)
    if job.watermark:
        array = burn_watermark(array, job.watermark, job.font)
    if job.ratio_ceiling is not None:
        return _under_ceiling(array, job, job.ratio_ceiling)
    height, width = array.shape[:2]
    if job.media_type == PNG:
        return Picture(encode_png(array), PNG, width, height)
    data = encode_jpeg(array, job.quality, subsampling="420" if job.quality < 90 else "444")
    if not job.figures:
        return Picture(data, JPEG, width, height, job.quality)
    ratio = array.size / len(data)
    return Picture(data, JPEG, width, height, job.quality, ratio, *_fidelity(array, data))


def _drawn(
    instance: InstanceFile, job: PictureJob, state: PresentationState | None
) -> PictureArray:
    """The frame in its true aspect and size."""
    if state is not None:
        return _presented(instance, job, state)
    layout, index = instance.header.layout, job.frame_number - 1
    spacing = pixel_spacing(instance.dataset, index)
    size = _size((layout.rows, layout.columns), job, spacing)
    halvings = halvings_for(instance.header, size) if _is_reducible(instance, job) else 0
    array = render_frame(instance, replace(_request(job), halvings=halvings))
    return resized(_masked(array, job.masks), size)


def _presented(instance: InstanceFile, job: PictureJob, state: PresentationState) -> PictureArray:
    """The frame as the state has it: turned, cut to its area, its annotations drawn last."""
    array = _masked(render_frame(instance, replace(_request(job), presentation=state)), job.masks)
    shown = FramePresentation(state, instance, job.frame_number)
    matrix, turn, area, spacing = array.shape[:2], shown.turn(), shown.area(), shown.spacing()
    whole = Area(1, 1, matrix[1], matrix[0]) if area is None else area.within(matrix)
    part = whole.turned(turn, matrix)
    array = part.cut(turn.apply(array))
    if spacing is not None and turn.swaps_axes:
        spacing = spacing[::-1]
    size = _size(array.shape[:2], job, spacing)
    placement = Placement(matrix, turn, part, size)
    return draw_annotations(resized(array, size), shown, placement)


def _request(job: PictureJob) -> FrameRequest:
    return FrameRequest(
        job.frame_number,
        job.window,
        job.overlays,
        in_suv=job.in_suv,
        palette=job.palette,
        native=job.native,
    )


def _is_reducible(instance: InstanceFile, job: PictureJob) -> bool:
    """Whether a smaller picture shows the same: what is placed by pixels fits the whole size."""
    scopes = frame_scopes(instance.dataset, job.frame_number - 1, "FrameDisplayShutterSequence")
    placed = job.overlays or job.masks or any("ShutterShape" in scope for scope in scopes)
    has_palette = "RedPaletteColorLookupTableDescriptor" in instance.dataset
    header, number = instance.header, job.frame_number
    masked = not job.native and recommended(instance.dataset, header, number) is not None
    return job.reduced and not placed and not has_palette and not masked


def _masked(array: PictureArray, masks: tuple[tuple[int, int, int, int], ...]) -> PictureArray:
    """Blacken before anything is resized: no grey of what stood there leaks over the edge."""
    if masks:
        array = array.copy()
    for left, top, width, height in masks:
        array[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
    return array


def _size(
    matrix: tuple[int, ...], job: PictureJob, spacing: tuple[float, float] | None
) -> tuple[int, int]:
    size = display_size(matrix[0], matrix[1], spacing if job.aspect else None)
    if job.box is not None:
        size = fit_within(size, job.box)
    if job.watermark:
        size = _room_for_text(size)
    if max(size) > MAX_JPEG_EDGE:
        raise UnrenderableInstanceError(reasons.TOO_LARGE)
    return size


def _room_for_text(size: tuple[int, int]) -> tuple[int, int]:
    """A matrix of 64 x 64 is enlarged by a whole factor, or the text would be larger than it."""
    factor = max(1, _LEAST_MARKED_EDGE // max(size))
    return size[0] * factor, size[1] * factor


def _under_ceiling(array: PictureArray, job: PictureJob, ceiling: float) -> Picture:
    """JPEG of rising quality; where even quality 100 compresses too much, PNG loses nothing."""
    height, width = array.shape[:2]
    for step in (job.quality, *(step for step in _QUALITIES if step > job.quality)):
        data = encode_jpeg(array, step)
        ratio = array.size / len(data)
        if ratio <= ceiling:
            figures = _fidelity(array, data) if job.measured else (None, None)
            return Picture(data, JPEG, width, height, step, ratio, *figures)
    data = encode_png(array)
    return Picture(data, PNG, width, height, None, array.size / len(data), None, 1.0)


def _fidelity(array: PictureArray, data: bytes) -> tuple[float | None, float]:
    shown = decode_picture(data)
    psnr = psnr_db(array, shown)
    return (psnr if math.isfinite(psnr) else None), ssim(array, shown)
