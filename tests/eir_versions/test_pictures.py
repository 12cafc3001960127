"""Encoded pictures: same bytes every time, true aspect, ceilings, watermarks, fidelity."""

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eir_versions.encoders import decode_picture, encode_jpeg, encode_png, resized
from eir_versions.fidelity import psnr_db, ssim
from eir_versions.jobs import JPEG, PNG, Picture, PictureJob
from eir_versions.pictures import make_picture
from eir_versions.pixels import Window
from eir_versions.watermark import BUILTIN_FONT, available_font, burn_watermark
from eir_versions.wire import job_from_json, job_to_json
from tests.eir_versions.builders import SAMPLES, TEST_FILES, image_dataset, opened, part10, rendered

GRADIENT = np.add.outer(np.arange(96), np.arange(128)).astype(np.uint16)


def made(job: PictureJob | None = None, **attributes: Any) -> Picture:
    return make_picture(opened(part10(image_dataset(GRADIENT, **attributes))), job or PictureJob())


def drawn(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.data))


@pytest.mark.parametrize(
    "job",
    [
        PictureJob(),
        PictureJob(media_type=PNG),
        PictureJob(box=(40, 40)),
        PictureJob(ratio_ceiling=5.0),
        PictureJob(watermark=("NO", "NO"), font=BUILTIN_FONT),
    ],
    ids=["jpeg", "png", "reduced", "ceiling", "watermark"],
)
def test_the_same_job_gives_the_same_bytes(job: PictureJob) -> None:
    path = SAMPLES / "693_UNCR.dcm"
    first, second = (make_picture(opened(path), job) for _ in range(2))
    assert first == second
    assert first.sha256 == second.sha256


def test_a_png_holds_the_rendered_pixels_exactly() -> None:
    path = SAMPLES / "RG3_UNCR.dcm"
    picture = make_picture(opened(path), PictureJob(media_type=PNG, aspect=False))
    assert (decode_picture(picture.data) == rendered(path)).all()


def test_a_jpeg_is_one_to_look_at_and_carries_no_metadata() -> None:
    picture = made()
    image = drawn(picture)
    assert (image.format, image.mode, image.size) == ("JPEG", "L", (128, 96))
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert psnr_db(rendered(part10(image_dataset(GRADIENT))), decode_picture(picture.data)) > 40


def test_pixels_that_are_not_square_are_shown_in_their_true_aspect() -> None:
    assert drawn(made(PixelAspectRatio=[2, 1])).size == (128, 192)
    assert drawn(made(PixelSpacing=["0.5", "1"])).size == (256, 96)
    assert drawn(made(PictureJob(aspect=False), PixelAspectRatio=[2, 1])).size == (128, 96)


def test_a_box_keeps_the_aspect() -> None:
    assert drawn(made(PictureJob(box=(64, 64)))).size == (64, 48)
    assert drawn(made(PictureJob(box=(64, 64)), PixelAspectRatio=[2, 1])).size == (43, 64)


def test_a_window_asked_for_is_used() -> None:
    picture = made(PictureJob(media_type=PNG, window=Window(100, 1)))
    assert set(np.unique(decode_picture(picture.data)).tolist()) == {0, 255}


@pytest.mark.parametrize("ceiling", [5.0, 8.0, 15.0])
def test_a_ceiling_is_never_exceeded(ceiling: float) -> None:
    picture = make_picture(
        opened(SAMPLES / "693_UNCR.dcm"), PictureJob(quality=60, ratio_ceiling=ceiling)
    )
    assert picture.compression_ratio is not None
    assert picture.compression_ratio <= ceiling
    assert picture.compression_ratio == pytest.approx(512 * 512 / len(picture.data))
    assert picture.psnr_db is not None
    assert picture.psnr_db > 30
    assert picture.ssim is not None
    assert 0.9 < picture.ssim <= 1


def test_a_lower_ceiling_asks_for_a_higher_quality() -> None:
    path = SAMPLES / "693_UNCR.dcm"
    qualities = [
        make_picture(opened(path), PictureJob(quality=60, ratio_ceiling=ceiling)).quality or 100
        for ceiling in (20.0, 8.0, 5.0)
    ]
    assert qualities == sorted(qualities)
    assert qualities[0] < qualities[-1]


def test_where_no_jpeg_is_below_the_ceiling_nothing_is_lost() -> None:
    flat = image_dataset(np.zeros((256, 256), np.uint8))
    picture = make_picture(opened(part10(flat)), PictureJob(ratio_ceiling=5.0))
    assert (picture.media_type, picture.quality, picture.ssim) == (PNG, None, 1.0)
    assert decode_picture(picture.data).max() == 0


def test_the_figures_of_fidelity_are_those_of_the_definitions() -> None:
    first = np.full((16, 16), 100, np.uint8)
    assert psnr_db(first, first) == math.inf
    assert psnr_db(first, first + 5) == pytest.approx(10 * math.log10(255**2 / 25))
    assert ssim(first, first) == pytest.approx(1.0)
    noise = np.random.default_rng(1).integers(0, 256, (16, 16)).astype(np.uint8)
    assert ssim(first, noise) < 0.2
    assert ssim(noise[:4, :4], noise[:4, :4]) == pytest.approx(1.0)


@pytest.mark.parametrize("level", [0, 127, 128, 255])
@pytest.mark.parametrize("channels", [0, 3])
def test_a_watermark_can_be_seen_on_every_grey(level: int, channels: int) -> None:
    shape = (300, 400, channels) if channels else (300, 400)
    plain = np.full(shape, level, np.uint8)
    marked = burn_watermark(plain, ("TILE", "line of text"), BUILTIN_FONT)
    assert marked.shape[0] > 300
    assert marked.shape[1] == 400
    inside = np.abs(marked[:300].astype(int) - level)
    changed = inside.reshape(300, 400, -1).max(axis=-1) > 15
    assert changed[:150].any()
    assert changed[150:].any()
    assert marked[300:].max() == 255


def test_a_watermark_without_a_chinese_font_falls_back() -> None:
    assert available_font(("no-such-font.ttf",)) == BUILTIN_FONT
    assert available_font(()) == BUILTIN_FONT


def test_a_tiny_picture_is_enlarged_before_text_is_put_on_it() -> None:
    job = PictureJob(watermark=("X", "X"), font=BUILTIN_FONT)
    picture = make_picture(opened(TEST_FILES / "MR_small.dcm"), job)
    assert picture.width == 512


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_encoders_take_gray_and_colour(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    assert (decode_picture(encode_png(array)) == array).all()
    assert decode_picture(encode_jpeg(array, 90)).shape == array.shape
    assert resized(array, (15, 10)).shape[:2] == (10, 15)
    assert resized(array, (30, 20)) is array


def test_a_job_survives_the_wire() -> None:
    job = PictureJob(
        3, Window(1.5, 2.5), (10, 20), PNG, 77, 5.5, overlays=True, watermark=("a", "b"), font="f"
    )
    assert job_from_json(job_to_json(job)) == job
    assert job_from_json(job_to_json(PictureJob())) == PictureJob()
    assert PictureJob().media_type == JPEG
