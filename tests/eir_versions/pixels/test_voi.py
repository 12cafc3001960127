"""Windows against the closed forms of PS3.3 C.11.2.1.2 and C.11.2.1.3, in exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from eir_versions.pixels import (
    GrayscaleTransform,
    Padding,
    PixelFormat,
    Rescale,
    Window,
    WindowFunction,
    lookup_table,
    render_grayscale,
)
from eir_versions.pixels.model import PictureArray, RealArray

LAYOUT = PixelFormat(64, 64, 16, 12, 11, signed=True)
VALUES = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)


def shown(transform: GrayscaleTransform, values: RealArray = VALUES) -> PictureArray:
    return render_grayscale(values, LAYOUT, transform)


def linear(value: int, center: Fraction, width: Fraction) -> int:
    if width == 1:
        return 255 if value > center - Fraction(1, 2) else 0
    middle = center - Fraction(1, 2)
    if value <= middle - (width - 1) / 2:
        return 0
    if value > middle + (width - 1) / 2:
        return 255
    return math.floor(255 * ((value - middle) / (width - 1) + Fraction(1, 2)))


def linear_exact(value: int, center: Fraction, width: Fraction) -> int:
    if value <= center - width / 2:
        return 0
    if value > center + width / 2:
        return 255
    return math.floor(255 * ((value - center) / width + Fraction(1, 2)))


def sigmoid(value: int, center: float, width: float) -> int:
    exponent = -4 * (value - center) / width
    return 0 if exponent > 700 else math.floor(255 / (1 + math.exp(exponent)))


# Windows whose ramps never hit an integer exactly: there floating point may fall to either side.
@pytest.mark.parametrize(("center", "width"), [(40, 350), (0.25, 811.5), (-300.5, 1501.25)])
def test_linear_is_the_closed_form(center: float, width: float) -> None:
    expected = [linear(int(v), Fraction(center), Fraction(width)) for v in VALUES.flat]
    assert shown(GrayscaleTransform(voi=Window(center, width))).ravel().tolist() == expected


@pytest.mark.parametrize(("center", "width"), [(40.3, 350.7), (0.1, 0.4), (-300.7, 1501.9)])
def test_linear_exact_is_the_closed_form(center: float, width: float) -> None:
    window = Window(center, width, WindowFunction.LINEAR_EXACT)
    expected = [linear_exact(int(v), Fraction(center), Fraction(width)) for v in VALUES.flat]
    assert shown(GrayscaleTransform(voi=window)).ravel().tolist() == expected


def test_linear_exact_is_not_linear() -> None:
    exact = shown(GrayscaleTransform(voi=Window(40, 80, WindowFunction.LINEAR_EXACT)))
    assert (exact != shown(GrayscaleTransform(voi=Window(40, 80)))).any()


@pytest.mark.parametrize(("center", "width"), [(40.0, 350.0), (-17.3, 1.0), (0.0, 4096.0)])
def test_sigmoid_is_the_closed_form(center: float, width: float) -> None:
    window = Window(center, width, WindowFunction.SIGMOID)
    expected = [sigmoid(int(v), center, width) for v in VALUES.flat]
    assert shown(GrayscaleTransform(voi=window)).ravel().tolist() == expected


def test_width_one_is_a_threshold_at_the_center() -> None:
    picture = shown(GrayscaleTransform(voi=Window(40, 1)))
    assert set(picture[VALUES < 40].tolist()) == {0}
    assert set(picture[VALUES >= 40].tolist()) == {255}


def test_a_linear_width_below_one_is_drawn_exactly_and_not_refused() -> None:
    picture = shown(GrayscaleTransform(voi=Window(40, 0.5)))
    assert set(picture[VALUES < 40].tolist()) == {0}
    assert set(picture[VALUES > 40].tolist()) == {255}


@pytest.mark.parametrize("function", list(WindowFunction))
def test_inversion_happens_before_the_floor(function: WindowFunction) -> None:
    window = Window(40.3, 350.7, function)
    plain = shown(GrayscaleTransform(voi=window)).astype(int)
    inverse = shown(GrayscaleTransform(voi=window, inverse=True)).astype(int)
    sums = set((plain + inverse).ravel().tolist())
    assert 254 in sums  # 255 everywhere would mean: inverted after the floor
    assert sums <= {254, 255}


def test_a_negative_slope_turns_the_values_and_not_the_window() -> None:
    upright = shown(GrayscaleTransform(Rescale(1, 0), Window(100, 400)))
    turned = shown(GrayscaleTransform(Rescale(-1, 0), Window(100, 400)))
    assert (turned[VALUES == 50] == upright[VALUES == -50]).all()
    assert turned[VALUES == -299] > turned[VALUES == 99]


def test_modality_values_are_truncated_towards_zero() -> None:
    transform = GrayscaleTransform(Rescale(0.4, 0), Window(0.5, 1))  # black to 0, white from 1
    picture = shown(transform)
    assert set(picture[(VALUES > -4) & (VALUES <= 2)].tolist()) == {0}
    assert set(picture[VALUES >= 3].tolist()) == {255}


def test_a_slope_that_leaves_few_integers_keeps_its_fractions() -> None:
    transform = GrayscaleTransform(Rescale(0.0001, 0))
    assert len(np.unique(shown(transform))) == 256


@pytest.mark.parametrize(
    "window", [Window(40, 0), Window(40, -5), Window(math.nan, 100), Window(40, math.inf)]
)
def test_an_unusable_window_shows_the_range_of_the_frame(window: Window) -> None:
    picture = shown(GrayscaleTransform(voi=window))
    assert (picture.min(), picture.max()) == (0, 255)
    assert (picture == shown(GrayscaleTransform())).all()


@pytest.mark.parametrize("slope", [0.0, math.nan, math.inf])
def test_an_unusable_slope_is_left_out(slope: float) -> None:
    picture = shown(GrayscaleTransform(Rescale(slope, 5), Window(0, 2000)))
    assert (picture == shown(GrayscaleTransform(voi=Window(0, 2000)))).all()


def test_padding_is_black_and_does_not_stretch_the_range() -> None:
    values = np.full((64, 64), 100, dtype=np.int16)
    values[0, 0], values[1] = 50, -2000
    picture = shown(GrayscaleTransform(padding=Padding(-2000, -2000), inverse=True), values)
    assert set(picture[1].tolist()) == {0}
    assert picture[0, 0] == 255
    assert set(picture[2].tolist()) == {0}


def test_padding_may_be_a_range_in_either_order() -> None:
    window = Window(0, 10)
    assert (
        shown(GrayscaleTransform(voi=window, padding=Padding(5, 9)))
        == shown(GrayscaleTransform(voi=window, padding=Padding(9, 5)))
    ).all()


def test_a_voi_table_clamps_inputs_outside_its_range() -> None:
    table = lookup_table((3, 10, 8), np.array([7, 100, 255], np.uint16), signed=True)
    picture = shown(GrayscaleTransform(voi=table))
    assert set(picture[VALUES <= 10].tolist()) == {7}
    assert picture[VALUES == 11].tolist() == [100]
    assert set(picture[VALUES >= 12].tolist()) == {255}


def test_a_table_of_twelve_bits_is_floored_to_eight() -> None:
    table = lookup_table((2, 0, 12), np.array([2048, 4095], np.uint16), signed=True)
    picture = shown(GrayscaleTransform(voi=table))
    assert picture[VALUES == 0].tolist() == [math.floor(256 * 2048 / 4096)]
    assert picture[VALUES == 1].tolist() == [255]


def test_a_modality_table_feeds_the_window() -> None:
    table = lookup_table((2, 0, 16), np.array([0, 1000], np.uint16), signed=True)
    picture = shown(GrayscaleTransform(table, Window(500.5, 1001)))
    assert set(picture[VALUES <= 0].tolist()) == {0}
    assert set(picture[VALUES >= 1].tolist()) == {255}


def test_large_and_small_frames_give_the_same_levels() -> None:
    transform = GrayscaleTransform(Rescale(0.7, -12), Window(33, 501), inverse=True)
    large = np.tile(VALUES, (2, 1))
    assert (render_grayscale(large, LAYOUT, transform)[:64] == shown(transform)).all()


def test_floating_point_pixels_are_shown_over_their_finite_range() -> None:
    layout = PixelFormat(1, 4, 32, 32, 31, floating=True)
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    assert render_grayscale(values, layout, GrayscaleTransform()).tolist() == [[0, 127, 255, 0]]


def test_a_flat_frame_is_a_picture() -> None:
    assert shown(GrayscaleTransform(), np.zeros((64, 64), np.int16)).shape == (64, 64)
