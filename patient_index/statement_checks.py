"""What may be said about a patient at all: limits and impossible values, each with its field."""

from collections.abc import Iterable
from datetime import date, timedelta

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index.errors import InvalidStatementError
from patient_index.model import Demographics, IdentifierKind, PatientStatement

LONGEST_IDENTIFIER = 64
_LONGEST_TEXT = 1000
_MOST_IDENTIFIERS = 64
_MOST_REPETITIONS = 32
_EARLIEST_BIRTH = date(1850, 1, 1)


def require_sound(statement: PatientStatement, today: date) -> None:
    """Let a statement pass that can be stored and means somebody.

    Raises:
        InvalidStatementError: names the field that breaks a rule.
    """
    _require_identifiers(statement)
    demographics = statement.demographics
    born = demographics.birth_date
    # A day of grace: midnight comes at different times to a sender and to the hub.
    if born is not None and not _EARLIEST_BIRTH <= born <= today + timedelta(days=1):
        raise InvalidStatementError(
            f"a birth date must lie between {_EARLIEST_BIRTH} and today", "demographics.birth_date"
        )
    for name in ("other_names", "phones", "mothers_identifiers"):
        if len(getattr(demographics, name)) > _MOST_REPETITIONS:
            raise InvalidStatementError(
                f"at most {_MOST_REPETITIONS} repetitions", f"demographics.{name}"
            )
    for name, value in _texts(demographics):
        if len(value) > _LONGEST_TEXT or "\0" in value:
            raise InvalidStatementError(
                f"at most {_LONGEST_TEXT} characters, none of them NUL", f"demographics.{name}"
            )


def is_identifier(value: str) -> bool:
    """Tell whether a stripped text can identify anybody."""
    return bool(value) and len(value) <= LONGEST_IDENTIFIER and value.isprintable()


def _require_identifiers(statement: PatientStatement) -> None:
    if not statement.identifiers:
        raise InvalidStatementError("a patient identifier is required", "identifiers")
    if len(statement.identifiers) > _MOST_IDENTIFIERS:
        raise InvalidStatementError(f"at most {_MOST_IDENTIFIERS} identifiers", "identifiers")
    if statement.identifiers[0].kind is IdentifierKind.MOTHER:
        raise InvalidStatementError(
            "the first identifier must be the patient's own", "identifiers[0]"
        )
    for place, one in enumerate(statement.identifiers):
        _require_identifier(one.identifier, f"identifiers[{place}].value")
    for place, mother in enumerate(statement.demographics.mothers_identifiers):
        _require_identifier(mother, f"demographics.mothers_identifiers[{place}].value")


def _require_identifier(identifier: PatientIdentifier, field: str) -> None:
    if not is_identifier(identifier.value.strip()):
        raise InvalidStatementError(
            f"an identifier has 1 to {LONGEST_IDENTIFIER} printable characters", field
        )


def _texts(demographics: Demographics) -> Iterable[tuple[str, str]]:
    yield from ((f"address.{name}", value) for name, value in vars(demographics.address).items())
    yield from ((f"phones[{n}]", value) for n, value in enumerate(demographics.phones))
    plain = ("birth_date_text", "sex", "language", "marital_status")
    yield from ((name, getattr(demographics, name)) for name in plain)
    yield "name", _whole(demographics.name)
    yield "mother_name", _whole(demographics.mother_name)
    yield from (
        (f"other_names[{n}]", _whole(one)) for n, one in enumerate(demographics.other_names)
    )


def _whole(name: PersonName | None) -> str:
    return name.dicom if name else ""
