"""Read one HL7 v2 message: bytes in, segments of text out (HL7 v2.5 chapter 2).

python-hl7 takes the text apart; what it trusts is checked before it sees the message: the encoding
characters, line ends, segment names, the character set, and how much there is to take apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import hl7  # type: ignore[import-untyped]  # ships no types

from patient_index.hl7v2.charsets import ALLOWED_NAMES, MessageCharset, read_charset
from patient_index.hl7v2.escapes import STANDARD, Delimiters, unescaped
from patient_index.hl7v2.problems import Location, RefusedMessageError

READ_SEGMENTS = frozenset({"MSH", "PID", "MRG", "QPD", "RCP", "DSC", "QID"})
"""Segments that mean something here; others are checked for their name and left alone.

In results (ORU) the segments of orders and observations mean something too.
"""

_RESULT_SEGMENTS = READ_SEGMENTS | {"ORC", "OBR", "OBX", "ZDS"}
_RESULTS = "ORU"
_MOST_LINES = 2_000
_MOST_PARTS = 4_000
# Latin-1 reads any bytes: as a last resort it says only that nothing else did.
_UNREADABLE = frozenset({"damaged", "repaired:latin_1"})
_NULL = '""'
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")
_BOM = b"\xef\xbb\xbf"
_MSH = Location("MSH")


@dataclass(frozen=True)
class Repetition:
    """One repetition of a field; components and subcomponents count from 1."""

    _parts: object
    _delimiters: Delimiters
    _codec: str

    def text(self, component: int = 1, subcomponent: int = 1) -> str:
        """Return a value, unescaped, without blanks around it; "" when absent or null."""
        found = _descend(_descend(self._parts, component), subcomponent)
        text = unescaped(str(found), self._delimiters, self._codec).strip()
        return "" if text == _NULL else text

    @property
    def empty(self) -> bool:
        """Whether no component says anything."""
        separators = self._delimiters.component + self._delimiters.subcomponent
        raw = str(self._parts).strip(separators + " ")
        return raw in {"", _NULL}

    def __str__(self) -> str:
        """Return the repetition as it was sent."""
        return str(self._parts)


@dataclass(frozen=True)
class Segment:
    """One segment.

    `sequence` counts the segments of its name, from 1; `confident` says whether its characters
    could be read with certainty, `rule` how they were.
    """

    name: str
    sequence: int
    delimiters: Delimiters
    charset: MessageCharset = MessageCharset()
    confident: bool = True
    rule: str = "ascii"
    _fields: object = field(default=(), repr=False)

    def repetitions(self, number: int) -> tuple[Repetition, ...]:
        """Return every repetition of field `number`, empty ones too; () for an absent field."""
        fields = self._fields
        if not isinstance(fields, list) or number >= len(fields):
            return ()
        codec = self.charset.codec
        return tuple(Repetition(part, self.delimiters, codec) for part in fields[number])

    def text(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """Return one value of the first repetition of field `number`; "" when absent."""
        found = self.repetitions(number)
        return found[0].text(component, subcomponent) if found else ""

    def raw(self, number: int) -> str:
        """Return field `number` as it was sent, delimiters and escapes included."""
        fields = self._fields
        if not isinstance(fields, list) or number >= len(fields):
            return ""
        return str(fields[number])

    def place(self, number: int = 0, component: int = 0, repetition: int = 1) -> Location:
        """Return a location inside this segment."""
        return Location(self.name, number, component, self.sequence, repetition)

    def __str__(self) -> str:
        """Return the segment as it was sent."""
        return str(self._fields)


@dataclass(frozen=True)
class Hl7Message:
    """A message taken apart; `segments` are those of `READ_SEGMENTS`, in order, the MSH first."""

    segments: tuple[Segment, ...]
    charset: MessageCharset

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]

    def all(self, name: str) -> tuple[Segment, ...]:
        """Return every segment of that name."""
        return tuple(segment for segment in self.segments if segment.name == name)

    def first(self, name: str) -> Segment | None:
        """Return the first segment of that name, if any."""
        return next(iter(self.all(name)), None)

    def required(self, name: str) -> Segment:
        """Return the first segment of that name.

        Raises:
            RefusedMessageError: there is none.
        """
        found = self.first(name)
        if found is None:
            raise RefusedMessageError("segment-missing", Location(name), allowed=name)
        return found


def read_message(raw: bytes) -> Hl7Message:
    """Return the message in `raw`, without its MLLP frame.

    Raises:
        RefusedMessageError: this is no message, or one that cannot be read for certain.
    """
    lines = _lines(raw)
    delimiters = _delimiters(lines[0])
    charset = header_charset(lines[0])
    read = _RESULT_SEGMENTS if _message_type(lines[0], delimiters) == _RESULTS else READ_SEGMENTS
    kept = [line for line in lines if _segment_name(line, delimiters) in read]
    if any(line.startswith(b"MSH") for line in kept[1:]):
        raise RefusedMessageError("several-headers", Location("MSH", sequence=2))
    if charset.unknown and not all(line.isascii() for line in kept):
        at = Location("MSH", 18)
        raise RefusedMessageError("character-set", at, came=charset.unknown, allowed=ALLOWED_NAMES)
    return Hl7Message(tuple(_segments(kept, delimiters, charset)), charset)


def header_charset(header: bytes) -> MessageCharset:
    """Return what MSH-18 declares; `header` is the MSH segment, or anything at all."""
    fields = header.split(header[3:4]) if len(header) > 3 else []
    declared = fields[17].decode("ascii", "replace") if len(fields) > 17 else ""
    repetition = header[5:6].decode("latin_1") or STANDARD.repetition
    return read_charset(tuple(declared.split(repetition)) if declared else ())


def header_values(raw: bytes) -> dict[int, str]:
    """Return what can be made out of an MSH that may be damaged, by field number. Never raises."""
    found = re.search(rb"MSH([^\w\s])([^\r\n]{0,2000})", raw[:4096])
    if not found:
        return {}
    separator = found.group(1)
    charset = header_charset(found.group(0))
    values = separator.join((b"", *found.group(2).split(separator)))
    texts = values.split(separator)
    return {n: charset.decode(text).text.strip() for n, text in enumerate(texts[:20], start=1)}


def _lines(raw: bytes) -> list[bytes]:
    """Split at CR, CRLF or, in a message without any CR, at LF; nothing else ends a segment."""
    body = raw.removeprefix(_BOM).strip(b"\r\n \0")
    if not body.startswith(b"MSH") or len(body) < 9:
        raise RefusedMessageError("not-hl7", _MSH, allowed=r"MSH|^~\&|…")
    end = b"\r" if b"\r" in body else b"\n"
    if body.count(end) > _MOST_LINES:
        raise RefusedMessageError("too-intricate", _MSH, allowed=f"<= {_MOST_LINES}")
    lines = [line.removeprefix(b"\n") for line in body.split(end)]
    lines = [line.removesuffix(b"\n") if end == b"\n" else line for line in lines]
    for line in lines:
        if b"\n" in line:
            name = line[:3].decode("ascii", "replace")
            raise RefusedMessageError("line-feed", Location(name if name.isalnum() else "MSH"))
    return [line for line in lines if line.strip()]


def _delimiters(header: bytes) -> Delimiters:
    marks = header[3:8].decode("ascii", "replace")
    after = header[8:9].decode("ascii", "replace")
    rest = header[9:10].decode("ascii", "replace")
    # From 2.7 on a fifth encoding character may follow.
    ended = after == marks[0] or rest == marks[0]
    legal = all(char.isprintable() and char.isascii() and not char.isalnum() for char in marks)
    if len(set(marks)) < 5 or not legal or " " in marks or not ended:
        raise RefusedMessageError("encoding-characters", Location("MSH", 2), allowed=r"|^~\&")
    return Delimiters(marks[0], marks[1], marks[2], marks[3], marks[4])


def _message_type(header: bytes, delimiters: Delimiters) -> str:
    fields = header.decode("latin_1").split(delimiters.field)
    return fields[8].split(delimiters.component)[0].strip() if len(fields) > 8 else ""


def _segment_name(line: bytes, delimiters: Delimiters) -> str:
    name = line[:3]
    follows = line[3:4].decode("latin_1")
    if not _NAME.fullmatch(name) or follows not in {"", delimiters.field}:
        raise RefusedMessageError(
            "segment-name", _MSH, came=line[:3].decode("ascii", "replace"), allowed="AAA|"
        )
    return name.decode("ascii")


def _segments(
    lines: list[bytes], delimiters: Delimiters, charset: MessageCharset
) -> Iterator[Segment]:
    decoded = [charset.decode(line) for line in lines]
    texts = [reading.text for reading in decoded]
    marks = {delimiters.field, *delimiters.encoding_characters} - {delimiters.escape}
    if sum(text.count(mark) for text in texts for mark in marks) > _MOST_PARTS:
        raise RefusedMessageError("too-intricate", _MSH, allowed=f"<= {_MOST_PARTS}")
    seen: dict[str, int] = {}
    for fields, reading in zip(hl7.parse("\r".join(texts)), decoded, strict=True):
        name = reading.text[:3]
        seen[name] = seen.get(name, 0) + 1
        if not reading.confident and reading.rule in _UNREADABLE:
            place = Location(name, sequence=seen[name])
            raise RefusedMessageError("unreadable", place, allowed=ALLOWED_NAMES)
        yield Segment(
            name,
            seen[name],
            delimiters,
            charset,
            confident=reading.confident,
            rule=reading.rule,
            _fields=fields,
        )


def _descend(parts: object, number: int) -> object:
    """Return part `number`; what was not divided further is its own first part."""
    if isinstance(parts, str):
        return parts if number == 1 else ""
    if not isinstance(parts, list) or number > len(parts):
        return ""
    found: object = parts[number - 1]
    return found
