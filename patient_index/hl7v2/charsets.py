"""The character set of a message: MSH-18 in, text out, and back in the asker's set (table 0211).

A Chinese system may say nothing and send GBK, or say GBK and send UTF-8. What is read is decided by
`hub_kernel.text_decoding`, per segment, and the answer says how sure the reading is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hub_kernel.text_decoding import DecodedText, decode_text, encode_text

UTF_8_NAME = "UNICODE UTF-8"


@dataclass(frozen=True)
class NamedSet:
    """A value of table 0211: the DICOM term of the same set and Python's codec for it."""

    term: str
    codec: str


_UTF_8 = NamedSet("ISO_IR 192", "utf-8")
_GB18030 = NamedSet("GB18030", "gb18030")
_GBK = NamedSet("GBK", "gbk")

# Keys are squeezed to capitals and digits: "GB 18030-2000", "gb18030" and "GB-18030" meet.
_SETS: Mapping[str, NamedSet] = {
    "": NamedSet("", "ascii"),
    "ASCII": NamedSet("", "ascii"),
    "ISOIR6": NamedSet("", "ascii"),
    "88591": NamedSet("ISO_IR 100", "latin_1"),
    "88592": NamedSet("ISO_IR 101", "iso8859_2"),
    "88593": NamedSet("ISO_IR 109", "iso8859_3"),
    "88594": NamedSet("ISO_IR 110", "iso8859_4"),
    "88595": NamedSet("ISO_IR 144", "iso8859_5"),
    "88596": NamedSet("ISO_IR 127", "iso8859_6"),
    "88597": NamedSet("ISO_IR 126", "iso8859_7"),
    "88598": NamedSet("ISO_IR 138", "iso8859_8"),
    "88599": NamedSet("ISO_IR 148", "iso8859_9"),
    "885915": NamedSet("ISO_IR 203", "iso8859_15"),
    "ISOIR14": NamedSet("ISO_IR 13", "shift_jis"),
    "ISOIR58": NamedSet("ISO 2022 IR 58", "gb2312"),
    "ISO2022IR58": NamedSet("ISO 2022 IR 58", "gb2312"),
    "ISOIR87": NamedSet("ISO 2022 IR 87", "iso2022_jp"),
    "ISOIR159": NamedSet("ISO 2022 IR 159", "iso2022_jp_2"),
    "KSX1001": NamedSet("ISO 2022 IR 149", "euc_kr"),
    "GB180302000": _GB18030,
    "GB180302005": _GB18030,
    "GB180302022": _GB18030,
    "GB18030": _GB18030,
    "GBK": _GBK,
    "CP936": _GBK,
    "GB2312": _GBK,
    "BIG5": NamedSet("BIG5", "big5hkscs"),
    "UNICODE": _UTF_8,
    "UNICODEUTF8": _UTF_8,
    "UTF8": _UTF_8,
}
ALLOWED_NAMES = "ASCII, 8859/1 … 8859/15, GB 18030-2000, GBK, BIG-5, UNICODE UTF-8"

_SQUEEZED = re.compile(r"[^A-Z0-9]")
_LONGEST_NAME = 32
_MOST_NAMES = 8


@dataclass(frozen=True)
class MessageCharset:
    """What MSH-18 says. `names` are its repetitions as sent, `unknown` the first not understood."""

    names: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """The same as DICOM terms."""
        found = (named_set(name) for name in self.names)
        return tuple(entry.term for entry in found if entry is not None and entry.term)

    @property
    def codec(self) -> str:
        r"""Python's codec of the default set, by which `\X..\` is read."""
        entry = named_set(self.names[0]) if self.names else None
        return entry.codec if entry is not None and entry.codec != "ascii" else "utf-8"

    def decode(self, raw: bytes) -> DecodedText:
        """Return one segment as text; says whether the reading is certain. Never raises."""
        return decode_text(raw, self.terms)


def read_charset(names: tuple[str, ...]) -> MessageCharset:
    """Return the character set that the repetitions of MSH-18 declare."""
    kept = tuple(name.strip() for name in names[:_MOST_NAMES])
    unknown = next((name for name in kept if named_set(name) is None), "")
    if len(names) > _MOST_NAMES:
        unknown = unknown or kept[-1]
    return MessageCharset(kept, unknown)


def named_set(name: str) -> NamedSet | None:
    """Return the set of that name, `None` when table 0211 and the field know none."""
    squeezed = _SQUEEZED.sub("", name[:_LONGEST_NAME].upper())
    return _SETS.get(squeezed.removeprefix("ISO")) or _SETS.get(squeezed)


def encode_answer(text: str, charset: MessageCharset) -> tuple[bytes, str]:
    """Return an answer's bytes and the value of its MSH-18.

    The asker's own set when it can hold everything, else UTF-8, which then is declared.
    """
    name = charset.names[0] if charset.names and not charset.unknown else ""
    if text.isascii():
        return text.encode("ascii"), name
    terms = charset.terms if name else ()
    if terms:
        encoded = encode_text(text, terms[0])
        if encoded.count(b"?") == text.count("?"):  # nothing was lost
            return encoded, name
    return text.encode("utf-8", "replace"), UTF_8_NAME
