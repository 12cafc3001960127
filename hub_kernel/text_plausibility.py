"""Says how unlike real text a reading of doubtful bytes looks; only comparisons mean anything."""

import re
import unicodedata
from functools import lru_cache

# Costs by kind of character; the kinds are those of `_kind`.
_COSTS: dict[str, float] = {
    "hanzi common": 0.0,  # GB 2312 level 1, 3,755 characters: nearly every Chinese name
    "hanzi known": 0.5,  # GB 2312 level 2
    "hanzi rare": 4.0,  # the rest of the basic block: what wrong readings in GBK are made of
    "hanzi extended": 5.0,
    "own script": 0.5,
    "other script": 2.0,
    "punctuation": 1.0,  # CJK punctuation and full-width forms
    "invisible": 2.0,
    "symbol": 8.0,
    "nothing": 20.0,  # control, private use, unassigned, U+FFFD
}
_LATIN_WORD_WITHOUT_ASCII = 6.0
_CAPITAL_INSIDE_WORD = 4.0
_HANZI_BESIDE_SMALL_LETTER = 4.0
_HANZI_BESIDE_CAPITAL = 1.0
_SCRIPTS_MIXED = 4.0

_LOOKED_AT = 512
_WORD = re.compile(r"[^\s^=\\]+")
_JAPANESE = frozenset({"HIRAGANA", "KATAKANA", "HALFWIDTH"})
# Beyond Latin Extended-A only Romanian, Vietnamese and pinyin letters occur in names; the rest is
# what GBK looks like when its bytes happen to be valid UTF-8.
_ARCHAIC = re.compile(r"[\u0370-\u0385\u03cf-\u03ff\u0460-\u048f\u0500-\u052f]")
_ODD_LATIN = re.compile(r"[\u0180-\u019f\u01a2-\u01ae\u01b1-\u01cc\u01dd-\u0217\u021c-\u02af]")


def implausibility(text: str, script: str) -> float:
    """Return the mean cost of the characters beyond ASCII: 0 is an everyday name, 20 is rubbish.

    `script` is the script that the set is expected to hold (first word of Unicode names). Only the
    beginning of a long text is looked at.
    """
    total, count = 0.0, 0
    scripts: set[str] = set()
    for word in _WORD.findall(text[:_LOOKED_AT]):
        if word.isascii():
            continue
        has_ascii_letter = any(char.isascii() and char.isalpha() for char in word)
        for position, char in enumerate(word):
            if char.isascii():
                continue
            count += 1
            if _kind(char) == "letter":
                scripts.add(_script(char))
            total += _cost(word, position, script, has_ascii_letter=has_ascii_letter)
    if not count:
        return 0.0
    mixed = len(scripts - _JAPANESE) > 1
    return total / count + (_SCRIPTS_MIXED if mixed else 0.0)


def _cost(word: str, position: int, script: str, *, has_ascii_letter: bool) -> float:
    char = word[position]
    before = word[position - 1] if position else ""
    after = word[position + 1 : position + 2]
    kind = _kind(char)
    if kind.startswith("hanzi"):
        return _COSTS[kind] + _beside_hanzi(before + after)
    if kind != "letter":
        return _COSTS[kind]
    found = _script(char)
    if found == "LATIN":
        if not has_ascii_letter:
            return _LATIN_WORD_WITHOUT_ASCII
        if _ODD_LATIN.match(char):
            return _COSTS["hanzi rare"]
        inside = char.isupper() and before.islower()
        return _COSTS["own script"] + (_CAPITAL_INSIDE_WORD if inside else 0.0)
    if _ARCHAIC.match(char):
        return _COSTS["hanzi rare"]
    own = found == script or (found in _JAPANESE and script in _JAPANESE)
    likely = own or (len(word) > 2 and (word[1:].islower() or word.isupper()))
    inside = char.isupper() and before.islower()
    return _COSTS["own script" if likely else "other script"] + (
        _CAPITAL_INSIDE_WORD if inside else 0.0
    )


def _beside_hanzi(neighbours: str) -> float:
    latin = [char for char in neighbours if char.isascii() and char.isalpha()]
    if any(char.islower() for char in latin):
        return _HANZI_BESIDE_SMALL_LETTER
    return _HANZI_BESIDE_CAPITAL if latin else 0.0


@lru_cache(maxsize=16384)
def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if category in {"Cc", "Co", "Cn", "Cs"} or char == "\ufffd":
        return "nothing"
    if category == "Cf":
        return "invisible"
    if category[0] in "LM":
        return _hanzi_kind(char) if _script(char) == "CJK" else "letter"
    if "\u3000" <= char <= "\u303f" or "\uff00" <= char <= "\uffef" or char == "·":
        return "punctuation"
    return "symbol"


def _hanzi_kind(char: str) -> str:
    try:
        lead = char.encode("gb2312")[0]
    except UnicodeEncodeError:
        return "hanzi rare" if "\u4e00" <= char <= "\u9fff" else "hanzi extended"
    return "hanzi common" if lead <= 0xD7 else "hanzi known"


@lru_cache(maxsize=16384)
def _script(char: str) -> str:
    return unicodedata.name(char, "NONE").split(" ", 1)[0].split("-", 1)[0]
