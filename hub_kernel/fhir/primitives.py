"""The primitive types of FHIR R4 (datatypes.html#primitive): the JSON values of each."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

_LONGEST_STRING = 64 * 1024
_BASE64 = re.compile(r"[0-9A-Za-z+/]*={0,2}")
_BLANKS = re.compile(r"[ \t\r\n]+")
_NOTHING: tuple[Any, ...] = (None, "", [], {})

_YEAR = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_DATE = rf"{_YEAR}(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1]))?)?"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?"
_ZONE = r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_DAY = rf"{_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Primitive:
    """One primitive type: its JSON form, its pattern, and words for what it allows.

    Values of `any_length` are bounded by the body alone.
    """

    json: str
    allowed: str
    pattern: re.Pattern[str] | None = None
    fits: Callable[[object], bool] | None = None
    any_length: bool = False

    def accepts(self, value: object) -> bool:
        """Say whether `value`, as the JSON reader gives it, is of this type."""
        if not _IS_JSON[self.json](value):
            return False
        if isinstance(value, str) and not self.any_length and not _is_text(value):
            return False
        if self.pattern is not None and not self.pattern.fullmatch(str(value)):
            return False
        return self.fits is None or self.fits(value)


def is_primitive(type_name: str) -> bool:
    """Say whether the type is a primitive one."""
    return type_name in PRIMITIVES


def tidied(value: Any) -> Any:
    """Return JSON content as FHIR allows it: no control characters, nothing empty inside.

    What other doors have stored may hold characters that neither FHIR nor XML can carry.
    """
    if isinstance(value, str):
        return _FORBIDDEN.sub("", value).strip()
    if isinstance(value, list):
        return [one for one in map(tidied, value) if one not in _NOTHING]
    if isinstance(value, dict):
        kept = {key: tidied(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in _NOTHING}
    return value


def base64_text(value: str) -> str | None:
    """Return base64 without the blanks FHIR allows in it, None if it is none.

    Two passes, whatever was sent: the expression of the specification takes time without bound on
    long runs of blanks.
    """
    bare = _BLANKS.sub("", value)
    return bare if bare and len(bare) % 4 == 0 and _BASE64.fullmatch(bare) else None


def _is_base64(value: object) -> bool:
    return isinstance(value, str) and base64_text(value) is not None


def _is_text(value: str) -> bool:
    return len(value) <= _LONGEST_STRING and not _FORBIDDEN.search(value) and value.strip() != ""


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_decimal(value: object) -> bool:
    return _is_integer(value) or isinstance(value, (Decimal, float))


def _within(low: int, high: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and low <= value <= high


def _is_day(value: object) -> bool:
    """A date of three parts has to be in the calendar."""
    text = str(value)[:10]
    if len(text) < 10:
        return True
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


_IS_JSON: dict[str, Callable[[object], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "decimal": _is_decimal,
    "string": lambda value: isinstance(value, str),
}


def _text(pattern: str, allowed: str, fits: Callable[[object], bool] | None = None) -> Primitive:
    return Primitive("string", allowed, re.compile(pattern), fits)


_ANY_TEXT = Primitive("string", "a string with at least one character that shows, no controls")
_LARGEST = 2**31 - 1

PRIMITIVES: dict[str, Primitive] = {
    "boolean": Primitive("boolean", "true, false"),
    "integer": Primitive("integer", "an integer of 32 bits", fits=_within(-(2**31), _LARGEST)),
    "unsignedInt": Primitive("integer", "0 to 2147483647", fits=_within(0, _LARGEST)),
    "positiveInt": Primitive("integer", "1 to 2147483647", fits=_within(1, _LARGEST)),
    "decimal": Primitive("decimal", "a number of at most 18 digits"),
    "string": _ANY_TEXT,
    "markdown": _ANY_TEXT,
    "xhtml": _ANY_TEXT,
    "uri": _text(r"\S{1,2048}", "a URI without spaces"),
    "url": _text(r"\S{1,2048}", "a URL without spaces"),
    "canonical": _text(r"\S{1,2048}", "a URI without spaces"),
    "oid": _text(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", "urn:oid:1.2.3"),
    "uuid": _text(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "urn:uuid:…"),
    "code": _text(r"[^\s]+(\s[^\s]+)*", "a code without spaces around it"),
    "id": _text(r"[A-Za-z0-9\-\.]{1,64}", "1 to 64 of A-Z a-z 0-9 - ."),
    "base64Binary": Primitive("string", "base64", fits=_is_base64, any_length=True),
    "date": _text(_DATE, "YYYY, YYYY-MM or YYYY-MM-DD", _is_day),
    "dateTime": _text(
        rf"{_DATE}|{_DAY}T{_TIME}{_ZONE}", "YYYY, YYYY-MM, YYYY-MM-DD or …Thh:mm:ss+zz:zz", _is_day
    ),
    "instant": _text(rf"{_DAY}T{_TIME}{_ZONE}", "YYYY-MM-DDThh:mm:ss+zz:zz", _is_day),
    "time": _text(_TIME, "hh:mm:ss"),
}
