"""What a rendered picture still gets on its way out: a region, words, a colour profile (8.3.5.1).

PS3.18. It works on pictures that the renderer has made, never on what a device has sent.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps

from hub_kernel.pinyin import syllables
from viewer_api.errors import BadQueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eir_versions.jobs import Picture
    from image_archive.model import InstanceRecord, StudyRecord
    from viewer_api.dicomweb.rendering_parameters import RenderingParameters, SourceRegion

PNG, JPEG, GIF = "image/png", "image/jpeg", "image/gif"
_PNG_HEAD = 33  # signature and IHDR: PNG 11.3.3.3 wants the profile before the pixels
_SMALLEST_LETTER = 12
_THUMBNAIL_QUALITY = 85
_RESAMPLING = Image.Resampling.BICUBIC
_FORMATS = {PNG: "PNG", JPEG: "JPEG", GIF: "GIF"}


@dataclass(frozen=True)
class Finish:
    """How a picture is finished: encoded as `media_type` with `quality` where it is made anew."""

    wanted: RenderingParameters
    words: tuple[str, ...]
    media_type: str
    quality: int

    @property
    def is_redrawn(self) -> bool:
        """Whether it is encoded anew; then the picture is best handed in without loss, whole."""
        return self.wanted.region is not None or bool(self.words) or self.media_type == GIF


def finished(picture: Picture, finish: Finish) -> Picture:
    """Return `picture` with what was asked for.

    Raises:
        BadQueryError: the region lies outside the picture, or a GIF should carry a profile.
    """
    if finish.media_type == GIF and finish.wanted.colour_profile:
        raise BadQueryError("iccprofile: ask for image/jpeg or image/png, a GIF carries none")
    if finish.is_redrawn:
        picture = _redrawn(picture, finish)
    if finish.wanted.colour_profile:
        embed = _in_png if picture.media_type == PNG else _in_jpeg
        picture = replace(picture, data=embed(picture.data, _srgb()))
    return picture


def words_of(
    asked: frozenset[str], study: StudyRecord | None, found: InstanceRecord, frame: int
) -> tuple[str, ...]:
    """Return the lines of the annotation asked for, in letters that every picture can show."""
    lines: list[str] = []
    if "patient" in asked and study is not None:
        own = study.patient_name
        name = own.alphabetic or " ".join(syllables(own.ideographic.replace("^", "")))
        born = f"{study.patient_birth_date:%Y-%m-%d}" if study.patient_birth_date else ""
        lines += [name.replace("^", " "), f"{study.patient.value} {study.patient_sex} {born}"]
    if "technique" in asked and study is not None:
        made = f"{study.study_date:%Y-%m-%d}" if study.study_date else ""
        number = "" if found.instance_number is None else f"Im {found.instance_number}"
        lines += [f"{'+'.join(study.modalities)} {made}", f"{number} Fr {frame}"]
    shown = (" ".join(line.split()).encode("ascii", "replace").decode("ascii") for line in lines)
    return tuple(line for line in shown if line)


def fitted(picture: Picture, viewport: tuple[int, int] | None, media_type: str) -> Picture:
    """Return `picture` as `media_type`, small enough for `viewport`; it is never enlarged."""
    width, height = viewport or (picture.width, picture.height)
    fits = picture.width <= width and picture.height <= height
    if fits and picture.media_type == media_type:
        return picture
    with Image.open(io.BytesIO(picture.data)) as opened:
        small = opened if fits else ImageOps.contain(opened, (width, height), _RESAMPLING)
        return _encoded(picture, small, media_type, _THUMBNAIL_QUALITY)


def _redrawn(picture: Picture, finish: Finish) -> Picture:
    with Image.open(io.BytesIO(picture.data)) as opened:
        image = opened.convert("RGB" if opened.mode not in {"L", "RGB"} else opened.mode)
    if finish.wanted.region is not None:
        image = _region(image, finish.wanted.region, finish.wanted.viewport)
    if finish.words:
        _write(image, finish.words)
    return _encoded(picture, image, finish.media_type, finish.quality)


def _encoded(picture: Picture, image: Image.Image, media_type: str, quality: int) -> Picture:
    buffer = io.BytesIO()
    how = {"quality": quality, "subsampling": 0} if media_type == JPEG else {}
    image.save(buffer, _FORMATS[media_type], **how)
    width, height = image.size
    return replace(
        picture, data=buffer.getvalue(), media_type=media_type, width=width, height=height
    )


def _region(
    image: Image.Image, region: SourceRegion, viewport: tuple[int, int] | None
) -> Image.Image:
    across, down = region.whole or image.size
    left, right = _side(region.left, region.width, image.width / across, image.width)
    top, bottom = _side(region.top, region.height, image.height / down, image.height)
    width, height = right - left, bottom - top
    fit = viewport or (round(width), round(height))
    scale = min(fit[0] / width, fit[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    part = image.resize(size, _RESAMPLING, box=(left, top, right, bottom))
    part = ImageOps.mirror(part) if region.width < 0 else part
    return ImageOps.flip(part) if region.height < 0 else part


def _side(start: float, length: float, scale: float, end: int) -> tuple[float, float]:
    """Return where one side of a region begins and ends in a picture that has `end` pixels."""
    stop = min((start + abs(length)) * scale, end) if length else end
    if start * scale >= stop:
        raise BadQueryError("viewport: the region lies outside the image")
    return start * scale, stop


def _write(image: Image.Image, words: Sequence[str]) -> None:
    """Write the lines in the upper left corner, light on a dark ground: readable on any picture."""
    font = ImageFont.load_default(max(_SMALLEST_LETTER, image.height // 32))
    draw = ImageDraw.Draw(image)
    light, dark = (255, 0) if image.mode == "L" else ((255, 255, 255), (0, 0, 0))
    draw.multiline_text(
        (4, 4), "\n".join(words), font=font, fill=light, stroke_width=1, stroke_fill=dark
    )


@functools.cache
def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _in_jpeg(data: bytes, profile: bytes) -> bytes:
    """Return the JPEG with the profile in an APP2 segment after its start (ICC.1 B.4)."""
    body = b"ICC_PROFILE\0\x01\x01" + profile
    return data[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + data[2:]


def _in_png(data: bytes, profile: bytes) -> bytes:
    body = b"iCCP" + b"sRGB\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:_PNG_HEAD] + chunk + data[_PNG_HEAD:]
