"""Keys under which records that could be one person meet, however one or two fields went wrong."""

from collections.abc import Iterator
from itertools import chain

from hub_kernel.pinyin import segment
from patient_index.matching.names import MatchName
from patient_index.matching.records import MatchRecord
from patient_index.matching.variants import LOST

LARGEST_BLOCK = 100
"""A key that more records share says nothing about them (a hospital's own telephone): skip it."""


def blocking_keys(record: MatchRecord) -> tuple[str, ...]:
    """Return short texts, each "rule:value"; two records are compared when they share one.

    Each rule names what has to be right: any one field may be wrong, and most pairs of fields.
    """
    return tuple(dict.fromkeys(chain.from_iterable(rule(record) for rule in _RULES)))


def _names_and_dates(record: MatchRecord) -> Iterator[str]:
    born = record.birth
    for name in record.names:
        whole = _any_order(name)
        if len(born) == 8:
            yield f"ny:{whole}|{born[:4]}"
            yield f"nd:{whole}|{born[4:]}"
            yield f"fd:{_rough(name.family_blur, han=name.han)}|{born}"
            yield f"gd:{_rough(name.given_blur, han=name.han)}|{born}"
        else:
            yield f"n:{whole}"
        if not name.han:
            yield from _letters(name, born)


def _letters(name: MatchName, born: str) -> Iterator[str]:
    """Names in letters are misspelt more freely than Hanzi, and far rarer in the region."""
    family, given = skeleton(name.family), skeleton(name.given)
    yield f"l:{min(family, given)}|{max(family, given)}"
    if len(born) == 8:
        yield f"ly:{family}|{born[:6]}"
        yield f"lm:{given}|{born[:6]}"
        yield f"lf:{family}|{born[4:]}"
        yield f"lg:{given}|{born[4:]}"


def _address(record: MatchRecord) -> Iterator[str]:
    address = record.address
    line = address.street[:24]
    if line and address.house:
        place = f"{line}|{'-'.join(address.house)}"
        yield f"a:{place}"
    for name in record.names:
        given = _rough(name.given_blur, han=name.han)
        if line:
            yield f"ag:{line[:12]}|{given}"
        if not name.han and not is_pinyin(name):
            yield from _letters_address(record, name)


def _letters_address(record: MatchRecord, name: MatchName) -> Iterator[str]:
    address = record.address
    for place in filter(None, (address.postal_code, address.city[:6])):
        yield f"pf:{place}|{skeleton(name.family)}"
        yield f"pg:{place}|{skeleton(name.given)}"
        if address.house:
            yield f"ph:{place}|{'-'.join(address.house)}"
        if record.birth:
            yield f"pb:{place}|{record.birth[:4]}"
            yield f"pm:{place}|{record.birth[4:]}"


def _phones(record: MatchRecord) -> Iterator[str]:
    return (f"t:{phone}" for phone in sorted(record.phones))


def _numbers(record: MatchRecord) -> Iterator[str]:
    for number in sorted(record.resident_numbers | record.doubtful_numbers):
        yield f"i:{number}"
        # A slip leaves one half whole; the first 14 characters are little more than the birth date.
        yield f"ib:{number[-9:]}"
    for number in sorted(record.cards):
        yield f"c:{number}"


def _mothers(record: MatchRecord) -> Iterator[str]:
    for number in sorted(record.mothers_numbers):
        yield f"mi:{number}"
    if record.birth:
        for name in record.mothers:
            yield f"md:{_any_order(name)}|{record.birth}"


_RULES = (_names_and_dates, _numbers, _phones, _address, _mothers)

_CODES = {
    **dict.fromkeys("bfpv", "1"),
    **dict.fromkeys("cgjkqsxz", "2"),
    **dict.fromkeys("dt", "3"),
    "l": "4",
    **dict.fromkeys("mn", "5"),
    "r": "6",
}


def skeleton(letters: str) -> str:
    """Return the first letter and the classes of the consonants after it (Soundex)."""
    if not letters:
        return ""
    codes = [_CODES.get(letter, "") for letter in letters]
    kept = [code for before, code in zip(codes, codes[1:], strict=False) if code and code != before]
    return (letters[0] + "".join(kept))[:4]


def _rough(sound: str, *, han: bool) -> str:
    return sound.replace(LOST, "") if han else skeleton(sound)


def is_pinyin(name: MatchName) -> bool:
    """Say whether letters read as Chinese: such names repeat, and all of them live in one city."""
    return bool(segment(name.family) and segment(name.given))


def _any_order(name: MatchName) -> str:
    """The sound of a name whichever part stands first."""
    return "".join(sorted((name.family_blur, name.given_blur)))
