"""How well the fields of two records agree: one level each, from a fixed list per field."""

from collections.abc import Callable

from patient_index.matching.distances import (
    characters_that_differ,
    edit_similarity,
    neighbours_swapped,
    one_slip,
)
from patient_index.matching.name_levels import UNKNOWN, Level
from patient_index.matching.names import MatchName
from patient_index.matching.records import MatchRecord

Comparator = Callable[[MatchRecord, MatchRecord], Level]


def birth_date(first: MatchRecord, second: MatchRecord) -> Level:
    """Same; day and month swapped; one digit or two neighbours wrong; parts alike; different."""
    one, other = first.birth, second.birth
    if not one or not other:
        return UNKNOWN
    if one == other:
        return ("same" if len(one) == 8 else "same_year"), ""
    if len(one) != 8 or len(other) != 8:
        length = min(len(one), len(other))
        return ("same_year" if one[:length] == other[:length] else "different"), ""
    if one[:4] == other[:4] and one[4:6] == other[6:] and one[6:] == other[4:6]:
        return "day_month_swapped", ""
    return _nearly_same_date(one, other), ""


def _nearly_same_date(one: str, other: str) -> str:
    if one[:4] == other[:4] and "0101" in (one[4:], other[4:]):
        return "only_year"
    wrong = characters_that_differ(one, other)
    if wrong == 1:
        return "one_digit"
    if wrong == 2 and neighbours_swapped(one, other):
        return "neighbours_swapped"
    for level, part in _DATE_PARTS:
        if one[part] == other[part]:
            return level
    return "two_digits" if wrong == 2 else "different"


_DATE_PARTS = (
    ("same_month_and_day", slice(4, 8)),
    ("same_year_and_month", slice(0, 6)),
    ("same_year", slice(0, 4)),
)


def sex(first: MatchRecord, second: MatchRecord) -> Level:
    """Same or different; "other" and "unknown" say nothing."""
    if not first.sex or not second.sex:
        return UNKNOWN
    return ("same" if first.sex == second.sex else "different"), ""


def province(first: MatchRecord, second: MatchRecord) -> Level:
    """Province or state."""
    return _words(first.address.province, second.address.province)


def city(first: MatchRecord, second: MatchRecord) -> Level:
    """District, county, city or suburb."""
    return _words(first.address.city, second.address.city)


def street(first: MatchRecord, second: MatchRecord) -> Level:
    """Words of the street line; "moved_line" when they stand in the other's second line."""
    mine, theirs = first.address, second.address
    level = _words(mine.street, theirs.street)
    if level[0] == "same" or not (mine.other or theirs.other):
        return level
    crossed = [a for a in (mine.street, mine.other) if a and a in (theirs.other, theirs.street)]
    if level[0] in {"different", ""} and crossed and (mine.other == theirs.other) is False:
        return "moved_line", ""
    return level


def second_line(first: MatchRecord, second: MatchRecord) -> Level:
    """What follows the street line: building, village."""
    return _words(first.address.other, second.address.other)


def house(first: MatchRecord, second: MatchRecord) -> Level:
    """Numbers of the address, from the lane to the room."""
    mine, theirs = first.address.house, second.address.house
    if not mine or not theirs:
        return UNKNOWN
    if mine == theirs:
        return "same", ""
    short, long = sorted((mine, theirs), key=len)
    if len(short) < len(long) and short == long[: len(short)]:
        return "part", ""
    if one_slip("-".join(mine), "-".join(theirs)):
        return "one_slip", ""
    return "different", ""


def postal_code(first: MatchRecord, second: MatchRecord) -> Level:
    """Postal code; digits may be mistyped or swapped."""
    return _number(first.address.postal_code, second.address.postal_code), ""


def phone(first: MatchRecord, second: MatchRecord) -> Level:
    """Any telephone number of one among those of the other."""
    mine, theirs = first.phones, second.phones
    if not mine or not theirs:
        return UNKNOWN
    if not mine.isdisjoint(theirs):
        return "same", ""
    if any(one_slip(one, other) for one in mine for other in theirs):
        return "one_slip", ""
    return "different", ""


def mother(first: MatchRecord, second: MatchRecord) -> Level:
    """The mother, by her number or by her name."""
    if first.mothers_numbers and not first.mothers_numbers.isdisjoint(second.mothers_numbers):
        return "same_number", ""
    if not first.mothers or not second.mothers:
        return UNKNOWN
    levels = {_mother_names(one, other) for one in first.mothers for other in second.mothers}
    return next(level for level in ("same", "same_sound", "different") if level in levels), ""


def _mother_names(one: MatchName, other: MatchName) -> str:
    if one.family + one.given == other.family + other.given:
        return "same"
    if one.family_sound + one.given_sound == other.family_sound + other.given_sound:
        return "same_sound"
    return "different"


def resident_number(first: MatchRecord, second: MatchRecord) -> Level:
    """Resident ID numbers, those with a slip of the pen too."""
    mine = first.resident_numbers | first.doubtful_numbers
    theirs = second.resident_numbers | second.doubtful_numbers
    if not mine or not theirs:
        return UNKNOWN
    if not mine.isdisjoint(theirs):
        verified = first.resident_numbers & second.resident_numbers
        return ("same" if verified else "same_unverified"), ""
    slip = any(_slipped(one, other) for one in mine for other in theirs)
    if slip and not (mine == first.resident_numbers and theirs == second.resident_numbers):
        return "one_slip", ""
    trusted = first.resident_numbers and second.resident_numbers
    return ("different" if trusted else "different_unverified"), ""


def _slipped(one: str, other: str) -> bool:
    """One slip, or the old 15-digit form of the same number (the century and check left out)."""
    if len(one) != len(other):
        short, long = sorted((one, other), key=len)
        return len(short) == 15 and len(long) == 18 and long[:6] + long[8:17] == short
    return one_slip(one, other)


def card(first: MatchRecord, second: MatchRecord) -> Level:
    """Insurance, health-card, health-record and passport numbers, kind by kind."""
    mine, theirs = first.cards, second.cards
    if not mine or not theirs:
        return UNKNOWN
    if not mine.isdisjoint(theirs):
        return "same", ""
    if any(one_slip(one, other) for one in mine for other in theirs):
        return "one_slip", ""
    kinds = {number.partition(":")[0] for number in mine}
    shared = any(number.partition(":")[0] in kinds for number in theirs)
    return ("different", "") if shared else UNKNOWN


def local_number(first: MatchRecord, second: MatchRecord) -> Level:
    """Two numbers of one site speak against one person: a site seldom registers twice."""
    if not first.local_numbers or not second.local_numbers:
        return UNKNOWN
    if not set(first.local_numbers).isdisjoint(second.local_numbers):
        return "same", ""
    issuers = {issuer for issuer, _ in first.local_numbers}
    common = any(issuer in issuers for issuer, _ in second.local_numbers)
    return ("same_site" if common else "other_site"), ""


def birth_order(first: MatchRecord, second: MatchRecord) -> Level:
    """Position in a multiple birth."""
    if not first.birth_order or not second.birth_order:
        return UNKNOWN
    return ("same" if first.birth_order == second.birth_order else "different"), ""


_ALIKE, _SIMILAR = 0.8, 0.5


def _words(one: str, other: str) -> Level:
    if not one or not other:
        return UNKNOWN
    if one == other:
        return "same", one
    if one_slip(one, other):
        return "close", ""
    near = edit_similarity(one, other)
    if near >= _ALIKE:
        return "close", ""
    if near >= _SIMILAR or one in other or other in one:
        return "similar", ""
    return "different", ""


def _number(one: str, other: str) -> str:
    if not one or not other:
        return ""
    if one == other:
        return "same"
    if one_slip(one, other):
        return "one_slip"
    return "different"
