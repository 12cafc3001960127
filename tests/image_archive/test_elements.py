"""The walk over data elements: agrees with pydicom on good files, refuses what runs beyond."""

import struct
import warnings
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_kernel.errors import InvalidUidError
from image_archive.deflated import LARGEST_INFLATED_BYTES, inflate, inflate_head
from image_archive.elements import (
    DEEPEST_NESTING,
    LARGEST_VALUE_BYTES,
    Encoding,
    MoreBytesNeededError,
    Wanted,
    check_fragments,
    encoding_of,
    walk,
)
from image_archive.errors import UnreadableInstanceError
from image_archive.file_meta import read_file_meta
from image_archive.header import WANTED, interpret

EXPLICIT = Encoding()
IMPLICIT = Encoding(implicit=True)
ROOT = Path(pydicom.__file__).parent / "data" / "test_files"
# Made by pydicom's authors to be broken, or no composite object; each with what is wrong in it.
BROKEN = {
    "SC_rgb_jpeg.dcm": "implicit VR under an explicit transfer syntax",
    "MR_truncated.dcm": "pixels cut off",
    "rtplan_truncated.dcm": "sequence cut off",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "last fragment torn",
    "DICOMDIR-nooffset": "an item longer than its sequence",
    "meta_missing_tsyntax.dcm": "no transfer syntax",
}


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in {b"SQ", b"OB", b"OW", b"UN", b"UT"}:
        return head + struct.pack("<HI", 0, length) + value
    return head + struct.pack("<H", length) + value


def item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value) if length is None else length) + value


ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
UNDEFINED = 0xFFFFFFFF
UID = element(0x00080018, b"UI", b"1.2.3\0")


def top(data: bytes, encoding: Encoding = EXPLICIT) -> dict[int, bytes]:
    found = walk(data, len(data), encoding, WANTED)
    return {tag: kept.value for tag, kept in found.top.items()}


def good_files() -> list[Path]:
    paths = (path for path in sorted(ROOT.rglob("*")) if path.is_file())
    return [p for p in paths if p.name not in BROKEN and p.read_bytes()[128:132] == b"DICM"]


@cache
def dataset_of(path: Path) -> tuple[bytes, Encoding]:
    data = path.read_bytes()
    meta = read_file_meta(data)
    encoding = encoding_of(meta.transfer_syntax_uid)
    dataset = data[meta.dataset_offset :]
    return (inflate(dataset) if encoding.deflated else dataset), encoding


@pytest.mark.parametrize("path", good_files(), ids=lambda path: path.name)
def test_real_files_read_as_pydicom_reads_them(path: Path) -> None:
    data, encoding = dataset_of(path)
    found = walk(data, len(data), encoding, WANTED)
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    for tag in WANTED.top - {0x00080005}:  # pydicom decodes that one at once
        raw = expected.get_item(tag)
        ours = found.top[tag].value if tag in found.top else None
        theirs = raw.value if raw is not None else None
        assert (ours or None) == ((theirs or b"")[:LARGEST_VALUE_BYTES] or None), hex(tag)


def test_the_broken_files_are_refused() -> None:
    for path in (path for path in ROOT.rglob("*") if path.name in BROKEN):
        with pytest.raises(UnreadableInstanceError):
            data, encoding = dataset_of(path)
            pixels = walk(data, len(data), encoding, WANTED).pixels
            assert pixels
            check_fragments(data, pixels)


@pytest.mark.parametrize("path", good_files(), ids=lambda path: path.name)
def test_the_head_of_a_file_is_enough_or_more_is_asked_for(path: Path) -> None:
    data, encoding = dataset_of(path)
    whole = walk(data, len(data), encoding, WANTED)
    for size in (20, 200, 2000):
        try:
            found = walk(data[:size], len(data), encoding, WANTED)
        except MoreBytesNeededError:
            continue
        assert found == whole


REFUSED = {
    "a length beyond the data": UID + element(0x00100020, b"LO", b"0123456789", 0xFFFE),
    "a 32-bit length beyond the data": UID + element(0x00091001, b"UN", b"x" * 10, 0xFFFFFFFE),
    "an unclosed sequence": UID + element(0x00082112, b"SQ", item(UID), UNDEFINED),
    "an unclosed item": UID + element(0x00082112, b"SQ", item(UID, UNDEFINED), UNDEFINED),
    "an item longer than its sequence": UID + element(0x00082112, b"SQ", item(UID, 99)) + UID * 9,
    "no item inside a sequence": UID + element(0x00082112, b"SQ", UID),
    "undefined length of a text": UID + element(0x00091001, b"UT", b"", UNDEFINED),
    "a torn element head": UID + b"\x10\x00\x20",
    "pixels cut off": UID + element(0x7FE00010, b"OW", b"x" * 10, 1000),
    "two identities": UID + element(0x00080018, b"UI", b"1.2.4\0"),
    "implicit bytes under an explicit syntax": struct.pack("<HHI", 8, 0x18, 6) + b"1.2.3\0",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_broken_structure_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableInstanceError):
        top(data)


def test_explicit_bytes_under_an_implicit_syntax_are_refused() -> None:
    with pytest.raises(UnreadableInstanceError, match="explicit VR"):
        top(UID, IMPLICIT)


ACCEPTED = {
    "an unknown VR": element(0x00090010, b"ZZ", b"abcd") + UID,
    "an implicit element in an explicit dataset": (
        UID + struct.pack("<HHI", 0x0009, 0x0010, 4) + b"abcd"
    ),
    "an empty sequence of undefined length": (
        element(0x00082112, b"SQ", SEQUENCE_END, UNDEFINED) + UID
    ),
    "items of both kinds": (
        element(
            0x00082112, b"SQ", item(UID) + item(UID + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED
        )
        + UID
    ),
    "implicit items in UN of undefined length": (
        element(
            0x00091010,
            b"UN",
            item(struct.pack("<HHI", 8, 0x18, 2) + b"9\0") + SEQUENCE_END,
            UNDEFINED,
        )
        + UID
    ),
    "an icon with encapsulated pixels": (
        element(
            0x00880200,
            b"SQ",
            item(
                element(0x7FE00010, b"OB", item(b"") + item(b"\xff\xd8") + SEQUENCE_END, UNDEFINED)
            ),
        )
        + UID
    ),
    "zeros at the end": UID + b"\0" * 12,
    "group 0002 inside the dataset": element(0x00020010, b"UI", b"1.2\0") + UID,
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_odd_but_whole_structure_is_read(data: bytes) -> None:
    assert top(data) == {0x00080018: b"1.2.3\0"}


def test_elements_of_wanted_sequences_are_collected_and_others_not() -> None:
    wanted = Wanted(frozenset(), frozenset({0x00100020}), frozenset({0x00101002}))
    inside = item(element(0x00100020, b"LO", b"ID 1"))
    data = element(0x00082112, b"SQ", inside) + element(0x00101002, b"SQ", inside)
    found = walk(data, len(data), EXPLICIT, wanted)
    assert [kept.value for kept in found.nested[0x00100020]] == [b"ID 1"]
    assert found.top == {}


def nested(depth: int, *, undefined: bool) -> bytes:
    data = UID
    if undefined:
        start = element(0x00082112, b"SQ", b"", UNDEFINED) + item(b"", UNDEFINED)
        return UID + start * depth + (ITEM_END + SEQUENCE_END) * depth
    for _ in range(depth):
        data = element(0x00082112, b"SQ", item(data))
    return data


@pytest.mark.parametrize("undefined", [True, False])
def test_honest_nesting_is_walked(undefined: bool) -> None:  # noqa: FBT001 (a parameter)
    top(nested(DEEPEST_NESTING, undefined=undefined))


@pytest.mark.parametrize(
    ("depth", "undefined"), [(250, True), (100_000, True), (250, False), (2000, False)]
)
def test_hostile_nesting_is_refused_without_recursion(
    depth: int,
    undefined: bool,  # noqa: FBT001 (a parameter)
) -> None:
    with pytest.raises(UnreadableInstanceError, match="nested deeper"):
        top(nested(depth, undefined=undefined))


def test_a_dataset_of_endless_elements_is_refused() -> None:
    data = element(0x00091001, b"LO", b"") * 1_100_000
    with pytest.raises(UnreadableInstanceError, match="more than 1000000"):
        top(data)


def test_four_hundred_thousand_elements_are_walked() -> None:
    data = element(0x00091001, b"LO", b"") * 400_000 + UID
    assert top(data) == {0x00080018: b"1.2.3\0"}


@pytest.mark.parametrize(
    "fragments",
    [
        item(b""),
        item(b"") + item(b"x" * 10, 4000) + SEQUENCE_END,
        item(b"") + UID + SEQUENCE_END,
        b"",
    ],
)
def test_torn_fragments_are_refused(fragments: bytes) -> None:
    data = UID + element(0x7FE00010, b"OB", fragments, UNDEFINED)
    pixels = walk(data, len(data), EXPLICIT, WANTED).pixels
    assert pixels
    assert pixels.length is None
    with pytest.raises(UnreadableInstanceError):
        check_fragments(data, pixels)


def test_whole_fragments_pass() -> None:
    data = UID + element(0x7FE00010, b"OB", item(b"") + item(b"xy") + SEQUENCE_END, UNDEFINED)
    pixels = walk(data, len(data), EXPLICIT, WANTED).pixels
    assert pixels
    check_fragments(data, pixels)


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def test_a_deflated_dataset_is_inflated() -> None:
    data = UID * 1000
    assert inflate(deflated(data)) == data
    assert inflate(deflated(data) + b"\0") == data
    assert inflate_head(deflated(data), 10) == (data[:10], len(data))


def test_a_deflate_bomb_is_refused_within_bounds() -> None:
    bomb = deflated(b"\0" * (LARGEST_INFLATED_BYTES + 1))
    assert len(bomb) < 300_000
    with pytest.raises(UnreadableInstanceError, match="beyond"):
        inflate_head(bomb, 10)


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff", deflated(UID * 1000)[:-5]])
def test_a_damaged_deflate_stream_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableInstanceError):
        inflate(data)


SMALL = [path for path in good_files() if path.stat().st_size < 60_000]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_headers_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SMALL))
    dataset, encoding = dataset_of(path)
    mutated = bytearray(dataset)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, min(len(mutated) - 1, 4000)))
        mutated[position : position + 1] = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"\xff\xff\xff\xff", b"SQ", b"UN"]))
        )
    try:
        elements = walk(bytes(mutated), len(mutated), encoding, WANTED)
        if elements.pixels and elements.pixels.length is None:
            check_fragments(bytes(mutated), elements.pixels)
        header = interpret(elements, big_endian=encoding.big_endian, charset_habit="")
    except (UnreadableInstanceError, InvalidUidError):
        return
    assert 1 <= len(header.sop_instance_uid) <= 64
    assert "\0" not in header.patient.patient_id


@settings(max_examples=300, deadline=None)
@given(noise=st.binary(max_size=300), implicit=st.booleans(), big=st.booleans())
def test_noise_is_read_or_refused_and_nothing_else(
    noise: bytes,
    implicit: bool,  # noqa: FBT001 (drawn)
    big: bool,  # noqa: FBT001 (drawn)
) -> None:
    with suppress(UnreadableInstanceError):
        walk(noise, len(noise), Encoding(implicit=implicit, big_endian=big), WANTED)
