"""ITI-104, Patient Identity Feed FHIR: conditional update, and merge by link (PIXm 2:3.104)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from hub_kernel.fhir.exchange import Answer, Request, required_body
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, operation_outcome
from hub_kernel.fhir.search_values import split_token
from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import (
    ForeignDomainError,
    InvalidStatementError,
    UnknownDomainError,
    UnknownIdentifierError,
)
from patient_index.fhir.access import AuditFact, found
from patient_index.fhir.exchange import Context, told_of
from patient_index.fhir.patient_reading import PLACES, PatientReader, unknown_system
from patient_index.fhir.patient_writing import PatientWriter
from patient_index.fhir.systems import is_value
from patient_index.model import (
    Decided,
    FeedOutcome,
    Ignored,
    MergeOutcome,
    TypedIdentifier,
)

_ACTION = "feed_patient"
_WHERE = "http.identifier"
_LINK = "Patient.link"


@dataclass(frozen=True)
class _Fed:
    """A checked message: whose identifier it is, who sent it, what it says."""

    identifier: PatientIdentifier
    sender: str
    patient: Resource
    reader: PatientReader


def feed(request: Request, context: Context) -> Answer:
    """Create or revise the patient that the identifier names, or merge it into another.

    The same message again changes nothing and is answered alike, with 200 where the first was 201.

    Raises:
        FhirRefusedError: 400 for what cannot be understood, 403 for identifiers of a domain that
            is not the sender's, 404 for a merge of the unknown, 409 or 422 for one that the rules
            of merging forbid.
    """
    reader = PatientReader(context.systems, request.base)
    patient = reader.check(required_body(request))
    identifier = _identifier(request, context)
    fed = _Fed(identifier, _sender(identifier, request, context), patient, reader)
    replacing = [link for link in patient.get("link", ()) if link["type"] == "replaced-by"]
    try:
        if replacing:
            return _merged(fed, replacing, request, context)
        return _registered(fed, request, context)
    except InvalidStatementError as error:
        raise FhirRefusedError(
            422,
            Issue(
                "business-rule",
                "statement",
                str(error),
                "内容不符合登记规则",
                where=_place(error.field),
            ),
        ) from error
    except ForeignDomainError as error:
        raise _foreign(_WHERE) from error
    except UnknownDomainError as error:
        raise unknown_system("Patient.identifier", "") from error


def _identifier(request: Request, context: Context) -> PatientIdentifier:
    """Return the identifier that the address names (http.html#cond-update)."""
    given = [pair for pair in request.pairs if not pair[0].startswith("_")]
    if len(given) != 1 or given[0][0] != "identifier":
        raise FhirRefusedError(
            412 if len(given) > 1 else 400,
            Issue(
                "required",
                "one-identifier",
                "exactly one parameter identifier is needed",
                "条件更新需要且仅需要一个 identifier 参数",
                where="http",
                allowed="PUT Patient?identifier=urn:oid:1.2.3|value",
            ),
        )
    system, value = split_token(given[0][1])
    if not system or not is_value(value):
        raise FhirRefusedError(
            400,
            Issue(
                "value",
                "bad-value",
                "identifier is system|value, both given",
                "identifier 须为 system|value",
                where=_WHERE,
                allowed="urn:oid:1.2.3|value",
            ),
        )
    try:
        return context.systems.identifier(system, value, request.base)
    except UnknownDomainError as error:
        raise unknown_system(_WHERE, system) from error


def _sender(identifier: PatientIdentifier, request: Request, context: Context) -> str:
    """Return the name under which the caller issues in this domain; nobody else may."""
    domain = context.systems.domains.complete("", identifier.issuer.oid)
    sender = context.access.sender(request.caller, domain)
    if sender is None:
        raise _foreign(_WHERE)
    return sender


def _registered(fed: _Fed, request: Request, context: Context) -> Answer:
    if fed.patient.get("active") is False:
        raise FhirRefusedError(
            422,
            Issue(
                "not-supported",
                "inactive",
                "a patient is taken out of use by a merge alone",
                "仅可通过合并停用患者",
                where="Patient.active",
                allowed="true, or link.type = replaced-by",
            ),
        )
    identifiers = _own_first(fed)
    statement = fed.reader.statement(fed.patient, identifiers, fed.sender)

    def recorded(session: Session, outcome: FeedOutcome) -> None:
        word = _WORD_OF[_status(outcome)]
        _on_record(outcome.global_id, word, request, context, session)

    outcome = context.feed.register(statement, recorded=recorded)
    headers = (("Location", f"{request.base}/Patient/{outcome.global_id}"),)
    return Answer(_told(outcome, request, context), (), _status(outcome), headers)


def _status(outcome: FeedOutcome) -> int:
    return 201 if outcome.created else 200


def _on_record(
    global_id: str, word: str, request: Request, context: Context, session: Session
) -> None:
    """Put the change on record in its own transaction: neither is ever there without the other."""
    fact = AuditFact(_ACTION, "success", global_id, word)
    context.access.record([fact], request.caller, request.address, session)


def _own_first(fed: _Fed) -> tuple[TypedIdentifier, ...]:
    """Return the identifiers of the Patient, that of the address first, as it must be."""
    stated = fed.reader.identifiers(fed.patient, strict=True)
    own = [one for one in stated if one.identifier == fed.identifier]
    if not own:
        raise FhirRefusedError(
            400,
            Issue(
                "required",
                "other-identifier",
                "the Patient lacks the identifier of the address",
                "Patient 中缺少地址所给的标识",
                where="Patient.identifier",
            ),
        )
    return (own[0], *(one for one in stated if one.identifier != fed.identifier))


def _told(outcome: FeedOutcome, request: Request, context: Context) -> Resource | None:
    """Return what `Prefer` asks for; the Patient only to those who may find it."""
    if "return=minimal" in request.prefer:
        return None
    if "return=representation" in request.prefer:
        person = context.lookup.person(outcome.global_id)
        if person is not None and context.access.may_find(request.caller, found(person)):
            told = told_of(person, request, context)
            return PatientWriter(context.systems.own).patient(told)
    return operation_outcome([_said(outcome)])


def _said(outcome: FeedOutcome) -> Issue:
    if outcome.review_id is not None:
        return _information("in-review", "kept apart until a person has decided", "待人工核对")
    if outcome.linked_by is not None:
        return _information(
            "linked", f"linked to a known person by rule {outcome.linked_by}", "已关联到已有人员"
        )
    if outcome.created:
        return _information("registered", "registered", "已登记")
    return _information("revised", "the patient was known; what is said is up to date", "已更新")


def _merged(fed: _Fed, replacing: list[Resource], request: Request, context: Context) -> Answer:
    """Merge the patient of the address into the one that `link.other` names."""
    if len(replacing) > 1:
        raise _unmergeable(
            422,
            "several-survivors",
            "exactly one link replaced-by is allowed",
            "仅允许一个 replaced-by",
        )
    survivor = _of_domain(_survivor(replacing[0]["other"], request, context), fed, context)
    decided = Decided(by=f"feed:{fed.sender}", reason="ITI-104 replaced-by", rule="feed-merge")

    def recorded(session: Session, outcome: MergeOutcome) -> None:
        if _carried_out(outcome):
            _on_record(outcome.global_id, "ITI-104, merged", request, context, session)

    try:
        outcome = context.feed.merge(survivor, fed.identifier, decided, recorded=recorded)
    except UnknownIdentifierError as error:
        raise _unmergeable(
            404,
            "unknown-merge",
            "one of the two is not known here",
            "合并双方之一未登记",
            code="not-found",
        ) from error
    if outcome.ignored is not None and not _carried_out(outcome):
        status, en, zh = _REFUSED_MERGES[outcome.ignored]
        raise _unmergeable(status, outcome.ignored, en, zh)
    said = _information("merged", "merged", "已合并")
    minimal = "return=minimal" in request.prefer
    return Answer(None if minimal else operation_outcome([said]))


def _carried_out(outcome: MergeOutcome) -> bool:
    """Tell whether the two are one now: the same message again is no mistake."""
    if outcome.ignored is None:
        return True
    one = outcome.global_id == outcome.subsumed_global_id
    return outcome.ignored == Ignored.ALREADY_MERGED and one


def _survivor(other: Resource, request: Request, context: Context) -> PatientIdentifier:
    """Return the identifier a link names: by identifier, or as a logical id of this endpoint."""
    identifier = other.get("identifier", {})
    system, value = identifier.get("system", ""), identifier.get("value", "")
    reference = other.get("reference", "").removeprefix(f"{request.base}/")
    if not system and reference.startswith("Patient/"):
        system, value = request.base, reference
    if not system or not is_value(value):
        raise FhirRefusedError(
            400,
            Issue(
                "required",
                "no-survivor",
                "link.other names an identifier: system and value",
                "link.other 须给出存续患者的标识",
                where=f"{_LINK}.other.identifier",
            ),
        )
    try:
        return context.systems.identifier(system, value, request.base)
    except UnknownDomainError as error:
        raise unknown_system(f"{_LINK}.other.identifier.system", system) from error


def _of_domain(survivor: PatientIdentifier, fed: _Fed, context: Context) -> PatientIdentifier:
    """Return the number that the holder of a global ID has in the sender's own domain, if any."""
    person = context.lookup.person(survivor.value)
    if survivor.issuer.oid != context.systems.own.oid or person is None:
        return survivor
    domain = fed.identifier.issuer.oid
    used = [one for one in person.identifiers if one.issuer.oid == domain]
    others = [one for one in used if one not in (fed.identifier, *person.merged)]
    return next(iter(others), survivor)


def _place(field: str) -> str:
    """Return the FHIRPath of a field of the statement."""
    return next((place for name, place in PLACES if field.startswith(name)), "Patient")


def _foreign(where: str) -> FhirRefusedError:
    return FhirRefusedError(
        403,
        Issue(
            "forbidden",
            "foreign-domain",
            "this domain is not the sender's to assign in",
            "发送方无权在该标识域内登记",
            where=where,
        ),
    )


def _unmergeable(
    status: int, rule: str, en: str, zh: str, code: str = "business-rule"
) -> FhirRefusedError:
    return FhirRefusedError(status, Issue(code, rule, en, zh, where=_LINK))


def _information(rule: str, en: str, zh: str) -> Issue:
    return Issue("informational", rule, en, zh, severity="information")


_WORD_OF: Mapping[int, str] = {200: "ITI-104, revised", 201: "ITI-104, created"}
_REFUSED_MERGES: Mapping[str, tuple[Literal[409, 422], str, str]] = {
    Ignored.ITSELF: (422, "a patient cannot be merged into itself", "不能与自身合并"),
    Ignored.WRONG_AUTHORITY: (
        422,
        "both identifiers must be of one assigning authority",
        "合并双方须属同一标识域",
    ),
    Ignored.LOOP: (422, "the survivor was itself merged into this one", "合并形成循环"),
    Ignored.ALREADY_MERGED: (409, "it was merged into another patient before", "已被合并到他人"),
    Ignored.SURVIVOR_MERGED: (
        409,
        "the survivor was merged into another itself",
        "存续患者已被合并到他人",
    ),
}
