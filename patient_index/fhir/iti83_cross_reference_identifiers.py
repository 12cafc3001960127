"""ITI-83, Mobile Patient Identifier Cross-reference Query: `Patient/$ihe-pix` (PIXm 2:3.83)."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_kernel.fhir.exchange import Answer, Request, not_found, refused_answer
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from hub_kernel.fhir.search_values import split_token
from hub_kernel.fhir.validation import require_valid
from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import UnknownDomainError
from patient_index.fhir.access import AuditFact, Found
from patient_index.fhir.exchange import Context
from patient_index.fhir.systems import identifier_resource, is_value
from patient_index.queries import identifier, identifiers_by_person
from patient_index.resolving import references

_ACTION = "find_patient"
_SOURCE, _TARGET = "http.sourceIdentifier", "http.targetSystem"
_ALLOWED = "urn:oid: and the OID of an assigning authority of this region"
_MOST_TARGETS = 64


@dataclass(frozen=True)
class _Asked:
    """The source as (system, value), and the target systems."""

    source: tuple[str, str]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class _Holder:
    """Who has the source identifier, and all identifiers that may be told of them."""

    found: Found
    identifiers: tuple[PatientIdentifier, ...]


def cross_reference(request: Request, context: Context) -> Answer:
    """Answer the identifiers of whoever has the source identifier, that one left out.

    Somebody the caller may not find is answered like nobody.

    Raises:
        FhirRefusedError: 400 for a source that is missing, malformed or of an unknown domain; 403
            for an unknown target domain.
    """
    asked = _asked_in_body(request.body) if request.body else _asked_in_address(request)
    source = _source(asked, request, context)
    targets = frozenset(_target(system, request, context) for system in asked.targets)
    holder = _holder(source, context)
    if holder is None:
        return _nobody(AuditFact(_ACTION, "success", detail="ITI-83, no such identifier"))
    global_id = holder.found.global_id
    if not context.access.may_find(request.caller, holder.found):
        return _nobody(AuditFact(_ACTION, "refused", global_id, "ITI-83"))
    told = [
        one
        for one in holder.identifiers
        if _key(one) != _key(source) and (not targets or one.issuer.oid in targets)
    ]
    fact = AuditFact(_ACTION, "success", global_id, "ITI-83")
    return Answer(_parameters(global_id, told, whole=not targets), [fact])


def _asked_in_address(request: Request) -> _Asked:
    sources = request.values("sourceIdentifier")
    if len(sources) != 1:
        raise _bad_source(
            "required",
            "exactly one sourceIdentifier is needed",
            "需要且仅需要一个 sourceIdentifier",
        )
    system, value = split_token(sources[0])
    return _Asked((system or "", value), tuple(request.values("targetSystem")))


def _asked_in_body(body: Resource) -> _Asked:
    require_valid(body, "Parameters")
    parameters = body.get("parameter", [])
    sources = [one for one in parameters if one["name"] == "sourceIdentifier"]
    targets = [one for one in parameters if one["name"] == "targetSystem"]
    if len(sources) != 1:
        raise _bad_source(
            "required",
            "exactly one sourceIdentifier is needed",
            "需要且仅需要一个 sourceIdentifier",
        )
    given = sources[0].get("valueIdentifier", {})
    source = given.get("system", ""), given.get("value", "")
    if "valueString" in sources[0]:
        system, value = split_token(sources[0]["valueString"])
        source = system or "", value
    systems = (str(one.get("valueUri", one.get("valueString", ""))) for one in targets)
    return _Asked(source, tuple(systems))


def _source(asked: _Asked, request: Request, context: Context) -> PatientIdentifier:
    system, value = asked.source
    if not system or not is_value(value):
        raise _bad_source(
            "value",
            "sourceIdentifier is system|value, both given",
            "sourceIdentifier 须为 system|value",
        )
    try:
        return context.systems.identifier(system, value, request.base)
    except UnknownDomainError as error:
        raise FhirRefusedError(
            400,
            Issue(
                "code-invalid",
                "unknown-source-domain",
                "the domain of sourceIdentifier is not known here",
                "源标识域未登记",
                where=_SOURCE,
                came=shown(system),
                allowed=_ALLOWED,
                diagnostics="sourceIdentifier Assigning Authority not found",
            ),
        ) from error


def _target(system: str, request: Request, context: Context) -> str:
    """Return the OID of a target domain; an empty one is as unknown as any other."""
    if len(request.values("targetSystem")) > _MOST_TARGETS:
        raise FhirRefusedError(
            400,
            Issue(
                "too-costly",
                "too-many",
                "too many targetSystem",
                "targetSystem 过多",
                where=_TARGET,
                allowed=f"at most {_MOST_TARGETS}",
            ),
        )
    try:
        return context.systems.domain(system, request.base).oid
    except UnknownDomainError as error:
        raise FhirRefusedError(
            403,
            Issue(
                "code-invalid",
                "unknown-target-domain",
                "a targetSystem is not known here",
                "目标标识域未登记",
                where=_TARGET,
                came=shown(system),
                allowed=_ALLOWED,
                diagnostics="targetSystem not found",
            ),
        ) from error


def _holder(source: PatientIdentifier, context: Context) -> _Holder | None:
    """Return who has the identifier; one that its site has merged away is no longer known.

    At most six queries, in one snapshot.
    """
    own = context.systems.own
    with context.database.read() as session:
        known = references(session, source, own.oid)
        if known is None:
            return None
        issued = identifiers_by_person(session, [known.global_id]).get(known.global_id, [])
        numbers = [identifier(row) for row in issued]
    in_use = {_key(one) for one in known.identifiers}
    if _key(source) in {_key(one) for one in numbers} - in_use:
        return None
    told = (*known.identifiers, PatientIdentifier(known.global_id, own))
    return _Holder(Found(known.global_id, frozenset(one.issuer for one in numbers)), told)


def _key(one: PatientIdentifier) -> tuple[str, str]:
    return one.value, one.issuer.oid


def _parameters(global_id: str, told: Sequence[PatientIdentifier], *, whole: bool) -> Resource:
    parameters: list[Resource] = [
        {"name": "targetIdentifier", "valueIdentifier": identifier_resource(one, use="official")}
        for one in told
    ]
    if told or whole:
        reference = {"reference": f"Patient/{global_id}"}
        parameters.append({"name": "targetId", "valueReference": reference})
    answer: Resource = {"resourceType": "Parameters"}
    if parameters:
        answer["parameter"] = parameters
    return answer


def _nobody(fact: AuditFact) -> Answer:
    issue = not_found(_SOURCE, "sourceIdentifier Patient Identifier not found")
    return refused_answer(issue, 404, [fact])


def _bad_source(code: str, en: str, zh: str) -> FhirRefusedError:
    return FhirRefusedError(
        400,
        Issue(code, "bad-source", en, zh, where=_SOURCE, allowed="urn:oid:1.2.3|value"),
    )
