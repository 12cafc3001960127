"""Turn matching values into conditions on the index (DICOM PS3.4 C.2.2.2).

Every text of the asker reaches the database as a bound value; `%` and `_` in it are literal. A
single value of any attribute but a name is compared exactly, and so is what stands before the first
wildcard of a code; other text compares with wildcards without regard to the case of letters A to Z.
Names are compared by their folded keys. Dates and times are in `matching_times`.
"""

import re
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, false, func, or_, select, true, union_all

from hub_kernel.person_names import query_keys
from image_archive.errors import InvalidQueryError
from image_archive.tables import STUDY

LARGEST_LIST = 10_000
LONGEST_VALUE = 1024
MOST_WILDCARDS = 32

Condition = ColumnElement[bool]
Column = ColumnElement[str]

_WILD = re.compile(r"[*?]")
_SEPARATORS = re.compile(r"[\^, ]")
_ESCAPE = "\\"
_LAST_CHARACTER = "\U0010ffff"


def text_condition(column: Column, value: str) -> Condition:
    """Match one value or one pattern with wildcards; a list matches any of its values."""
    # Of an empty list nothing matches; an empty or_() would match everything.
    return or_(false(), *(_one_text(column, part) for part in _parts(value)))


def code_condition(column: Column, value: str) -> Condition:
    """Match identifiers and codes like `text_condition`, so that an index can find `abc*`."""
    return or_(false(), *(_one_code(column, part) for part in _parts(value)))


def uid_condition(column: Column, value: str) -> Condition:
    """Match any UID of a list; UIDs know no wildcards, `*` alone is universal."""
    if value == "*":
        return true()
    return column.in_(_parts(value))


def number_condition(column: ColumnElement[int], value: str) -> Condition:
    """Match any number of a list (IS, US).

    Raises:
        InvalidQueryError: a part is no number.
    """
    parts = _parts(value)
    if not all(re.fullmatch(r"[+-]?[0-9]{1,10}", part) for part in parts):
        raise InvalidQueryError("a number is expected")
    return column.in_([int(part) for part in parts])


def name_condition(value: str, *, fuzzy: bool = False) -> Condition:
    """Match a patient's name by Hanzi, pinyin, initials or letters, without regard to case.

    With wildcards and `^`, the letters are compared with the name as sent, component by component,
    and with the pinyin of names that were sent in Hanzi alone. `fuzzy` finds the value anywhere.

    Raises:
        InvalidQueryError: the value is longer than any name.
    """
    ways = [way for group in _checked(value).split("=") for way in _one_name(group, fuzzy=fuzzy)]
    if not ways:
        return false()
    # Each way is a search of its own in the index of its key: joined by OR, a planner that knows
    # how many names have an empty key reads the whole table instead.
    found = [select(_NAMED.c.id).where(way) for way in ways]
    return STUDY.c.id.in_(union_all(*found) if len(found) > 1 else found[0])


def plain_name_condition(columns: Sequence[Column], value: str) -> Condition:
    """Match a name that has no keys by its component groups as sent.

    Letters are compared without regard to their case, `^`, comma and space count for nothing.

    Raises:
        InvalidQueryError: the value is longer than any name.
    """
    groups = [_SEPARATORS.sub("", group).lower() for group in _checked(value).split("=")]
    written = [func.lower(func.replace(func.replace(one, "^", ""), " ", "")) for one in columns]
    return or_(false(), *(_like(one, group) for group in groups if group for one in written))


def _one_name(group: str, *, fuzzy: bool) -> list[Condition]:
    """Return the ways in which a component group can match, each on one key."""
    group = group.strip().rstrip("^")
    if not group:
        return []
    if fuzzy:
        group = f"*{group}*"
    if not _WILD.search(group):
        keys = query_keys(group)
        pairs = zip(
            _NAME_KEYS, (keys.hanzi, keys.pinyin, keys.initials, keys.alphabetic), strict=True
        )
        return [column == key for column, key in pairs if key]
    if "^" in group and not fuzzy:
        return _components(group)
    return _folded(group, _NAME_KEYS)


_NAMED = STUDY.alias("named")
_NAME_KEYS = (
    _NAMED.c.key_hanzi,
    _NAMED.c.key_pinyin,
    _NAMED.c.key_initials,
    _NAMED.c.key_alphabetic,
)


def _components(group: str) -> list[Condition]:
    # By its length, lest the index on a key that is empty in half of all rows be thought of use.
    hanzi_alone = func.length(_NAMED.c.key_alphabetic) == 0
    return [
        _pattern(_NAMED.c.key_as_sent, group.casefold()),
        *_folded(group, (_NAMED.c.key_hanzi,)),
        *(and_(hanzi_alone, one) for one in _folded(group, (_NAMED.c.key_pinyin,))),
    ]


def _folded(group: str, columns: tuple[ColumnElement[str], ...]) -> list[Condition]:
    """Compare a pattern, its literal parts folded as the keys are, with each key."""
    folded = ""
    for piece in re.split(r"([*?])", group):
        letters = piece if _WILD.fullmatch(piece) else _fold(piece)
        if not letters and piece.strip(" ^"):
            return []  # asks for a character that no key holds
        folded += letters
    return [_pattern(column, folded) for column in columns]


def _fold(piece: str) -> str:
    keys = query_keys(piece)
    return keys.hanzi or keys.alphabetic


def _one_text(column: Column, value: str) -> Condition:
    return _like(func.lower(column), value.lower()) if _WILD.search(value) else column == value


def _one_code(column: Column, value: str) -> Condition:
    found = _WILD.search(value)
    if not found:
        return column == value
    prefix = value[: found.start()]
    if _simplified(value[found.start() :]) == "*":
        return _starts_with(column, prefix)
    return and_(_starts_with(column, prefix), _like(func.lower(column), value.lower()))


def _pattern(column: Column, pattern: str) -> Condition:
    """Compare a folded key with a pattern of `*` and `?`; an index can find a mere prefix."""
    pattern = _simplified(pattern)
    if pattern.endswith("*") and not _WILD.search(pattern[:-1]):
        return _starts_with(column, pattern[:-1])
    return _like(column, pattern)


def _like(column: Column, pattern: str) -> Condition:
    pattern = _simplified(pattern)
    if pattern == "*":
        return true()
    if len(_WILD.findall(pattern)) > MOST_WILDCARDS:
        return false()
    literal = re.sub(r"([\\%_])", r"\\\1", pattern)
    return column.like(literal.replace("*", "%").replace("?", "_"), escape=_ESCAPE)


def _starts_with(column: Column, prefix: str) -> Condition:
    return and_(column >= prefix, column < prefix + _LAST_CHARACTER) if prefix else true()


def _simplified(pattern: str) -> str:
    return re.sub(r"[*?]*\*[*?]*", _collapsed, pattern)


def _collapsed(found: re.Match[str]) -> str:
    """`*?*?` means what `??*` means, and costs the database far less."""
    return "?" * found.group().count("?") + "*"


def _parts(value: str) -> list[str]:
    parts = [part.strip() for part in value.split("\\")]
    parts = [part for part in parts if part]
    if len(parts) > LARGEST_LIST:
        raise InvalidQueryError(f"a list of more than {LARGEST_LIST} values")
    for part in parts:
        _checked(part)
    return parts


def _checked(value: str) -> str:
    if len(value) > LONGEST_VALUE or "\0" in value:
        raise InvalidQueryError(f"a matching value longer than {LONGEST_VALUE} characters, or NUL")
    return value
