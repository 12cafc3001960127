"""UIDs and patient identifiers as DICOM PS3.5 9.1 and HL7 v2 CX write them."""

import re
import uuid
from dataclasses import dataclass
from typing import Protocol

from hub_kernel.errors import InvalidUidError, InvalidValueError

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_UID_LENGTH = 64


def require_uid(text: str, what: str) -> str:
    """Return `text` when it is a UID: 1 to 64 characters, numbers joined by single dots.

    Leading zeros of a component are let through: they break PS3.5 9.1, but devices in the field
    send them and nothing in the hub depends on them.

    Raises:
        InvalidUidError: names `what` and the rule, without repeating the hostile text.
    """
    if len(text) <= _UID_LENGTH and _UID.fullmatch(text):
        return text
    raise InvalidUidError(f"{what} is not a UID: 1 to 64 characters, digits joined by single dots")


@dataclass(frozen=True)
class AssigningAuthority:
    """Who issued a patient identifier: a short namespace and its OID (HL7 v2 HD)."""

    namespace: str
    oid: str

    def __post_init__(self) -> None:
        """Refuse an OID that no other system could read.

        Raises:
            InvalidValueError: the OID is not dotted numbers, or the namespace could break a CX.
        """
        if len(self.oid) > _UID_LENGTH or not _OID.fullmatch(self.oid):
            raise InvalidValueError("assigning authority: the OID must be dotted numbers, as 1.2.3")
        if not self.namespace or set(self.namespace) & set("^&|~\\\r\n"):
            raise InvalidValueError("assigning authority: the namespace must not hold ^ & | ~ \\")


@dataclass(frozen=True)
class PatientIdentifier:
    """One identifier of one person: a value and who issued it. Only both together mean anything."""

    value: str
    issuer: AssigningAuthority

    @property
    def cx(self) -> str:
        """The identifier as XDS writes it: `value^^^&oid&ISO` (ITI TF-3 4.2.3.1.7)."""
        return f"{self.value}^^^&{self.issuer.oid}&ISO"


def parse_cx(text: str) -> tuple[str, str]:
    """Return (value, OID) of an XDS patient identifier `value^^^&oid&ISO`.

    Raises:
        InvalidValueError: the text has another shape.
    """
    found = re.fullmatch(r"([^\^]+)\^\^\^[^&\^]*&([0-9.]+)&ISO", text.strip())
    if not found:
        raise InvalidValueError("patient identifier must be written as value^^^&OID&ISO")
    return found.group(1), found.group(2)


class UidFactory(Protocol):
    """Makes DICOM UIDs; tests pass one that counts."""

    def new_uid(self) -> str:
        """Return a UID never returned before."""
        ...


class SystemUidFactory:
    """UIDs under 2.25, derived from random UUIDs (PS3.5 B.2)."""

    def new_uid(self) -> str:
        """Return a UID never returned before."""
        return f"2.25.{uuid.uuid4().int}"


def new_urn_uuid() -> str:
    """Return a random UUID as the URN that ebXML registries use for `entryUUID`."""
    return f"urn:uuid:{uuid.uuid4()}"
