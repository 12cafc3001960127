import numpy as np
import pytest

from eir_versions.pixels import PixelsError, expand_segmented, lookup_table


def entries(*values: int) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    return np.array(values, np.uint16)


def test_a_count_of_zero_means_65536() -> None:
    table = lookup_table((0, 0, 16), np.arange(65536, dtype=np.uint16), signed=False)
    assert table.apply(np.array([65535])).tolist() == [65535]


def test_the_first_value_is_signed_where_the_input_is() -> None:
    assert lookup_table((2, 0xFFFE, 8), entries(1, 2), signed=True).first == -2
    assert lookup_table((2, 0xFFFE, 8), entries(1, 2), signed=False).first == 0xFFFE


def test_a_table_shorter_than_declared_extends_its_last_entry() -> None:
    table = lookup_table((256, 0, 8), entries(5, 6), signed=False)
    assert table.apply(np.array([0, 1, 200])).tolist() == [5, 6, 6]


@pytest.mark.parametrize("bits", [0, 17, 99])
def test_an_impossible_depth_is_taken_from_the_entries(bits: int) -> None:
    assert lookup_table((2, 0, bits), entries(0, 1000), signed=False).maximum == 1023


def test_entries_beyond_the_declared_depth_widen_it() -> None:
    assert lookup_table((2, 0, 8), entries(0, 4095), signed=False).maximum == 4095


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(PixelsError):
        lookup_table((2, 0, 8), entries(), signed=False)


def test_segments_are_expanded_as_the_standard_says() -> None:
    # PS3.3 C.7.9.2: discrete 2 values, linear of 4 to 100, indirect to the first segment.
    words = [0, 2, 10, 20, 1, 4, 100, 2, 1, 0, 0]
    assert expand_segmented(words, 8).tolist() == [10, 20, 40, 60, 80, 100, 10, 20]


def test_expansion_stops_at_the_declared_count() -> None:
    words = [0, 1, 0, 1, 60000, 65535, 1, 60000, 0]
    assert len(expand_segmented(words, 256)) == 256


@pytest.mark.parametrize(
    "words",
    [[0, 5, 1], [1, 5, 9], [7, 1, 1], [0], [0, 1, 3, 1, 4], [2, 1, 0, 0]],
    ids=["cut", "linear first", "unknown", "no length", "no end", "points to itself"],
)
def test_impossible_segments_are_refused(words: list[int]) -> None:
    with pytest.raises(PixelsError):
        expand_segmented(words, 256)
