"""The character sets of DICOM text, read and written (DICOM PS3.3 C.12.1.1.2, PS3.5 6.1)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CharacterSet:
    """One value of Specific Character Set.

    `codec` is the Python codec for bytes without escape sequences, `script` the script whose
    letters such text is expected to hold (first word of the Unicode names), `designation` the
    ISO 2022 escape sequence that switches to the set, empty when it has none, `shift` the codec
    that reads what follows the designation. `writer` is the stricter codec for writing, where the
    reader understands more than the set may hold.
    """

    codec: str
    script: str = "LATIN"
    designation: bytes = b""
    shift: str = ""
    writer: str = ""


ASCII = CharacterSet("ascii")
UTF_8 = CharacterSet("utf-8", "CJK")
GB18030 = CharacterSet("gb18030", "CJK")

# Keys are the defined terms squeezed to capitals and digits, "ISO 2022 IR" and "ISO_IR" alike, so
# that the spellings seen in the field ("ISO IR 192", "GB 18030", "utf8") meet the same entry.
_BY_TERM: dict[str, CharacterSet] = {
    "ISOIR6": ASCII,
    "ISOIR100": CharacterSet("latin_1", "LATIN", b"\x1b-A", "latin_1"),
    "ISOIR101": CharacterSet("iso8859_2", "LATIN", b"\x1b-B", "iso8859_2"),
    "ISOIR109": CharacterSet("iso8859_3", "LATIN", b"\x1b-C", "iso8859_3"),
    "ISOIR110": CharacterSet("iso8859_4", "LATIN", b"\x1b-D", "iso8859_4"),
    "ISOIR144": CharacterSet("iso8859_5", "CYRILLIC", b"\x1b-L", "iso8859_5"),
    "ISOIR127": CharacterSet("iso8859_6", "ARABIC", b"\x1b-G", "iso8859_6"),
    "ISOIR126": CharacterSet("iso8859_7", "GREEK", b"\x1b-F", "iso8859_7"),
    "ISOIR138": CharacterSet("iso8859_8", "HEBREW", b"\x1b-H", "iso8859_8"),
    "ISOIR148": CharacterSet("iso8859_9", "LATIN", b"\x1b-M", "iso8859_9"),
    "ISOIR203": CharacterSet("iso8859_15", "LATIN", b"\x1b-b", "iso8859_15"),
    "ISOIR166": CharacterSet("iso8859_11", "THAI", b"\x1b-T", "iso8859_11"),
    "ISOIR13": CharacterSet("shift_jis", "HALFWIDTH", b"\x1b)I", "shift_jis"),
    "ISOIR87": CharacterSet("cp932", "HIRAGANA", b"\x1b$B", "iso2022_jp"),
    "ISOIR159": CharacterSet("euc_jp", "HIRAGANA", b"\x1b$(D", "iso2022_jp_2"),
    "ISOIR149": CharacterSet("cp949", "HANGUL", b"\x1b$)C", "cp949", "euc_kr"),
    "ISOIR58": CharacterSet("gb18030", "CJK", b"\x1b$)A", "gb18030", "gb2312"),
    "ISOIR192": UTF_8,
    "GB18030": GB18030,
    "GBK": CharacterSet("gb18030", "CJK", writer="gbk"),
    # Not defined terms of the standard, but sent.
    "GB2312": CharacterSet("gb18030", "CJK", writer="gb2312"),
    "CP936": CharacterSet("gb18030", "CJK", writer="gbk"),
    "ISO2022GBK": CharacterSet("gb18030", "CJK", writer="gbk"),
    "ISO2022GB18030": GB18030,
    "UTF8": UTF_8,
    "BIG5": CharacterSet("big5hkscs", "CJK"),
    "EUCKR": CharacterSet("cp949", "HANGUL"),
    "SHIFTJIS": CharacterSet("cp932", "HIRAGANA"),
}

_KEPT_OF_TERM = re.compile(r"[^A-Z0-9]")
_LONGEST_TERM = 32
_MOST_VALUES = 16

# ESC, then what ISO 2022 and ISO 6429 allow: intermediate bytes and one final byte.
_ESCAPE = re.compile(rb"(\x1b[\x20-\x2f]*[\x30-\x7e])")
# PS3.5 6.1.2.5.3: the initial sets are in force again after each of these.
_DELIMITER = re.compile(rb"([\^=\\\r\n\t\f])")
_TEXT_DELIMITER = re.compile(r"([\^=\\\r\n\t\f])")
_LEFTOVER_ESCAPE = re.compile(r"\x1b[\x20-\x2f]*[\x30-\x7e]?")

_TO_SINGLE_BYTE_G0 = frozenset({b"\x1b(B", b"\x1b(J"})
# ESC $ A and ESC $ ( C load the Chinese and the Korean set where some old devices expect them.
_G0_SETS = {b"\x1b$B": "iso2022_jp", b"\x1b$@": "iso2022_jp", b"\x1b$(D": "iso2022_jp_2"}
_G1_SETS = {
    entry.designation: entry.shift
    for entry in _BY_TERM.values()
    if entry.designation and entry.designation not in _G0_SETS
}


def character_set(term: str) -> CharacterSet | None:
    """Return the set that a value of Specific Character Set names, `None` when none is known.

    An empty value is the default repertoire. Spelling is forgiven; any text may be passed.
    """
    if not term.strip():
        return ASCII
    squeezed = _KEPT_OF_TERM.sub("", term[:_LONGEST_TERM].upper())
    return _BY_TERM.get(squeezed) or _BY_TERM.get(squeezed.replace("ISO2022IR", "ISOIR"))


def character_sets(declared: Sequence[str]) -> tuple[CharacterSet, ...]:
    """Return the known sets among the declared values, in order, without repetition.

    Values beyond the sixteenth are not looked at: no honest sender has so many.
    """
    values = declared.split("\\") if isinstance(declared, str) else declared
    found = (character_set(value) for value in values[:_MOST_VALUES])
    return tuple(dict.fromkeys(entry for entry in found if entry is not None))


def decode_iso_2022(raw: bytes, initial: str) -> tuple[str, bool]:
    """Decode bytes that hold escape sequences; `initial` is the codec in force before the first.

    Returns the text, in which no escape byte survives, and whether every byte had a meaning.
    """
    reader = _Iso2022Reader(initial)
    text = "".join(reader.read(raw))
    scrubbed = _LEFTOVER_ESCAPE.sub("", text)
    return scrubbed, reader.clean and scrubbed == text


def encode(text: str, terms: Sequence[str]) -> bytes:
    """Encode `text` in the first of the sets that can hold all of it, else in the last with '?'."""
    sets = character_sets(terms) or (ASCII,)
    for candidate in sets:
        try:
            return _encode_in(text, candidate, "strict")
        except UnicodeEncodeError:
            continue
    return _encode_in(text, sets[-1], "replace")


class _Iso2022Reader:
    """What is designated at one point of the byte stream."""

    def __init__(self, initial: str) -> None:
        self.clean = True
        self._initial = initial
        self._g0: tuple[bytes, str] | None = None
        self._g1 = initial

    def read(self, raw: bytes) -> Iterator[str]:
        for part in _ESCAPE.split(raw):
            if part.startswith(b"\x1b"):
                self._designate(part)
            elif part:
                yield from self._read_run(part)

    def _designate(self, sequence: bytes) -> None:
        if sequence in _TO_SINGLE_BYTE_G0:
            self._g0 = None
        elif sequence in _G0_SETS:
            self._g0 = sequence, _G0_SETS[sequence]
        elif sequence in _G1_SETS:
            self._g1 = _G1_SETS[sequence]
        else:
            self.clean = False

    def _read_run(self, run: bytes) -> Iterator[str]:
        if self._g0 is not None:
            # The codec wants to see the designation and the return to ASCII itself.
            sequence, codec = self._g0
            yield self._decoded(sequence + run + b"\x1b(B", codec)
            return
        for piece in _DELIMITER.split(run):
            yield self._decoded(piece, self._g1)
            if self._initial != "ascii" and _DELIMITER.fullmatch(piece):
                # Devices that announce a set once and never again after a delimiter are common;
                # without an initial upper half there is nothing else their bytes could mean.
                self._g1 = self._initial

    def _decoded(self, piece: bytes, codec: str) -> str:
        try:
            return piece.decode(codec)
        except UnicodeDecodeError:
            self.clean = False
            return piece.decode(codec, "replace")


def _encode_in(text: str, target: CharacterSet, errors: str) -> bytes:
    if not target.designation.startswith(b"\x1b$"):
        return text.encode(target.writer or target.codec, errors)
    pieces = _TEXT_DELIMITER.split(text)
    return b"".join(_encode_designated(piece, target, errors) for piece in pieces)


def _encode_designated(piece: str, target: CharacterSet, errors: str) -> bytes:
    if piece.isascii():
        return piece.encode("ascii")
    if target.designation in _G0_SETS:
        return piece.encode(target.shift, errors)
    return target.designation + piece.encode(target.writer, errors)
