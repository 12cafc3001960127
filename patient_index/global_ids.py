"""The global patient ID: "P", twelve random characters, one check character (ISO 7064 MOD 37,36).

A resident ID number begins with a digit and has 15 or 18 characters; a global ID has 14 and begins
with a letter, so neither a person nor a program can take one for the other. The check character
catches every single wrong character and every swap of neighbours.
"""

import secrets
from typing import Protocol

from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_37_36


class GlobalIdFactory(Protocol):
    """Makes global IDs; tests pass one that counts."""

    def new_global_id(self) -> str:
        """Return a global ID never returned before."""
        ...


class SystemGlobalIdFactory:
    """Random global IDs: nothing about the person can be read from them."""

    def new_global_id(self) -> str:
        """Return a global ID never returned before (60 random bits)."""
        return global_id_of("".join(secrets.choice(_ALPHABET) for _ in range(_BODY_LENGTH)))


def global_id_of(body: str) -> str:
    """Return the global ID with these twelve characters, prefix and check character added."""
    return (_PREFIX + body) + str(mod_37_36.calc_check_digit(_PREFIX + body))


def is_global_id(text: str) -> bool:
    """Say whether `text` is a global ID without a slip of the pen, whether issued or not."""
    if len(text) != _LENGTH or not text.startswith(_PREFIX) or not text.isascii():
        return False
    try:
        mod_37_36.validate(text)
    except ValidationError:
        return False
    return True


_PREFIX = "P"
# Crockford's alphabet: no I, L, O or U that could be read as 1, 0 or V.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BODY_LENGTH = 12
_LENGTH = len(_PREFIX) + _BODY_LENGTH + 1
