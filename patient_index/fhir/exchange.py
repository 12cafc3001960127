"""One request as the transactions see it, what they answer, and what they work with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from patient_index.feed import PatientFeed
from patient_index.fhir.access import Access, AuditFact, Caller
from patient_index.fhir.formats import Format
from patient_index.fhir.outcome import FhirRefusedError, Issue, Resource, operation_outcome
from patient_index.fhir.systems import Systems
from patient_index.lookup import PatientLookup


@dataclass(frozen=True)
class Context:
    """What every transaction needs; safe to share between threads."""

    feed: PatientFeed
    lookup: PatientLookup
    database: Database
    systems: Systems
    access: Access
    clock: Clock


@dataclass(frozen=True)
class Request:
    """One authenticated request; `body` is the resource that was sent, if one was.

    `pairs` are the parameters of the address or of the form, in their order. `base` is the address
    of this endpoint without a slash at its end.
    """

    caller: Caller
    base: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    body: Resource | None = None
    identity: str = ""
    prefer: frozenset[str] = frozenset()

    def values(self, name: str) -> list[str]:
        """Return every value of a parameter, in their order."""
        return [value for key, value in self.pairs if key == name]


@dataclass(frozen=True)
class Answer:
    """What is answered, and what the audit trail says about it; without a resource, no body."""

    resource: Resource | None
    facts: Sequence[AuditFact] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class Reply:
    """An answer in the format it goes out in."""

    answer: Answer
    format: Format


def not_found(where: str, diagnostics: str = "") -> Issue:
    """Return the issue for what does not exist, or may not be known to exist: they are alike."""
    return Issue(
        "not-found",
        "not-found",
        "nothing of this kind is known here",
        "未找到",
        where=where,
        diagnostics=diagnostics,
    )


def refused_answer(issue: Issue, status: int, facts: Sequence[AuditFact]) -> Answer:
    """Return a refusal that has audit facts of its own."""
    return Answer(operation_outcome([issue]), facts, status)


def required_body(request: Request) -> Resource:
    """Return the resource that was sent.

    Raises:
        FhirRefusedError: 400, there is none.
    """
    if request.body is None:
        raise FhirRefusedError(
            400,
            Issue(
                "required",
                "no-body",
                "a resource is needed in the body",
                "请求体缺少资源",
                where="http.body",
            ),
        )
    return request.body
