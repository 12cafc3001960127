"""What the endpoint needs from access control, in words of its own: the two are strangers.

`hub_runtime` gives an implementation over tokens, `decide` and the audit trail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy.orm import Session

from hub_kernel.fhir.exchange import Caller
from hub_kernel.fhir.requests import Environ
from hub_kernel.identifiers import AssigningAuthority
from patient_index.domains import Domain
from patient_index.model import Person


@dataclass(frozen=True)
class AuditFact:
    """What one audit record says beside who and where from; nothing in it names a patient.

    `action` is a word of the audit trail, `global_id` the person concerned or empty. `asked` is the
    search as it came, its values not yet struck out: "Patient" and what followed the question mark.
    """

    action: str
    outcome: Literal["success", "refused", "failure"]
    global_id: str = ""
    detail: str = ""
    asked: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Found:
    """A person as access control sees one: `issuers` have given them a number of their own.

    Numbers that one source stated of another's are not among them: naming a number gives no right.
    """

    global_id: str
    issuers: frozenset[AssigningAuthority]


def found(person: Person) -> Found:
    """Return the person as access control sees one."""
    return Found(person.global_id, frozenset(one.issuer for one in person.identifiers))


class Access(Protocol):
    """Who may do what here; every method is safe to call from many threads."""

    def authenticate(self, environ: Environ) -> Caller | None:
        """Return who sends this request, None without valid credentials."""
        ...

    def may_search(self, caller: Caller) -> bool:
        """Tell whether the caller may look for people at all."""
        ...

    def may_find(self, caller: Caller, found: Found) -> bool:
        """Tell whether the caller may find this person."""
        ...

    def reach(self, caller: Caller) -> frozenset[AssigningAuthority] | None:
        """Return whose patients the caller can find at all; None is everybody's."""
        ...

    def sender(self, caller: Caller, domain: Domain) -> str | None:
        """Return the sender the caller is when it issues identifiers of `domain`, None if none."""
        ...

    def record(
        self,
        facts: Sequence[AuditFact],
        caller: Caller | None,
        address: str,
        session: Session | None = None,
    ) -> None:
        """Write the audit records, all or none: as part of `session`, else durable on return."""
        ...
