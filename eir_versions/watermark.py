"""The watermark of pictures that leave the hospital: tiled across, and a line of text below."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eir_versions.pixels.model import PictureArray

BUILTIN_FONT = "builtin"
_TILE_OPACITY = 72
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@functools.lru_cache(maxsize=8)
def available_font(names: tuple[str, ...]) -> str:
    """Return the first of these font files that the system has, else `BUILTIN_FONT`.

    The built-in font has no Chinese characters: the ASCII wording is used with it.
    """
    return next((name for name in names if _loads(name)), BUILTIN_FONT)


def burn_watermark(picture: PictureArray, lines: Sequence[str], font_name: str) -> PictureArray:
    """Return the picture with the first line tiled across it and the others in a bar at the foot.

    The text becomes part of the pixels; it cannot be taken off by leaving something out.
    """
    image = Image.fromarray(picture)
    width, height = image.size
    size = max(10, min(width, height) // 24)
    _tile(image, lines[0], font_of_size(font_name, size * 2))
    bar = _bar(lines[1:] or lines, font_of_size(font_name, size), width, image.mode)
    burned = Image.new(image.mode, (width, height + bar.height))
    burned.paste(image, (0, 0))
    burned.paste(bar, (0, height))
    return np.asarray(burned)


def _loads(name: str) -> bool:
    try:
        ImageFont.truetype(name, 12)
    except OSError:
        return False
    return True


def font_of_size(name: str, size: int) -> _Font:
    """Return a font that `available_font` named, at a height in pixels."""
    if name == BUILTIN_FONT:
        return ImageFont.load_default(size)
    return ImageFont.truetype(name, size)


def _tile(image: Image.Image, text: str, font: _Font) -> None:
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    left, top, right, bottom = (int(edge) for edge in draw.textbbox((0, 0), text, font=font))
    step_x, step_y = max(right - left, 1) * 3 // 2, max(bottom - top, 1) * 5
    for row, y in enumerate(range(step_y // 4, image.height, step_y)):
        for x in range(-(row % 2) * step_x // 2, image.width, step_x):
            draw.text((x, y), text, fill=_TILE_OPACITY, font=font)
    contrast = image.point(lambda level: 0 if level > 127 else 255)
    image.paste(contrast, (0, 0), mask)


def _bar(lines: Sequence[str], font: _Font, width: int, mode: str) -> Image.Image:
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    wrapped = [part for line in lines for part in _wrap(line, font, draw, width)]
    boxes = [draw.textbbox((0, 0), line, font=font) for line in wrapped]
    line_height = int(max(box[3] for box in boxes)) + 4
    bar = Image.new(mode, (width, line_height * len(wrapped) + 4), "black")
    writer = ImageDraw.Draw(bar)
    for row, line in enumerate(wrapped):
        writer.text((4, 2 + row * line_height), line, fill="white", font=font)
    return bar


def _wrap(line: str, font: _Font, draw: ImageDraw.ImageDraw, width: int) -> list[str]:
    parts, current = [], ""
    for character in line:
        if current and draw.textlength(current + character, font=font) > width - 8:
            parts.append(current)
            current = ""
        current += character
    return [*parts, current]
