"""The values of a record as an explanation shows them to a person."""

from collections.abc import Callable

from patient_index.matching.records import MatchRecord


def shown_values(field: str, first: MatchRecord, second: MatchRecord) -> tuple[str, str]:
    """Return what both records say about a field, "" where nothing is known."""
    show = _SHOWN[field]
    return show(first), show(second)


def _family(record: MatchRecord) -> str:
    if record.newborn is not None:
        return record.newborn.parent.family_written
    return "、".join(name.family_written for name in record.names)


def _given(record: MatchRecord) -> str:
    if record.newborn is not None:
        return f"({record.newborn.parent.shown}) {record.newborn.ordinal or ''}".strip()
    return "、".join(name.given_written for name in record.names)


def _birth(record: MatchRecord) -> str:
    digits = record.birth
    return "-".join(filter(None, (digits[:4], digits[4:6], digits[6:])))


def _joined(values: frozenset[str]) -> str:
    return "、".join(sorted(values))


_SHOWN: dict[str, Callable[[MatchRecord], str]] = {
    "family_name": _family,
    "given_name": _given,
    "birth_date": _birth,
    "sex": lambda record: record.sex,
    "province": lambda record: record.address.province,
    "city": lambda record: record.address.city,
    "street": lambda record: record.address.street,
    "house": lambda record: "-".join(record.address.house),
    "second_line": lambda record: record.address.other,
    "postal_code": lambda record: record.address.postal_code,
    "phone": lambda record: _joined(record.phones),
    "mother": lambda record: "、".join(
        [*(name.shown for name in record.mothers), *sorted(record.mothers_numbers)]
    ),
    "resident_number": lambda record: _joined(record.resident_numbers | record.doubtful_numbers),
    "card": lambda record: _joined(record.cards),
    "local_number": lambda record: "、".join(value for _, value in record.local_numbers),
    "birth_order": lambda record: str(record.birth_order or ""),
}
