"""Rows 34 to 43: pixels and what describes them; refused at the door or when they are rendered."""

import struct
from collections.abc import Callable

import imagecodecs
import numpy as np

from tests.hostile.after_receipt import absent, neighbour_unharmed, pictures, with_neighbour
from tests.hostile.arena import Trial
from tests.hostile.datasets import Raw, fragments, short, text
from tests.hostile.model import Case

JPEG_2000, RLE, LOSSLESS_JPEG = (
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70",
)  # fmt: skip
_EIGHT_BITS = (short(0x00280100, 8), short(0x00280101, 8), short(0x00280102, 7))
_SMALL = np.zeros((8, 8), np.uint8)


def refused(*changes: Raw) -> Callable[[Trial], str]:
    """Send such a slice into a series that has an honest one."""

    def attack(trial: Trial) -> str:
        neighbour = with_neighbour(trial)
        outcome = trial.store(trial.dataset(*changes))
        return f"{outcome}, {absent(trial)}, {neighbour_unharmed(trial, neighbour)}"

    return attack


def shown(*changes: Raw) -> Callable[[Trial], str]:
    """Store a slice with these elements beside an honest one, then ask for pictures everywhere."""

    def attack(trial: Trial) -> str:
        neighbour = with_neighbour(trial)
        outcome = trial.store(trial.dataset(*changes))
        return f"{outcome}, {pictures(trial)}, {neighbour_unharmed(trial, neighbour)}"

    return attack


def compressed(syntax: str, pixels: Callable[[], Raw], *changes: Raw) -> Callable[[Trial], str]:
    """Store encapsulated pixels beside an honest slice, then ask for pictures everywhere."""

    def attack(trial: Trial) -> str:
        neighbour = with_neighbour(trial)
        data = trial.dataset(*_EIGHT_BITS, *changes, pixels())
        outcome = trial.store(data, syntax=syntax)
        seen = pictures(trial) if outcome == "stored" else absent(trial)
        return f"{outcome}, {seen}, {neighbour_unharmed(trial, neighbour)}"

    return attack


def _forged_j2k() -> Raw:
    stream = imagecodecs.jpeg2k_encode(_SMALL, codecformat="j2k")
    at = stream.index(b"\xff\x51") + 6
    return fragments(stream[:at] + struct.pack(">LL", 2**31, 2**31) + stream[at + 8 :])


def _small_j2k() -> Raw:
    return fragments(imagecodecs.jpeg2k_encode(_SMALL, codecformat="j2k"))


def _other_size() -> Raw:
    return fragments(imagecodecs.jpeg2k_encode(np.zeros((16, 8), np.uint8), codecformat="j2k"))


def _torn_rle() -> Raw:
    return fragments(struct.pack("<16L", 2, 64, 2**31, *[0] * 13) + bytes(32))


def _lying_table() -> Raw:
    """Two frames in three fragments, of which nothing says whose the second is."""
    stream = imagecodecs.ljpeg_encode(_SMALL)
    torn = (stream, b"\xff\xd8\xff\xfe", stream)
    return fragments(*torn, table=struct.pack("<LL", 0, 2**31))


def _lying_table_of_whole_frames() -> Raw:
    stream = imagecodecs.ljpeg_encode(_SMALL)
    return fragments(stream, stream, table=struct.pack("<LL", 0, 2**31))


def two_frames(syntax: str, pixels: Callable[[], Raw], count: str) -> Callable[[Trial], str]:
    """Store pixels that are said to be `count` frames beside an honest slice; ask for two."""

    def attack(trial: Trial) -> str:
        neighbour = with_neighbour(trial)
        data = trial.dataset(*_EIGHT_BITS, text(0x00280008, b"IS", count), pixels())
        outcome = trial.store(data, syntax=syntax)
        seen = f"frame 1 {pictures(trial)}, frame 2 {pictures(trial, 2)}"
        return f"{outcome}, {seen}, {neighbour_unharmed(trial, neighbour)}"

    return attack


def mutations(count: int) -> Callable[[Trial], str]:
    """Codestreams with a few bytes changed: whatever the decoder does, the hub goes on."""

    def attack(trial: Trial) -> str:
        chance = np.random.default_rng(40)
        image = chance.integers(0, 4096, (64, 64)).astype(np.uint16)
        whole = imagecodecs.jpeg2k_encode(image, codecformat="j2k")
        size = (short(0x00280010, 64), short(0x00280011, 64))
        for number in range(1, count + 1):
            stream = bytearray(whole)
            for _ in range(chance.integers(1, 12)):
                stream[chance.integers(len(stream))] = chance.integers(256)
            data = trial.dataset(*size, fragments(bytes(stream)), instance=number)
            uid = trial.sop_uid(number)
            assert trial.store(data, sop_instance_uid=uid, syntax=JPEG_2000) == "stored"
            answer = trial.get(f"{trial.instance_url(number)}/rendered")
            assert answer.status in {200, 404}, answer.status
        return "each shown or no picture"

    return attack


_PALETTE = (
    text(0x00280004, b"CS", "PALETTE COLOR"),
    *(Raw(0x00281101 + n, b"US", struct.pack("<HHH", 64, 0, 8)) for n in range(3)),
    *(Raw(0x00281201 + n, b"OW", bytes([7, 9])) for n in range(3)),
)
_LUT = Raw(
    0x00283010,
    b"SQ",
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    + Raw(0x00283002, b"US", struct.pack("<HHH", 4096, 0, 16)).encode()
    + Raw(0x00283006, b"OW", bytes(20)).encode()
    + b"\xfe\xff\x0d\xe0\0\0\0\0",
)
_OVERLAY = (
    short(0x60000010, 65535), short(0x60000011, 65535), text(0x60000040, b"CS", "G"),
    Raw(0x60000050, b"SS", struct.pack("<hh", 1, 1)), short(0x60000100, 1), short(0x60000102, 0),
    Raw(0x60003000, b"OW", b"\0\0"),
)  # fmt: skip
_REFUSED = "0xC000 and quarantined, nowhere shown, neighbour unharmed"
_SHOWN = "stored, shown, neighbour unharmed"
_NO_PICTURE = "stored, no picture, neighbour unharmed"
_HUGE = (short(0x00280010, 65535), short(0x00280011, 65535))

PIXEL_CASES = (
    Case(34, "giant", _REFUSED,
         refused(*_HUGE, text(0x00280008, b"IS", str(2**31 - 1)),
                 Raw(0x7FE00010, b"OW", bytes(100)))),
    Case(34, "giant in JPEG 2000", _NO_PICTURE, compressed(JPEG_2000, _small_j2k, *_HUGE)),
    Case(34, "frames in JPEG 2000", f"stored, frame 1 no picture, frame 2 {_NO_PICTURE[8:]}",
         two_frames(JPEG_2000, _small_j2k, "40000")),
    Case(35, "rows UL", _REFUSED, refused(Raw(0x00280010, b"UL", struct.pack("<I", 8)))),
    *(Case(36, f"bits {bits}", _REFUSED, refused(short(0x00280100, bits))) for bits in (0, 7, 64)),
    *(Case(36, f"samples {n}", _REFUSED, refused(short(0x00280002, n))) for n in (0, 255)),
    Case(36, "stored bits 64 in JPEG 2000", _NO_PICTURE,
         compressed(JPEG_2000, _small_j2k, short(0x00280101, 64))),
    Case(37, "palette", _SHOWN, shown(*_PALETTE)),
    Case(37, "VOI table", _SHOWN, shown(_LUT)),
    Case(38, "SIZ 2^31", _NO_PICTURE, compressed(JPEG_2000, _forged_j2k)),
    Case(38, "other size", _NO_PICTURE, compressed(JPEG_2000, _other_size)),
    Case(39, "RLE offsets", _NO_PICTURE,
         compressed(RLE, _torn_rle, short(0x00280100, 16))),
    Case(40, "mutated codestreams", "each shown or no picture", mutations(60)),
    Case(41, "offset table", f"stored, frame 1 no picture, frame 2 {_NO_PICTURE[8:]}",
         two_frames(LOSSLESS_JPEG, _lying_table, "2")),
    Case(41, "offset table of whole frames", f"stored, frame 1 shown, frame 2 {_SHOWN[8:]}",
         two_frames(LOSSLESS_JPEG, _lying_table_of_whole_frames, "2")),
    Case(42, "width 0", _SHOWN,
         shown(text(0x00281050, b"DS", "40"), text(0x00281051, b"DS", "0"))),
    Case(42, "width NaN", _SHOWN,
         shown(text(0x00281050, b"DS", "NaN"), text(0x00281051, b"DS", "NaN"))),
    Case(42, "slope inf", _SHOWN,
         shown(text(0x00281052, b"DS", "0"), text(0x00281053, b"DS", "inf"))),
    Case(43, "overlay 65535", _SHOWN, shown(*_OVERLAY)),
)  # fmt: skip
