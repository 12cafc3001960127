"""How well two names agree: a level each for family and given name, from a fixed list."""

from patient_index.matching.distances import one_slip, similarity
from patient_index.matching.names import MatchName
from patient_index.matching.records import MatchRecord
from patient_index.matching.variants import LOST

Level = tuple[str, str]
"""(level, value whose frequency counts, "|" between values of which one is meant); ("", "") when a
side knows nothing."""

UNKNOWN: Level = ("", "")

FAMILY_LEVELS = (
    "same", "variant", "same_sound", "same_pinyin", "swapped", "close", "similar_sound", "similar",
    "lost_character", "only_initial", "different",
)  # fmt: skip
GIVEN_LEVELS = (
    "same", "variant", "same_sound", "same_pinyin", "swapped", "close", "similar_sound", "part",
    "lost_character", "initials", "shares_character", "similar", "same_unnamed", "unnamed",
    "named_since", "other_child", "different",
)  # fmt: skip


def name_levels(first: MatchRecord, second: MatchRecord) -> tuple[Level, Level]:
    """Return the levels of family and given name, for the two names that agree best."""
    if first.newborn is not None or second.newborn is not None:
        return _newborn_levels(first, second)
    if not first.names or not second.names:
        return UNKNOWN, UNKNOWN
    if len(first.names) == 1 and len(second.names) == 1:
        return _pair_levels(first.names[0], second.names[0])
    pairs = (_pair_levels(mine, theirs) for mine in first.names for theirs in second.names)
    return min(pairs, key=_rank)


_FAMILY_RANK = {level: rank for rank, level in enumerate(FAMILY_LEVELS)} | {"": 8}
_GIVEN_RANK = {level: rank for rank, level in enumerate(GIVEN_LEVELS)} | {"": 8}
_CLOSE, _SIMILAR, _SWAPPED = 0.92, 0.80, 0.88


def _rank(levels: tuple[Level, Level]) -> int:
    return _FAMILY_RANK[levels[0][0]] + _GIVEN_RANK[levels[1][0]]


def _pair_levels(mine: MatchName, theirs: MatchName) -> tuple[Level, Level]:
    family, given = _family_level(mine, theirs), _given_level(mine, theirs)
    if family[0] in _OPEN and given[0] in _OPEN and _swapped(mine, theirs):
        either = f"{mine.family}|{theirs.family}"
        return ("swapped", either), ("swapped", either)
    return family, given


_OPEN = frozenset({"different", "similar", "shares_character", "part", "only_initial", ""})


def _swapped(mine: MatchName, theirs: MatchName) -> bool:
    """Family and given name stand in the other order, or share their places otherwise."""
    if not mine.family or not mine.given or not theirs.family or not theirs.given:
        return False
    if mine.han and theirs.han:
        # A name split at the wrong place is the same run of characters, turned.
        whole = mine.family + mine.given, theirs.family + theirs.given
        return len(whole[0]) == len(whole[1]) and whole[0] in whole[1] * 2
    crossed = (mine.family_sound, theirs.given_sound), (mine.given_sound, theirs.family_sound)
    if mine.han or theirs.han:
        return all(one == other for one, other in crossed)
    exact = any(one == other for one, other in crossed)
    return exact and all(similarity(one, other) >= _SWAPPED for one, other in crossed)


def _family_level(mine: MatchName, theirs: MatchName) -> Level:
    one, other = mine.family, theirs.family
    if not one or not other:
        return UNKNOWN
    if one == other and LOST not in one:
        return ("same" if mine.family_written == theirs.family_written else "variant", one)
    if LOST in one or LOST in other:
        return "lost_character", ""
    if mine.family_sound == theirs.family_sound:
        return ("same_sound" if mine.han and theirs.han else "same_pinyin", mine.family_sound)
    if mine.han or theirs.han:
        alike = mine.family_blur == theirs.family_blur
        return "similar_sound" if alike else "different", ""
    return _letters_level(one, other, "only_initial"), ""


def _letters_level(one: str, other: str, initial: str) -> str:
    if (len(one) == 1 or len(other) == 1) and one[0] == other[0]:
        return initial
    if one_slip(one, other):
        return "close"
    near = similarity(one, other)
    if near >= _CLOSE:
        return "close"
    return "similar" if near >= _SIMILAR else "different"


def _given_level(mine: MatchName, theirs: MatchName) -> Level:
    one, other = mine.given, theirs.given
    if not one or not other:
        # A lone surname may be all that is left of a name whose other character was lost.
        return ("lost_character", "") if mine.han and theirs.han and one != other else UNKNOWN
    if one == other and LOST not in one:
        return ("same" if mine.given_written == theirs.given_written else "variant", one)
    if LOST in one or LOST in other:
        return _lost_level(one, other), ""
    if mine.given_sound == theirs.given_sound:
        return ("same_sound" if mine.han and theirs.han else "same_pinyin", mine.given_sound)
    if mine.han or theirs.han:
        return _han_given_level(mine, theirs), ""
    return _letters_level(one, other, "initials"), ""


def _han_given_level(mine: MatchName, theirs: MatchName) -> str:
    if mine.given_blur == theirs.given_blur:
        return "similar_sound"
    if mine.han != theirs.han:
        in_hanzi, in_letters = (mine, theirs) if mine.han else (theirs, mine)
        if in_letters.given == in_hanzi.initials:
            return "initials"
        return "close" if one_slip(mine.given_sound, theirs.given_sound) else "different"
    one, other = mine.given, theirs.given
    if len(one) != len(other) and (one in other or other in one):
        return "part"
    if set(one) & set(other):
        return "shares_character"
    return "different"


def _lost_level(one: str, other: str) -> str:
    """Nothing that is left of either contradicts the other, or something does."""
    if len(one) == len(other):
        fits = all(a == b or LOST in (a, b) for a, b in zip(one, other, strict=True))
    else:
        kept, rest = sorted((one.replace(LOST, ""), other.replace(LOST, "")), key=len)
        fits = kept in rest
    return "lost_character" if fits else "different"


def _newborn_levels(first: MatchRecord, second: MatchRecord) -> tuple[Level, Level]:
    if first.newborn is None or second.newborn is None:
        return UNKNOWN, ("named_since", "")
    mine, theirs = first.newborn, second.newborn
    if mine.ordinal and theirs.ordinal:
        given = "same_unnamed" if mine.ordinal == theirs.ordinal else "other_child"
    else:
        given = "unnamed"
    if mine.sex and theirs.sex and mine.sex != theirs.sex:
        given = "other_child"
    return UNKNOWN, (given, "")
