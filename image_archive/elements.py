"""Walk the data elements of a dataset up to its pixels, without decoding or recursing (PS3.5 7).

The walk is the archive's gate: whatever it lets through can be read by every later reader without
running beyond the data, recursing without end or meeting a sequence that never closes.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, keyword_dict

from image_archive.errors import UnreadableInstanceError

UNDEFINED_LENGTH = 0xFFFFFFFF
LARGEST_VALUE_BYTES = 4096
DEEPEST_NESTING = 64
MOST_ELEMENTS = 1_000_000

_ITEM = 0xFFFEE000
_ITEM_DELIMITER = 0xFFFEE00D
_SEQUENCE_DELIMITER = 0xFFFEE0DD
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

# PS3.5 7.1.2: these have a 32-bit length after two reserved bytes; every other one a 16-bit length.
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_BINARY_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW"})
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_VRS = _LONG_VRS | _SHORT_VRS
_SEQUENCE_TAGS = frozenset(tag for tag in keyword_dict.values() if dictionary_VR(tag) == "SQ")


class MoreBytesNeededError(Exception):
    """The walk reached the end of the bytes at hand; call again with more of the dataset."""


@dataclass(frozen=True)
class Encoding:
    """How a transfer syntax writes data elements (PS3.5 annex A); `deflated` is for the caller."""

    implicit: bool = False
    big_endian: bool = False
    deflated: bool = False


_ENCODINGS = {
    "1.2.840.10008.1.2": Encoding(implicit=True),
    "1.2.840.113619.5.2": Encoding(implicit=True),  # GE: implicit VR, big endian pixels
    "1.2.840.10008.1.2.2": Encoding(big_endian=True),
    "1.2.840.10008.1.2.1.99": Encoding(deflated=True),
    "1.2.840.10008.1.2.4.95": Encoding(deflated=True),
    "1.2.840.10008.1.2.4.205": Encoding(deflated=True),
}
_EXPLICIT_LITTLE = Encoding()


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return how datasets of that syntax are written; unknown ones are explicit little endian."""
    return _ENCODINGS.get(transfer_syntax_uid, _EXPLICIT_LITTLE)


class Element(NamedTuple):
    """A value as received: its VR (empty when implicit) and at most 4096 bytes of it."""

    vr: bytes
    value: bytes


@dataclass(frozen=True)
class PixelElement:
    """Where the pixels begin; `length` is None for encapsulated pixels."""

    tag: int
    vr: bytes
    value_offset: int
    length: int | None


@dataclass
class Elements:
    """What the walk found: wanted elements at the top, wanted ones in sequences, pixels."""

    top: dict[int, Element] = field(default_factory=dict)
    nested: dict[int, list[Element]] = field(default_factory=dict)
    pixels: PixelElement | None = None


@dataclass(frozen=True)
class Wanted:
    """Tags to keep: at the top, and inside the items of which top-level sequences."""

    top: frozenset[int]
    nested: frozenset[int] = frozenset()
    sequences: frozenset[int] = frozenset()


def walk(
    data: bytes | memoryview, total_bytes: int, encoding: Encoding, wanted: Wanted
) -> Elements:
    """Return the wanted elements of a dataset, having checked its structure up to the pixels.

    `data` holds the first bytes of a dataset of `total_bytes`. Group 0000 and 0002 elements, which
    do not belong into a dataset, are passed over.

    Raises:
        MoreBytesNeededError: the pixels begin beyond `data`, and `data` is not the whole dataset.
        UnreadableInstanceError: the structure breaks PS3.5; the message names the place.
    """
    _check_first_element(data, encoding)
    return _Walker(data, total_bytes, encoding, wanted).run()


def check_fragments(data: bytes | memoryview, pixels: PixelElement) -> None:
    """Check that encapsulated pixels lie inside `data`, the whole dataset (PS3.5 A.4).

    Raises:
        UnreadableInstanceError: a fragment runs beyond the data, or something else stands there.
    """
    position, end = pixels.value_offset, len(data)
    for _ in range(MOST_ELEMENTS):
        if position + 8 > end:
            break
        group, element, length = _IMPLICIT_LITTLE.unpack_from(data, position)
        tag = group << 16 | element
        if tag == _SEQUENCE_DELIMITER:
            return
        position += 8 + length
        if tag != _ITEM or position > end:
            break
    raise UnreadableInstanceError("pixel data: a fragment is torn or the last one is not closed")


_EXPLICIT_LITTLE_STRUCT = Struct("<HH2sH")
_EXPLICIT_BIG_STRUCT = Struct(">HH2sH")
_IMPLICIT_LITTLE = Struct("<HHI")
_IMPLICIT_BIG = Struct(">HHI")
_LENGTH_LITTLE = Struct("<I")
_LENGTH_BIG = Struct(">I")


def _check_first_element(data: bytes | memoryview, encoding: Encoding) -> None:
    """Refuse a dataset written in the other VR mode than its transfer syntax says."""
    vr = bytes(data[4:6])
    if encoding.implicit and vr in _VRS:
        raise UnreadableInstanceError("dataset is explicit VR, the transfer syntax says implicit")
    if not encoding.implicit and len(vr) == 2 and not _is_vr(vr):
        raise UnreadableInstanceError("dataset is implicit VR, the transfer syntax says explicit")


def _is_vr(vr: bytes) -> bool:
    return b"AA" <= vr <= b"ZZ" and vr.isalpha() and vr.isupper()


@dataclass(slots=True)
class _Frame:
    """One open level. `end` bounds it; `closed_by` is the delimiter it needs, 0 for none."""

    end: int
    closed_by: int = 0
    items: bool = False
    fragments: bool = False
    implicit: bool = False
    collect: dict[int, list[Element]] | None = None


class _Walker:
    """One walk; a class only so that the position need not travel through every call."""

    __slots__ = (
        "_data", "_explicit", "_found", "_have", "_implicit", "_length", "_passed", "_position",
        "_stack", "_total", "_wanted",
    )  # fmt: skip

    def __init__(
        self, data: bytes | memoryview, total_bytes: int, encoding: Encoding, wanted: Wanted
    ) -> None:
        self._data = data
        self._have = len(data)
        self._total = total_bytes
        self._wanted = wanted
        self._position = 0
        self._passed = 0
        self._found = Elements()
        big = encoding.big_endian
        self._explicit = (_EXPLICIT_BIG_STRUCT if big else _EXPLICIT_LITTLE_STRUCT).unpack_from
        self._implicit = (_IMPLICIT_BIG if big else _IMPLICIT_LITTLE).unpack_from
        self._length = (_LENGTH_BIG if big else _LENGTH_LITTLE).unpack_from
        self._stack = [_Frame(total_bytes, implicit=encoding.implicit)]

    def run(self) -> Elements:
        stack = self._stack
        while self._passed < MOST_ELEMENTS:
            frame = stack[-1]
            if not frame.items and not frame.implicit:
                self._plain_elements(frame)
            if self._position + 8 > frame.end:
                if self._at_end_of(frame):
                    return self._found
                continue
            if self._position + 12 > self._have < self._total:
                raise MoreBytesNeededError
            self._passed += 1
            if frame.items:
                self._item(frame)
            elif self._element(frame):
                return self._found
        raise UnreadableInstanceError(f"dataset has more than {MOST_ELEMENTS} data elements")

    def _plain_elements(self, frame: _Frame) -> None:
        """Pass a run of short elements: most of a header, so the loop is bare.

        Whatever is special, `_element` looks at next, the element that breaks a rule included.
        """
        data, unpack, end = self._data, self._explicit, frame.end
        position, passed = self._position, self._passed
        top, kept = len(self._stack) == 1, self._found.top
        wanted = self._wanted.top if top else self._wanted.nested
        last = min(end, self._have) - 12
        while position <= last and passed < MOST_ELEMENTS:
            group, element, vr, length = unpack(data, position)
            after = position + 8 + length
            if vr not in _SHORT_VRS or after > end:
                break
            if (tag := group << 16 | element) in wanted:
                if not top or tag in kept or length > LARGEST_VALUE_BYTES or after > self._have:
                    break
                kept[tag] = Element(vr, bytes(data[position + 8 : after]))
            position = after
            passed += 1
        self._position, self._passed = position, passed

    def _at_end_of(self, frame: _Frame) -> bool:
        """Close a level whose length is used up; True when it was the dataset itself."""
        rest = frame.end - self._position
        if frame.closed_by:
            raise self._error("a sequence or item of undefined length is never closed")
        if rest and any(self._bytes(self._position, rest)):
            raise self._error("a data element is cut off")
        self._position = frame.end
        self._stack.pop()
        return not self._stack

    def _element(self, frame: _Frame) -> bool:
        """Pass one data element; True when it holds the dataset's pixels."""
        tag, vr, length = self._head(frame)
        value = self._position
        top = len(self._stack) == 1
        if top and tag in _PIXEL_TAGS:
            self._found.pixels = self._pixels(tag, vr, length)
            return True
        if length == UNDEFINED_LENGTH or vr == b"SQ" or (not vr and tag in _SEQUENCE_TAGS):
            self._open(frame, tag, vr, length)
            return False
        after = value + length
        if after > frame.end:
            raise self._error("a value runs beyond the data that holds it")
        if top:
            if tag in self._wanted.top:
                self._keep(tag, Element(vr, self._bytes(value, length)))
        elif tag == _ITEM_DELIMITER and frame.closed_by:
            self._stack.pop()
        elif frame.collect is not None and tag in self._wanted.nested:
            frame.collect.setdefault(tag, []).append(Element(vr, self._bytes(value, length)))
        self._position = after
        return False

    def _head(self, frame: _Frame) -> tuple[int, bytes, int]:
        """Read tag, VR and length; the position then is that of the value."""
        position = self._position
        if frame.implicit:
            group, element, length = self._implicit(self._data, position)
            self._position = position + 8
            return group << 16 | element, b"", length
        group, element, vr, length = self._explicit(self._data, position)
        self._position = position + 8
        if vr in _LONG_VRS:
            if position + 12 > frame.end:
                raise self._error("a data element is cut off")
            length = self._length(self._data, position + 8)[0]
            self._position = position + 12
        elif vr not in _SHORT_VRS and not _is_vr(vr):
            # Some writers switch to implicit VR inside a dataset; delimiters have no VR at all.
            return group << 16 | element, b"", self._implicit(self._data, position)[2]
        return group << 16 | element, vr, length

    def _open(self, frame: _Frame, tag: int, vr: bytes, length: int) -> None:
        """Enter a sequence, or the fragments of nested pixels."""
        if length == 0:
            return
        if len(self._stack) > 2 * DEEPEST_NESTING:
            raise self._error(f"sequences are nested deeper than {DEEPEST_NESTING}")
        fragments = vr in _BINARY_VRS or (not vr and tag in _PIXEL_TAGS)
        if length == UNDEFINED_LENGTH:
            if vr and vr not in {b"SQ", b"UN"} and not fragments:
                raise self._error("a value of this VR must have a defined length")
            end, closed_by = frame.end, _SEQUENCE_DELIMITER
        else:
            end, closed_by = self._position + length, 0
        if end > frame.end:
            raise self._error("a sequence runs beyond the data that holds it")
        collect = frame.collect
        if len(self._stack) == 1 and tag in self._wanted.sequences:
            collect = self._found.nested
        # PS3.5 6.2.2 note 2: a UN of undefined length is encoded as implicit VR inside.
        implicit = frame.implicit or vr == b"UN"
        self._stack.append(_Frame(end, closed_by, True, fragments, implicit, collect))  # noqa: FBT003 (a record)

    def _item(self, frame: _Frame) -> None:
        """Pass the head of one item, fragment or delimiter of a sequence."""
        group, element, length = self._implicit(self._data, self._position)
        tag = group << 16 | element
        self._position += 8
        if tag == _SEQUENCE_DELIMITER:
            if frame.closed_by:
                self._stack.pop()
            return
        if tag != _ITEM:
            raise self._error("something else than an item stands in a sequence")
        if length == UNDEFINED_LENGTH and not frame.fragments:
            end, closed_by = frame.end, _ITEM_DELIMITER
        else:
            end, closed_by = self._position + length, 0
        if end > frame.end:
            raise self._error("an item runs beyond the data that holds it")
        if frame.fragments:
            self._position = end
        else:
            self._stack.append(
                _Frame(end, closed_by, implicit=frame.implicit, collect=frame.collect)
            )

    def _pixels(self, tag: int, vr: bytes, length: int) -> PixelElement:
        if length == UNDEFINED_LENGTH:
            return PixelElement(tag, vr, self._position, None)
        if self._position + length > self._total:
            raise self._error("the pixels are cut off")
        return PixelElement(tag, vr, self._position, length)

    def _keep(self, tag: int, element: Element) -> None:
        """Keep a wanted element; two that differ would let two readers see two identities."""
        earlier = self._found.top.setdefault(tag, element)
        if earlier.value != element.value:
            raise self._error("an element that identifies the instance is there twice")

    def _bytes(self, start: int, length: int) -> bytes:
        end = start + min(length, LARGEST_VALUE_BYTES)
        if end > self._have:
            if self._have < self._total:
                raise MoreBytesNeededError
            raise self._error("a value is cut off")
        return bytes(self._data[start:end])

    def _error(self, what: str) -> UnreadableInstanceError:
        return UnreadableInstanceError(f"{what} (near byte {self._position} of the dataset)")
