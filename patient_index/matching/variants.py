"""Fold the ways one name or address is written: widths, traditional and variant characters."""

import re
import tomllib
import unicodedata
from functools import cache, lru_cache

from hub_kernel.config_files import shipped_config

LOST = "?"
"""Stands for a character that some system could not keep."""


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """Return the form under which spellings of one name are equal: casefolded, letters and digits.

    Traditional and variant characters become the simplified one; whatever stands for a lost
    character ("?", "□", "*", private use) becomes `LOST`. Invisible characters disappear.
    """
    if text.isascii():
        return _NOT_KEPT.sub("", text.casefold().replace("*", LOST))
    unified = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(None, map(_folded, unified)))


def plain(text: str) -> str:
    """Return the text with widths unified, casefolded, letters and digits only, variants kept."""
    unified = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in unified if char.isalnum())


_NOT_KEPT = re.compile(r"[^a-z0-9?]")
_LOST_SIGNS = frozenset("?*\ufffd□■〓▯◻")


@lru_cache(maxsize=32768)
def _folded(char: str) -> str:
    if char in _LOST_SIGNS or unicodedata.category(char) == "Co":
        return LOST
    if not char.isalnum():
        return ""
    if char.isascii():
        return char
    if "\u00c0" <= char <= "\u024f":
        bare = unicodedata.normalize("NFKD", char)
        return "".join(part for part in bare if part.isalnum())
    return variant_table().get(char, char)


@cache
def variant_table() -> dict[str, str]:
    """Return character by variant character, as shipped in `config/matching/variants.toml`."""
    path = shipped_config("matching/variants.toml")
    pairs = "".join(tomllib.loads(path.read_text(encoding="utf-8"))["pairs"].split())
    return dict(zip(pairs[::2], pairs[1::2], strict=True))
