"""Documents and imaging studies as one service of the FHIR endpoint: its routes and its offer.

MHD 4.2 Document Recipient and Document Responder, with the Comprehensive, UnContained Reference,
XDS on FHIR and Simplified Publish Options (MHD 1:33.1, 1:33.2).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from access_control.audit import AuditEvent, AuditTrail
from access_control.model import Action, Purpose, Resource, Subject
from access_control.policy import decide
from hub_kernel.fhir.exchange import Answer, Offer, Request, Route
from hub_kernel.fhir.outcome import Resource as FhirResource
from hub_kernel.fhir.requests import Limits
from xds_registry.mado import imaging_studies
from xds_registry.mado.studies import IMAGING_STUDY, StudyWriter
from xds_registry.mhd import iti65_provide_document_bundle as iti65
from xds_registry.mhd import iti66_find_document_lists as iti66
from xds_registry.mhd import iti67_find_document_references as iti67
from xds_registry.mhd import iti68_retrieve_document as iti68
from xds_registry.mhd import iti105_simplified_publish as iti105
from xds_registry.mhd.context import Context, Fact
from xds_registry.mhd.document_references import COMPREHENSIVE, MINIMAL, PROFILES
from xds_registry.mhd.questions import Parameter

_CORE = "http://hl7.org/fhir/SearchParameter"
_CAPABILITIES = "https://profiles.ihe.net/ITI/MHD/CapabilityStatement"
_ID = r"([A-Za-z0-9\-.]{1,64})"
_LONGEST_ID = 128
_PATIENTS: Mapping[str, tuple[str, str]] = {
    "patient": ("reference", "global ID of the patient"),
    "patient.identifier": ("token", "any identifier of the patient"),
}

Run = Callable[[Request, Context], Answer]


@dataclass(frozen=True)
class FhirLimits:
    """Bounds of what is submitted: a whole request, and in XML one tag with the document in it."""

    request_bytes: int = 32 * 1024 * 1024


class DocumentService:
    """The part of the FHIR endpoint that the registry answers."""

    def __init__(
        self, context: Context, audit: AuditTrail, limits: FhirLimits = FhirLimits()
    ) -> None:
        self._context = context
        self._audit = audit
        self._limits = Limits(limits.request_bytes, limits.request_bytes)

    @property
    def routes(self) -> Sequence[Route]:
        """Who answers what."""
        submits, retrieves = self._may(Action.SUBMIT_DOCUMENTS), self._may(Action.RETRIEVE_DOCUMENT)
        return [
            self._writes("", iti65.provide, submits),
            self._writes("DocumentReference", iti105.publish, submits),
            *self._searches("DocumentReference", iti67.search, iti67.read),
            *self._searches("List", iti66.search, iti66.read),
            *self._searches("ImagingStudy", imaging_studies.search, imaging_studies.read),
            Route(
                "GET",
                re.compile(f"Binary/{_ID}"),
                self._bound(iti68.retrieve),
                allows=retrieves,
                own_format=True,
            ),
        ]

    @property
    def offer(self) -> Offer:
        """What the CapabilityStatement says of it."""
        return Offer(
            "文档登记与存储 / document registry and repository",
            instantiates=(
                f"{_CAPABILITIES}/IHE.MHD.DocumentRecipient.Comprehensive",
                f"{_CAPABILITIES}/IHE.MHD.DocumentRecipient.UnContained",
                f"{_CAPABILITIES}/IHE.MHD.DocumentRecipient.Simplified",
                f"{_CAPABILITIES}/IHE.MHD.DocumentResponder",
                "https://profiles.ihe.net/RAD/MADO/CapabilityStatement/IHE.RAD.MADO.DocumentResponder",
            ),
            guides=(
                "https://profiles.ihe.net/ITI/MHD/ImplementationGuide/ihe.iti.mhd",
                "https://profiles.ihe.net/RAD/MADO/ImplementationGuide/ihe.rad.mado",
            ),
            documentation="Document Recipient and Document Responder over the XDS registry;"
            " imaging studies of the archive.",
            resources=tuple(self._resources()),
            interactions=({"code": "transaction", "documentation": "ITI-65"},),
        )

    def record(self, facts: Sequence[Fact], caller: Subject, address: str) -> None:
        """Write the audit records of an answer, all or none; on return they are durable."""
        if not facts:
            return
        with self._context.database.unit_of_work() as work:
            for fact in facts:
                event = AuditEvent(
                    action=fact.action,
                    outcome=fact.outcome,
                    subject=caller,
                    resource_kind=fact.resource_kind,
                    resource_id=fact.resource_id[:_LONGEST_ID],
                    address=address,
                    detail=fact.detail,
                    transaction=fact.transaction,
                    query=fact.query,
                    objects=fact.objects,
                )
                self._audit.record(work.session, event)

    def _searches(self, kind: str, search: Run, read: Run) -> list[Route]:
        queries = self._may(Action.QUERY_REGISTRY)
        bound = self._bound(search)
        return [
            Route("GET", re.compile(kind), bound, allows=queries),
            Route("POST", re.compile(f"{kind}/_search"), bound, body="form", allows=queries),
            Route("GET", re.compile(f"{kind}/{_ID}"), self._bound(read), allows=queries),
        ]

    def _writes(self, path: str, run: Run, allows: Callable[[Subject], bool]) -> Route:
        return Route(
            "POST",
            re.compile(path),
            self._bound(run),
            body="resource",
            allows=allows,
            limits=self._limits,
        )

    def _bound(self, run: Run) -> Callable[[Request], Answer]:
        return lambda request: run(request, self._context)

    def _may(self, action: Action) -> Callable[[Subject], bool]:
        """Ask whether the caller may do such things at all; of whom is decided per person."""

        def may(caller: Subject) -> bool:
            sites = caller.sites or frozenset()
            anybody = Resource("patient", site_ids=sites)
            return decide(caller, action, anybody, Purpose.TREATMENT).allowed

        return may

    def _resources(self) -> list[FhirResource]:
        context = self._context
        documents = iti67.parameters(context.modality_scheme)
        submitted = Parameter(
            "date", "when it was submitted", f"{_CORE}/DocumentReference-date", _no
        )
        lists = (f"{PROFILES}/IHE.MHD.Comprehensive.SubmissionSet",
                 f"{PROFILES}/IHE.MHD.Comprehensive.Folder")  # fmt: skip
        studies = imaging_studies.parameters(StudyWriter(context.domain))
        return [
            _resource("DocumentReference", (COMPREHENSIVE, MINIMAL), _CREATED,
                      {**documents, "date": submitted}),
            _resource("List", lists, _FOUND["List"], iti66.PARAMETERS),
            _resource("ImagingStudy", (IMAGING_STUDY,), _FOUND["ImagingStudy"], studies),
            _resource("Binary", (), {"read": "ITI-68; ranges, Accept"}, {}),
        ]  # fmt: skip


_CREATED = {
    "create": "ITI-105",
    "read": "ITI-67",
    "search-type": "ITI-67; GET and POST _search; pages of at most 100",
}
_FOUND: Mapping[str, Mapping[str, str]] = {
    "List": {"read": "ITI-66", "search-type": "ITI-66; GET and POST _search"},
    "ImagingStudy": {"read": "with instances", "search-type": "without instances"},
}


def _resource(
    kind: str,
    profiles: Sequence[str],
    interactions: Mapping[str, str],
    parameters: Mapping[str, Parameter[Any]],
) -> FhirResource:
    patients = [
        {"name": name, "type": type_name, "documentation": documentation}
        for name, (type_name, documentation) in _PATIENTS.items()
        if parameters
    ]
    said: FhirResource = {
        "type": kind,
        "supportedProfile": list(profiles),
        "interaction": [
            {"code": code, "documentation": text} for code, text in interactions.items()
        ],
        "versioning": "no-version",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [*patients, *(_parameter(name, one) for name, one in parameters.items())],
    }
    return {name: value for name, value in said.items() if value != []}


def _parameter(name: str, parameter: Parameter[Any]) -> FhirResource:
    modifiers = "".join(f"; :{modifier}" for modifier in sorted(parameter.modifiers))
    return {
        "name": name,
        "definition": parameter.definition,
        "type": parameter.type,
        "documentation": parameter.documentation + modifiers,
    }


def _no(_term: object, _now: object) -> Callable[[object], bool]:
    return lambda _item: False
