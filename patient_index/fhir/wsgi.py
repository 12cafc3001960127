"""The patient index as one service of the FHIR endpoint: its routes, its offer, its audit records.

What is refused is audited too, and the records of a change are part of the change.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import urlencode

from hub_kernel.fhir import server
from hub_kernel.fhir.exchange import Answer, Caller, Offer, Refused, Request, Route, Service
from hub_kernel.fhir.outcome import FhirRefusedError, Issue
from hub_kernel.fhir.requests import Environ
from hub_kernel.fhir.server import Endpoint
from patient_index.fhir.access import Access, AuditFact
from patient_index.fhir.capability import OFFER
from patient_index.fhir.exchange import Context
from patient_index.fhir.iti78_query_patients import retrieve, search
from patient_index.fhir.iti83_cross_reference_identifiers import cross_reference
from patient_index.fhir.iti104_feed_patients import feed
from patient_index.fhir.iti119_match_patients import match

__all__ = ["ROUTES", "Endpoint", "FhirApplication", "PatientDoor", "PatientService"]

_PIX = re.compile(r"Patient/\$ihe-pix")
_MATCH = re.compile(r"Patient/\$match")
_SEARCH = re.compile(r"Patient/_search")
_ALL = re.compile(r"Patient")
_ONE = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})")
_REFUSED_ACTION = "fhir_request"
# The Remove Patient Option of ITI-104: what sites have said, and what was linked, stays on record.
_NO_REMOVAL = Issue(
    "not-supported",
    "no-removal",
    "nothing is ever removed: merge a duplicate (PUT with link replaced-by), have the registrar "
    "take back a wrong link",
    "平台不删除任何登记: 重复患者请以 replaced-by 合并, 错误关联请由登记员撤回",
    where="http.method",
)

Run = Callable[[Request, Context], Answer]


@dataclass(frozen=True)
class Row:
    """One row of the route table. `body` says what a request carries: a resource, a form."""

    method: str
    path: re.Pattern[str]
    run: Run
    body: str = ""
    searches: bool = True


ROUTES: tuple[Row, ...] = (
    Row("GET", _PIX, cross_reference),
    Row("POST", _PIX, cross_reference, body="resource"),
    Row("POST", _MATCH, match, body="resource"),
    Row("GET", _ALL, search),
    Row("POST", _SEARCH, search, body="form"),
    Row("PUT", _ALL, feed, body="resource", searches=False),
    Row("GET", _ONE, retrieve),
)


class PatientService:
    """The part of the FHIR endpoint that the patient index answers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def routes(self) -> Sequence[Route]:
        """Who answers what."""
        return [
            *map(self._route, ROUTES),
            Route("DELETE", _ALL, lambda _: _refuse_removal("GET, PUT"), offered=False),
            Route("DELETE", _ONE, lambda _: _refuse_removal("GET"), offered=False),
        ]

    @property
    def offer(self) -> Offer:
        """What the CapabilityStatement says of it."""
        return OFFER

    def record(self, facts: Sequence[AuditFact], caller: Caller, address: str) -> None:
        """Write the audit records of an answer, all or none; on return they are durable."""
        self._context.access.record(facts, caller, address)

    def _route(self, row: Row) -> Route:
        def run(request: Request) -> Answer:
            answer = row.run(request, self._context)
            if not row.searches:
                return answer
            asked = row.path.pattern.replace("\\", ""), urlencode(request.pairs)
            facts = [replace(fact, asked=asked) for fact in answer.facts]
            return replace(answer, facts=facts)

        if not row.searches:
            return Route(row.method, row.path, run, body=row.body)
        may_search = self._context.access.may_search
        return Route(row.method, row.path, run, body=row.body, allows=may_search)


class PatientDoor:
    """Who comes in, as access control has it."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def authenticate(self, environ: Environ) -> Caller | None:
        """Return who sends this request, None without valid credentials."""
        return self._access.authenticate(environ)

    def record_refusal(self, refused: Refused, caller: Caller | None, address: str) -> None:
        """Write the audit record of a request that was not answered; it is durable on return."""
        fact = AuditFact(_REFUSED_ACTION, refused.outcome, detail=refused.why)
        self._access.record([fact], caller, address)


class FhirApplication(server.FhirApplication):
    """The endpoint of the patient index, with further services beside it."""

    def __init__(self, context: Context, endpoint: Endpoint, *services: Service) -> None:
        door = PatientDoor(context.access)
        super().__init__(door, [PatientService(context), *services], endpoint, context.clock)


def _refuse_removal(allowed: str) -> NoReturn:
    issue = replace(_NO_REMOVAL, allowed=allowed)
    raise FhirRefusedError(405, issue, headers=(("Allow", allowed),))
