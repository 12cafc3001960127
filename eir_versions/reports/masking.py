"""The identity check of what the public reads: words that say who somebody is become asterisks.

A report's text is written by people and may name the patient. What the hub knows of the person
(names, numbers) is looked for, whatever the case and the spaces between.
"""

import re
from collections.abc import Iterable

from hub_kernel.person_names import PersonName

MASK = "＊＊＊"
_SHORTEST_NUMBER = 3
_SHORTEST_LATIN = 3
# What people, and those who hide a word, write between letters; some of it has no width.
_BETWEEN = r"[\s\^,.·•・．，_－\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff-]*"
_TO_FULL_WIDTH = 0xFEE0


def identifying_words(names: Iterable[PersonName], numbers: Iterable[str]) -> frozenset[str]:
    """Return what must not be read: whole names in every script, and numbers of some length."""
    found: set[str] = set()
    for name in names:
        for script in (name.alphabetic, name.ideographic, name.phonetic):
            parts = [part for part in re.split(r"[\^\s]+", script) if part]
            found |= {"".join(parts), "".join(reversed(parts))} - {""}
            found |= {part for part in parts if len(part) >= _SHORTEST_LATIN and part.isascii()}
    found |= {number.strip() for number in numbers if len(number.strip()) >= _SHORTEST_NUMBER}
    return frozenset(word for word in found if len(word) > 1)


def masked(text: str, words: Iterable[str]) -> str:
    """Return `text` with every such word struck out.

    Spaces and signs inside it do not hide it, nor characters of no width, nor full-width letters.
    """
    for word in sorted(words, key=len, reverse=True):
        spread = _BETWEEN.join(map(_in_any_width, word))
        edge = r"(?<![0-9A-Za-z])" if word[0].isascii() else ""
        end = r"(?![0-9A-Za-z])" if word[-1].isascii() else ""
        text = re.sub(f"{edge}{spread}{end}", MASK, text, flags=re.IGNORECASE)
    return text


def _in_any_width(letter: str) -> str:
    """Return the pattern of a letter or digit as typed in half width or in full width."""
    if not "!" <= letter <= "~":
        return re.escape(letter)
    return f"[{re.escape(letter)}{chr(ord(letter) + _TO_FULL_WIDTH)}]"
