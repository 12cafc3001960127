"""Do one picture job: frame, true aspect, watermark, ceiling of the compression ratio."""

import math

from eir_versions import reasons
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
from eir_versions.pixels import display_size, fit_within
from eir_versions.pixels.model import PictureArray
from eir_versions.reduced import halvings_for
from eir_versions.rendering import FrameRequest, render_frame
from eir_versions.transforms import pixel_spacing
from eir_versions.watermark import burn_watermark

_QUALITIES = (75, 80, 85, 90, 93, 96, 98, 100)
_LEAST_MARKED_EDGE = 512


def make_picture(instance: InstanceFile, job: PictureJob) -> Picture:
    """Return the picture of the job.

    Raises:
        UnrenderableInstanceError: with the reason; FrameNotFoundError for a number out of range.
    """
    size = _size(instance, job)
    reducible = job.reduced and not job.overlays and not job.masks
    halvings = halvings_for(instance.header, size) if reducible else 0
    frame = FrameRequest(job.frame_number, job.window, job.overlays, halvings)
    array = resized(_masked(render_frame(instance, frame), job.masks), size)
    if job.watermark:
        array = burn_watermark(array, job.watermark, job.font)
    if job.ratio_ceiling is not None:
        return _under_ceiling(array, job.quality, job.ratio_ceiling)
    height, width = array.shape[:2]
    if job.media_type == PNG:
        return Picture(encode_png(array), PNG, width, height)
    data = encode_jpeg(array, job.quality, subsampling="420" if job.quality < 90 else "444")
    return Picture(data, JPEG, width, height, job.quality)


def _masked(array: PictureArray, masks: tuple[tuple[int, int, int, int], ...]) -> PictureArray:
    """Blacken before anything is resized: no grey of what stood there leaks over the edge."""
    if masks:
        array = array.copy()
    for left, top, width, height in masks:
        array[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
    return array


def _size(instance: InstanceFile, job: PictureJob) -> tuple[int, int]:
    rows, columns = instance.header.layout.rows, instance.header.layout.columns
    spacing = pixel_spacing(instance.dataset, job.frame_number - 1) if job.aspect else None
    size = display_size(rows, columns, spacing)
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


def _under_ceiling(array: PictureArray, quality: int, ceiling: float) -> Picture:
    """JPEG of rising quality; where even quality 100 compresses too much, PNG loses nothing."""
    height, width = array.shape[:2]
    for step in (quality, *(step for step in _QUALITIES if step > quality)):
        data = encode_jpeg(array, step)
        ratio = array.size / len(data)
        if ratio <= ceiling:
            shown = decode_picture(data)
            psnr = psnr_db(array, shown)
            return Picture(
                data,
                JPEG,
                width,
                height,
                step,
                ratio,
                psnr if math.isfinite(psnr) else None,
                ssim(array, shown),
            )
    data = encode_png(array)
    return Picture(data, PNG, width, height, None, array.size / len(data), None, 1.0)
