import numpy as np
import pytest

from eir_versions.pixels import (
    PixelFormat,
    PixelsError,
    apply_palette,
    interleave,
    lookup_table,
    rgb_from_ybr,
    to_eight_bits,
)
from eir_versions.pixels.colour import expand_422


def test_ybr_of_primary_colours_is_rgb() -> None:
    # Y, Cb, Cr of black, white, red, green and blue after PS3.3 C.7.6.3.1.2, rounded.
    ybr = [[0, 128, 128], [255, 128, 128], [76, 85, 255], [150, 44, 21], [29, 255, 107]]
    rgb = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    difference = rgb_from_ybr(np.array([ybr], np.uint8)).astype(int) - np.array([rgb])
    assert np.abs(difference).max() <= 2


def test_partial_range_reaches_black_and_white() -> None:
    ybr = np.array([[[16, 128, 128], [235, 128, 128]]], np.uint8)
    assert rgb_from_ybr(ybr, partial=True).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_planes_and_pixels_give_the_same_picture() -> None:
    layout = PixelFormat(2, 2, 8, 8, 7, samples=3)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    planes = pixels.transpose(2, 0, 1).ravel()
    assert (interleave(planes, layout, planar=True) == pixels).all()
    assert (interleave(pixels.ravel(), layout, planar=False) == pixels).all()


def test_subsampled_chroma_is_shared_by_two_pixels() -> None:
    layout = PixelFormat(1, 4, 8, 8, 7, samples=3)
    data = np.array([1, 2, 30, 40, 3, 4, 50, 60], np.uint8)
    expected = [[[1, 30, 40], [2, 30, 40], [3, 50, 60], [4, 50, 60]]]
    assert expand_422(data, layout).tolist() == expected


def test_subsampled_chroma_needs_pairs_and_all_bytes() -> None:
    with pytest.raises(PixelsError):
        expand_422(np.zeros(99, np.uint8), PixelFormat(1, 3, 8, 8, 7, samples=3))
    with pytest.raises(PixelsError):
        expand_422(np.zeros(7, np.uint8), PixelFormat(1, 4, 8, 8, 7, samples=3))


def test_a_palette_of_sixteen_bits_keeps_its_high_byte() -> None:
    table = lookup_table((2, 0, 16), np.array([0x1234, 0xFFFF], np.uint16), signed=False)
    picture = apply_palette(np.array([[0, 1, 9]]), (table, table, table))
    assert picture.tolist() == [[[0x12] * 3, [255] * 3, [255] * 3]]


def test_deep_colour_keeps_its_high_bits() -> None:
    assert to_eight_bits(np.array([0xFF00, 0x0100]), 16).tolist() == [255, 1]
