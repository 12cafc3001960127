import numpy as np
import pytest

from eir_versions.pixels import Overlay, PixelsError, burn_overlays
from eir_versions.pixels.overlays import overlay_bitmap


def test_overlay_bits_are_read_from_the_least_significant() -> None:
    assert overlay_bitmap(bytes([0b0000_0101]), 1, 4).tolist() == [[True, False, True, False]]


def test_the_second_overlay_frame_need_not_start_at_a_byte() -> None:
    assert overlay_bitmap(bytes([0b0010_1000]), 1, 3, frame=1).tolist() == [[True, False, True]]


@pytest.mark.parametrize(("rows", "columns", "frame"), [(65535, 65535, 0), (0, 4, 0), (1, 9, 0)])
def test_impossible_planes_are_refused(rows: int, columns: int, frame: int) -> None:
    with pytest.raises(PixelsError):
        overlay_bitmap(b"\0", rows, columns, frame)


def test_what_lies_outside_the_picture_is_cut_off() -> None:
    picture = np.zeros((2, 2), np.uint8)
    overlay = Overlay(0, 2, np.ones((2, 5), np.bool_))
    assert burn_overlays(picture, (overlay,)).tolist() == [[0, 255], [0, 0]]
    assert picture.max() == 0


def test_an_overlay_far_away_changes_nothing() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    overlay = Overlay(-50, 900, np.ones((3, 3), np.bool_))
    assert burn_overlays(picture, (overlay,)).max() == 0
