"""One request as those who answer see it, what they answer, and who answers what."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, operation_outcome
from hub_kernel.fhir.requests import Environ, Limits


class Caller(Protocol):
    """Somebody who has shown who they are."""

    @property
    def subject_id(self) -> str:
        """What audit records and decisions call them."""
        ...


@dataclass(frozen=True)
class Request:
    """One authenticated request; `body` is the resource that was sent, if one was.

    `pairs` are the parameters of the address or of the form, in their order. `base` is the address
    of the endpoint without a slash at its end, `address` the caller's. `accept` and `range` are the
    headers as they came.
    """

    caller: Any
    base: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    body: Resource | None = None
    identity: str = ""
    prefer: frozenset[str] = frozenset()
    address: str = ""
    accept: str = ""
    range: str = ""

    def values(self, name: str) -> list[str]:
        """Return every value of a parameter, in their order."""
        return [value for key, value in self.pairs if key == name]


@dataclass(frozen=True)
class Stream:
    """A body that is no resource, sent while it is read; `length` is in bytes."""

    media_type: str
    length: int
    chunks: Iterable[bytes]


@dataclass(frozen=True)
class Answer:
    """What is answered, and what the audit trail says about it; without a resource, no body.

    `facts` are in the words of the service that answers, and leave out what is on record already,
    in the transaction of a change.
    """

    resource: Resource | None
    facts: Sequence[Any] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=())
    stream: Stream | None = None


@dataclass(frozen=True)
class Route:
    """One row of the route table. `body` says what a request carries: a resource, a form.

    `allows` is asked before anything of the request is read. `own_format` leaves `Accept` to `run`.
    What is not `offered` is a row only to be refused in words of its own.
    """

    method: str
    path: re.Pattern[str]
    run: Callable[[Request], Answer]
    body: str = ""
    allows: Callable[[Any], bool] = lambda _caller: True
    limits: Limits | None = None
    own_format: bool = False
    offered: bool = True


@dataclass(frozen=True)
class Offer:
    """What a service adds to the CapabilityStatement: see capabilitystatement.html."""

    description: str
    instantiates: tuple[str, ...] = ()
    guides: tuple[str, ...] = ()
    documentation: str = ""
    resources: tuple[Resource, ...] = ()
    interactions: tuple[Resource, ...] = ()


class Service(Protocol):
    """One part of the endpoint: the resources of one package."""

    @property
    def routes(self) -> Sequence[Route]:
        """Who answers what."""
        ...

    @property
    def offer(self) -> Offer:
        """What the CapabilityStatement says of it."""
        ...

    def record(self, facts: Sequence[Any], caller: Any, address: str) -> None:
        """Write the audit records of an answer, all or none; on return they are durable."""
        ...


@dataclass(frozen=True)
class Refused:
    """Why a request was not answered: for who sent it (`refused`) or for what it was (`failure`).

    `why` is the HTTP status and the rules that were broken; nothing in it names a patient.
    """

    outcome: Literal["refused", "failure"]
    why: str


class Door(Protocol):
    """Who comes in, whatever they want; every method is safe to call from many threads."""

    def authenticate(self, environ: Environ) -> Any | None:
        """Return who sends this request, None without valid credentials."""
        ...

    def record_refusal(self, refused: "Refused", caller: Any | None, address: str) -> None:
        """Write the audit record of a request that was not answered; it is durable on return."""
        ...


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


def refused_answer(issue: Issue, status: int, facts: Sequence[Any]) -> Answer:
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
