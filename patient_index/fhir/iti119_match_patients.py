"""ITI-119, Patient Demographics Match: `Patient/$match` (PDQm 2:3.119)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hub_kernel.fhir.bundles import Links, searchset
from hub_kernel.fhir.exchange import Answer, Request, required_body
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource
from hub_kernel.fhir.validation import require_valid
from patient_index.fhir.access import AuditFact, found
from patient_index.fhir.bundles import scored_entry
from patient_index.fhir.exchange import Context, told_of
from patient_index.fhir.patient_reading import PatientReader
from patient_index.fhir.patient_writing import PatientWriter
from patient_index.model import Grade, ScoredPerson

T = TypeVar("T")

_ACTION = "find_patient"
_DEFAULT_COUNT = 20
_LARGEST_COUNT = 100


@dataclass(frozen=True)
class _Asked:
    """The Patient to match, and how much of the answer is wanted."""

    patient: Resource
    only_certain: bool = False
    count: int = _DEFAULT_COUNT


def match(request: Request, context: Context) -> Answer:
    """Answer who may be meant, most likely first, each with its score and match grade.

    With `onlyCertainMatches` the answer is the one certain match, or nobody: two certain matches
    are not known to be one person (case 5).

    Raises:
        FhirRefusedError: 400, the input is malformed or says nothing that could be matched.
    """
    asked = _asked(required_body(request))
    reader = PatientReader(context.systems, request.base)
    patient = reader.check(asked.patient)
    identifiers = reader.identifiers(patient, strict=False)
    statement = reader.statement(patient, identifiers, source="")
    scored = context.lookup.match(statement, limit=_LARGEST_COUNT)
    access, caller = context.access, request.caller
    seen = [one for one in scored if access.may_find(caller, found(one.person))]
    told = _wanted(seen, asked)
    writer = PatientWriter(context.systems.own)
    entries = [
        scored_entry(
            request.base,
            writer.patient(told_of(one.person, request, context)),
            one.score,
            one.grade,
        )
        for one in told
    ]
    bundle = searchset(len(entries), Links(f"{request.base}/Patient/$match"), entries)
    return Answer(bundle, _facts(told))


def _asked(body: Resource) -> _Asked:
    """Return what a Parameters resource or a bare Patient asks for."""
    if body.get("resourceType") == "Patient":
        return _Asked(body)
    require_valid(body, "Parameters")
    parameters = body.get("parameter", [])
    names = [one["name"] for one in parameters]
    if not set(names) <= set(_PLACES) or len(set(names)) < len(names):
        raise FhirRefusedError(400, _BAD_PARAMETER)
    given = {one["name"]: one for one in parameters}
    patient = given.get("resource", {}).get("resource")
    if patient is None:
        raise FhirRefusedError(400, _NO_PATIENT)
    certain = _value(given, "onlyCertainMatches", bool)
    count = _value(given, "count", int)
    if count is not None and count < 1:
        raise FhirRefusedError(400, _BAD_COUNT)
    return _Asked(patient, bool(certain), min(count or _DEFAULT_COUNT, _LARGEST_COUNT))


def _value(given: dict[str, Resource], name: str, kind: type[T]) -> T | None:
    if name not in given:
        return None
    value = given[name].get(_PLACES[name])
    if not isinstance(value, kind):
        where = f"Parameters.parameter.where(name='{name}')"
        raise FhirRefusedError(400, replace(_BAD_TYPE, where=where, allowed=_PLACES[name]))
    return value


# Parameter → the property that holds its value.
_PLACES = {"resource": "resource", "onlyCertainMatches": "valueBoolean", "count": "valueInteger"}
_BAD_PARAMETER = Issue(
    "value", "bad-parameter", "unknown or given twice", "参数未知或重复",
    where="Parameters.parameter", allowed=", ".join(_PLACES),
)  # fmt: skip
_BAD_TYPE = Issue("value", "bad-parameter", "the parameter has another type", "参数类型不符")
_NO_PATIENT = Issue(
    "required", "no-patient", "a Patient is needed", "缺少 Patient",
    where="Parameters.parameter.where(name='resource')", allowed="a Patient",
)  # fmt: skip
_BAD_COUNT = Issue(
    "value", "bad-count", "a positive number is needed", "须为正整数",
    where="Parameters.parameter.where(name='count')", allowed="1 or more",
)  # fmt: skip


def _wanted(scored: Sequence[ScoredPerson], asked: _Asked) -> list[ScoredPerson]:
    likely = [one for one in scored if one.grade is not Grade.CERTAINLY_NOT]
    ordered = sorted(likely, key=lambda one: -one.score)
    if asked.only_certain:
        certain = [one for one in ordered if one.grade is Grade.CERTAIN]
        return certain if len(certain) == 1 else []
    return ordered[: asked.count]


def _facts(told: Sequence[ScoredPerson]) -> list[AuditFact]:
    if not told:
        return [AuditFact(_ACTION, "success", detail="ITI-119, nobody found")]
    return [
        AuditFact(_ACTION, "success", one.person.global_id, f"ITI-119, {one.grade}") for one in told
    ]
