"""Turn matching values into conditions on the index (DICOM PS3.4 C.2.2.2).

Every text of the asker reaches the database as a bound value; `%` and `_` in it are literal. A
single value of any attribute but a name is compared exactly; wildcards compare without regard to
the case of letters A to Z. Names are compared by their folded keys.
"""

import re
from datetime import date

from sqlalchemy import ColumnElement, and_, false, func, or_, true

from hub_kernel.person_names import query_keys
from image_archive.errors import InvalidQueryError
from image_archive.rows import time_key
from image_archive.tables import STUDY

LARGEST_LIST = 10_000
LONGEST_VALUE = 1024
MOST_WILDCARDS = 32

Condition = ColumnElement[bool]
Column = ColumnElement[str]

_WILD = re.compile(r"[*?]")
_ESCAPE = "\\"
_LAST_CHARACTER = "\U0010ffff"


def text_condition(column: Column, value: str) -> Condition:
    """Match one value or one pattern with wildcards; a list matches any of its values."""
    # Of an empty list nothing matches; an empty or_() would match everything.
    return or_(false(), *(_one_text(column, part) for part in _parts(value)))


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


def date_condition(column: ColumnElement[date], value: str) -> Condition:
    """Match one date, or a range `a-b`, `a-`, `-b` (PS3.4 C.2.2.2.5).

    Raises:
        InvalidQueryError: a bound is no date.
    """
    low, high = _bounds(value)
    conditions = []
    if low:
        conditions.append(column >= _date(low))
    if high:
        conditions.append(column <= _date(high))
    return and_(true(), *conditions)


def time_condition(column: Column, value: str) -> Condition:
    """Match one time as far as it is given, or a range.

    Raises:
        InvalidQueryError: a bound is no time.
    """
    low, high = _bounds(value)
    conditions = [column != ""]
    if low:
        conditions.append(column >= _time(low))
    if high:
        conditions.append(column <= _latest(high))
    return and_(*conditions)


def datetime_condition(date_value: str, time_value: str) -> Condition:
    """Match ranges of Study Date and Study Time as one range of date-times (C.2.2.2.5)."""
    (first, last), (early, late) = _bounds(date_value), _bounds(time_value)
    day, at = STUDY.c.study_date, STUDY.c.study_time_key
    conditions: list[Condition] = [true()]
    if first:
        bound = _date(first)
        conditions.append(or_(day > bound, and_(day == bound, at >= _time(early or "00"))))
    if last:
        bound = _date(last)
        conditions.append(or_(day < bound, and_(day == bound, at <= _latest(late or "23"))))
    return and_(*conditions)


def name_condition(value: str, *, fuzzy: bool = False) -> Condition:
    """Match a patient's name by Hanzi, pinyin, initials or letters, without regard to case.

    With wildcards and `^`, the letters are compared with the name as sent, component by component,
    and with the pinyin of names that were sent in Hanzi alone. `fuzzy` finds the value anywhere.
    """
    conditions = [_one_name(group, fuzzy=fuzzy) for group in _checked(value).split("=")]
    return or_(*(condition for condition in conditions if condition is not None))


def _one_name(group: str, *, fuzzy: bool) -> Condition | None:
    group = group.strip().rstrip("^")
    if not group:
        return None
    if fuzzy:
        group = f"*{group}*"
    if not _WILD.search(group):
        keys = query_keys(group)
        pairs = zip(
            _NAME_KEYS, (keys.hanzi, keys.pinyin, keys.initials, keys.alphabetic), strict=True
        )
        return or_(false(), *(column == key for column, key in pairs if key))
    if "^" in group and not fuzzy:
        return _components(group)
    return _folded(group, _NAME_KEYS)


_NAME_KEYS = (STUDY.c.key_hanzi, STUDY.c.key_pinyin, STUDY.c.key_initials, STUDY.c.key_alphabetic)


def _components(group: str) -> Condition:
    return or_(
        _pattern(STUDY.c.key_as_sent, group.casefold()),
        _folded(group, (STUDY.c.key_hanzi,)),
        and_(STUDY.c.key_alphabetic == "", _folded(group, (STUDY.c.key_pinyin,))),
    )


def _folded(group: str, columns: tuple[ColumnElement[str], ...]) -> Condition:
    """Compare a pattern, its literal parts folded as the keys are, with each key."""
    folded = ""
    for piece in re.split(r"([*?])", group):
        letters = piece if _WILD.fullmatch(piece) else _fold(piece)
        if not letters and piece.strip(" ^"):
            return false()  # asks for a character that no key holds
        folded += letters
    return or_(*(_pattern(column, folded) for column in columns))


def _fold(piece: str) -> str:
    keys = query_keys(piece)
    return keys.hanzi or keys.alphabetic


def _one_text(column: Column, value: str) -> Condition:
    if not _WILD.search(value):
        return column == value
    return _pattern(func.lower(column), value.lower(), plain=column)


def _pattern(
    column: ColumnElement[str], pattern: str, plain: ColumnElement[str] | None = None
) -> Condition:
    """Compare with a pattern of `*` and `?`; a mere prefix of a folded key can use its index."""
    pattern = re.sub(r"[*?]*\*[*?]*", _collapsed, pattern)
    if pattern == "*":
        return true()
    if len(pattern) > LONGEST_VALUE or len(_WILD.findall(pattern)) > MOST_WILDCARDS:
        return false()
    prefix = pattern[:-1]
    if plain is None and pattern.endswith("*") and not _WILD.search(prefix):
        return and_(column >= prefix, column < prefix + _LAST_CHARACTER)
    literal = re.sub(r"([\\%_])", r"\\\1", pattern)
    return column.like(literal.replace("*", "%").replace("?", "_"), escape=_ESCAPE)


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


def _bounds(value: str) -> tuple[str, str]:
    """Return the two bounds of a range, both the same for a single value, "" where it is open."""
    low, dash, high = value.strip().partition("-")
    if not dash:
        return low, low
    if not (low or high).strip() or "-" in high:
        raise InvalidQueryError("a range is written as a-b, a- or -b")
    return low.strip(), high.strip()


def _date(text: str) -> date:
    digits = text.replace(".", "") if len(text) == 10 else text
    try:
        if re.fullmatch(r"[0-9]{8}", digits):
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        pass
    raise InvalidQueryError("a date is written as YYYYMMDD")


def _time(text: str) -> str:
    key = time_key(text)
    if not key:
        raise InvalidQueryError("a time is written as HHMMSS.FFFFFF")
    return key


def _latest(text: str) -> str:
    """Return the last moment that `text`, as far as it goes, can mean."""
    earliest = _time(text)
    given = text.replace(":", "").strip()
    return given + earliest[len(given) :].replace("0", "9") if "." not in given else _nines(given)


def _nines(given: str) -> str:
    return f"{given[:13]:9<13}"
