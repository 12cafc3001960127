"""Folded copies of stated text, by which people are looked for."""

import re
import unicodedata

from hub_kernel.person_names import PersonName, name_keys

_LONGEST = 128
_LONGEST_PHONE = 32
_NOT_DIGITS = re.compile(r"\D+")
_HOME_COUNTRY = ("0086", "86")


def findable(text: str) -> str:
    """Return text that any database can be asked for; what holds NUL is found nowhere."""
    return text.replace("\0", "\ufffd")


def folded(text: str) -> str:
    """Return letters and digits alone, compatibility forms unified, casefolded."""
    unified = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, unified))[:_LONGEST]


def phone_digits(text: str) -> str:
    """Return the digits of a telephone number, without the country code of a Chinese mobile."""
    digits = _NOT_DIGITS.sub("", text)[:_LONGEST_PHONE]
    for prefix in _HOME_COUNTRY:
        if len(digits) == len(prefix) + 11 and digits.startswith(f"{prefix}1"):
            return digits.removeprefix(prefix)
    return digits


def sound_key(name: PersonName | None) -> str:
    """Return how a name sounds, else its letters; empty for no name."""
    if name is None:
        return ""
    keys = name_keys(name)
    return (keys.pinyin or keys.alphabetic or keys.hanzi)[:_LONGEST]
