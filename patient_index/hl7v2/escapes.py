r"""Delimiters and escape sequences of encoded text (HL7 v2.5 2.5.4 and 2.7).

Ours instead of the library's: `hl7.unescape` writes values it cannot read to the log, expands
`\.in99999999\` without a bound, and reads and writes `\X..\` as code points.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Delimiters:
    r"""The five characters of MSH-1 and MSH-2; the usual ones are `|^~\&`."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding_characters(self) -> str:
        """The value of MSH-2."""
        return f"{self.component}{self.repetition}{self.escape}{self.subcomponent}"


STANDARD = Delimiters()


def escaped(text: str, delimiters: Delimiters = STANDARD) -> str:
    r"""Return `text` so that it stays one value: delimiters escaped, line breaks as `\.br\`.

    Other control characters are left out: no receiver has a use for them.
    """
    esc = delimiters.escape
    table = {
        ord(delimiters.escape): f"{esc}E{esc}",
        ord(delimiters.field): f"{esc}F{esc}",
        ord(delimiters.component): f"{esc}S{esc}",
        ord(delimiters.repetition): f"{esc}R{esc}",
        ord(delimiters.subcomponent): f"{esc}T{esc}",
        ord("\r"): f"{esc}.br{esc}",
        ord("\n"): f"{esc}.br{esc}",
    }
    return text.replace("\r\n", "\n").translate(_CONTROLS | table)


def unescaped(text: str, delimiters: Delimiters = STANDARD, charset: str = "utf-8") -> str:
    r"""Return the text that a value stands for.

    `\X..\` is read as bytes of `charset`, the codec of the message. Formatting becomes a space or a
    line feed, highlighting nothing; a sequence that says nothing we know is left out. Never raises.
    """
    if delimiters.escape not in text:
        return text
    esc = re.escape(delimiters.escape)
    meanings = _meanings(delimiters)

    def meant(found: re.Match[str]) -> str:
        sequence = found.group(1)
        if sequence in meanings:
            return meanings[sequence]
        if sequence.startswith("X") and _HEX.fullmatch(sequence[1:]):
            return _control_free(bytes.fromhex(sequence[1:]).decode(charset, "replace"))
        return _FORMATTING.get(sequence[:3], "")

    return re.sub(f"{esc}([^{esc}]*){esc}", meant, text)


def _meanings(delimiters: Delimiters) -> dict[str, str]:
    return {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repetition,
        "T": delimiters.subcomponent,
        "E": delimiters.escape,
    }


def _control_free(text: str) -> str:
    return text.translate(_CONTROLS)


_HEX = re.compile(r"([0-9A-Fa-f]{2}){1,256}")
_FORMATTING: Mapping[str, str] = {
    ".br": "\n",
    ".sp": "\n",
    ".ce": "\n",
    ".in": " ",
    ".ti": " ",
    ".sk": " ",
}
_CONTROLS: dict[int, str | int | None] = {
    code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
}
