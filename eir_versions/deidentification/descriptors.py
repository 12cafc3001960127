"""Descriptors are kept word by word: only words of a list, and small numbers, survive.

PS3.15 E.3.5 wants identifying words taken out of descriptions; no list of names can be complete,
a list of what anatomy, technique and measures are called can.
"""

import functools
import re

from hub_kernel.config_files import shipped_config

_WORDS = "deidentification/descriptor_words.txt"
_LATIN = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[^\sA-Za-z0-9]")
_LARGEST_NUMBER_DIGITS = 3
_MOST_DIGITS = 4
_LONGEST_CHINESE_WORD = 6
_JOINERS = frozenset("+-/*.,:;()%&_")


@functools.cache
def known_words() -> frozenset[str]:
    """Return the words that may stay, in lower case; Chinese ones are runs of characters."""
    text = shipped_config(_WORDS).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.lower().split())


def cleaned_text(text: str) -> str:
    """Return the known words of a text in their order; empty when none is left."""
    kept: list[str] = []
    for part in re.findall(r"[\u3400-\u9fff]+|[^\u3400-\u9fff]+", text):
        kept += _chinese(part) if "\u3400" <= part[0] <= "\u9fff" else _latin(part)
    while kept and kept[-1] in _JOINERS:
        kept.pop()
    words = [word for place, word in enumerate(kept) if place or word not in _JOINERS]
    return " ".join(words)


def _latin(part: str) -> list[str]:
    return [token for word in part.split() for token in _word(word)]


def _word(word: str) -> list[str]:
    """The tokens of what stands between two spaces; beside an unknown word no number stays."""
    if word.lower() in known_words():
        return [word]
    tokens = _LATIN.findall(word)
    digits = sum(letter.isdigit() for letter in word)
    if digits <= _MOST_DIGITS and all(map(_may_stay, tokens)):
        return tokens
    return [token for token in tokens if not token[0].isdigit() and _may_stay(token)]


def _may_stay(token: str) -> bool:
    if token[0].isdigit():
        return len(token.partition(".")[0]) <= _LARGEST_NUMBER_DIGITS and len(token) <= 6
    return token in _JOINERS or token.lower() in known_words()


def _chinese(run: str) -> list[str]:
    """The longest known words of a run of characters; what is between them falls away."""
    words, place = [], 0
    while place < len(run):
        for length in range(min(_LONGEST_CHINESE_WORD, len(run) - place), 0, -1):
            if run[place : place + length] in known_words():
                words.append(run[place : place + length])
                place += length
                break
        else:
            place += 1
    return words
