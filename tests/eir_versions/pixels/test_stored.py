import numpy as np
import pytest

from eir_versions.pixels import PixelFormat, PixelsError, stored_values, unpack_words


def test_only_the_stored_bits_count() -> None:
    layout = PixelFormat(1, 2, 16, 12, 11)
    words = np.array([0xF123, 0x0ABC], np.uint16)
    assert stored_values(words, layout).tolist() == [0x123, 0xABC]


def test_a_high_bit_above_the_stored_bits_shifts() -> None:
    layout = PixelFormat(1, 1, 16, 12, 15)
    assert stored_values(np.array([0xABCF], np.uint16), layout).tolist() == [0xABC]


def test_signed_values_are_extended_from_the_stored_bits() -> None:
    layout = PixelFormat(1, 3, 16, 12, 11, signed=True)
    words = np.array([0x0FFF, 0x0800, 0x07FF], np.uint16)
    assert stored_values(words, layout).tolist() == [-1, -2048, 2047]


@pytest.mark.parametrize("order", [False, True])
def test_words_are_read_in_the_byte_order_told(order: bool) -> None:  # noqa: FBT001 - parameter
    layout = PixelFormat(1, 2, 32, 32, 31)
    data = np.array([1, 2**31], ">u4" if order else "<u4").tobytes()
    assert unpack_words(data, layout, big_endian=order).tolist() == [1, 2**31]


def test_single_bits_start_anywhere_in_a_byte() -> None:
    layout = PixelFormat(1, 3, 1, 1, 0)
    assert unpack_words(bytes([0b0110_1000]), layout, first_bit=3).tolist() == [1, 0, 1]


def test_missing_bytes_are_refused() -> None:
    with pytest.raises(PixelsError):
        unpack_words(b"\0\0\0", PixelFormat(1, 2, 16, 16, 15))


@pytest.mark.parametrize(
    "attributes",
    [
        {"rows": 0},
        {"columns": 0},
        {"rows": -1},
        {"columns": 65536},
        {"bits_allocated": 0, "bits_stored": 0},
        {"bits_allocated": 7, "bits_stored": 7, "high_bit": 6},
        {"bits_allocated": 12, "bits_stored": 12, "high_bit": 11},
        {"bits_allocated": 64, "bits_stored": 64, "high_bit": 63},
        {"bits_stored": 0},
        {"bits_stored": 17},
        {"high_bit": 16},
        {"high_bit": 3},
        {"samples": 0},
        {"samples": 2},
        {"samples": 255},
    ],
)
def test_impossible_formats_are_refused(attributes: dict[str, int]) -> None:
    plain = {"rows": 4, "columns": 4, "bits_allocated": 16, "bits_stored": 16, "high_bit": 15}
    PixelFormat(**plain)
    with pytest.raises(PixelsError):
        PixelFormat(**{**plain, **attributes})
