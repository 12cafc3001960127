"""Search and read ImagingStudies: the archive's studies as FHIR has them (imagingstudy.html).

A study is seen by whoever may see its patient's documents. What a search answers ends at the
series; a read lists the instances.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import urlencode

from access_control.atna_query import fhir_search
from access_control.model import Action
from hub_kernel.errors import InvalidValueError
from hub_kernel.fhir.exchange import Answer, Request, not_found, refused_answer
from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.search_values import Term, split_token
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier, parse_cx
from image_archive.errors import InvalidQueryError
from image_archive.model import StudyRecord
from image_archive.query import IndexQuery, Level
from image_archive.rejections import without_rejected
from xds_registry.mado.studies import (
    StudyContents,
    StudyLinks,
    StudyWriter,
    study_contents,
    wado_endpoint,
)
from xds_registry.manifest_metadata import service_start_time
from xds_registry.mhd.codes import ACCESSION_TYPE, OID_PREFIX, is_oid
from xds_registry.mhd.context import Context, View, person_facts
from xds_registry.mhd.matching import By, wanted_identifiers
from xds_registry.mhd.patients import subject_of
from xds_registry.mhd.questions import (
    Asking,
    Key,
    Parameter,
    Question,
    Told,
    answer_bundle,
    bookmark_of,
    page_of,
    read_question,
    refuse_ignored,
    too_wide,
)
from xds_registry.model import Code, ReferenceId

_TARGET = "ImagingStudy"
_CORE = "http://hl7.org/fhir/SearchParameter"
# No IHE transaction asks for ImagingStudies.
_TRANSACTION = ""
_NARROWING = "patient | patient.identifier | identifier | _id | series | instance"
_MOST_FOUND = 1_000
_BY: By[StudyRecord] = By()

Studies = Mapping[str, Parameter[StudyRecord]]


def parameters(writer: StudyWriter) -> Studies:
    """Return the search parameters, one row each."""
    return {**_IDENTIFYING, **_described(writer)}


def _references(study: StudyRecord) -> list[ReferenceId]:
    found = [ReferenceId.study(study.study_instance_uid)]
    if study.accession_number.strip():
        issuer = study.patient.issuer.oid
        found.append(ReferenceId.accession(study.accession_number.strip(), issuer))
    return found


_ACCESSION = Parameter(
    "token", "Accession Number", f"{_CORE}/ImagingStudy-basedon",
    _BY.references(_references, ACCESSION_TYPE), frozenset({"identifier"}),
)  # fmt: skip
_IDENTIFYING: Studies = {
    "_id": Parameter(
        "token", "Study Instance UID", f"{_CORE}/Resource-id",
        _BY.words(lambda study: (study.study_instance_uid,)),
    ),
    "identifier": Parameter(
        "token", "Study Instance UID, Accession Number", f"{_CORE}/clinical-identifier",
        _BY.references(_references),
    ),
    "basedon": _ACCESSION,
    "accession-number": _ACCESSION,
    "status": Parameter(
        "token", "available", f"{_CORE}/ImagingStudy-status",
        _BY.words(lambda _study: ("available",)),
    ),
    # Looked up in the archive's index: what is found has it.
    "series": Parameter(
        "token", "a series", f"{_CORE}/ImagingStudy-series", lambda _term, _now: lambda _study: True
    ),
    "instance": Parameter(
        "token", "an instance", f"{_CORE}/ImagingStudy-instance",
        lambda _term, _now: lambda _study: True,
    ),
}  # fmt: skip


def _described(writer: StudyWriter) -> Studies:
    domain = writer.domain

    def modalities(study: StudyRecord) -> list[Code]:
        return [domain.modality(one) for one in study.modalities]

    def regions(study: StudyRecord) -> Iterator[Code]:
        found = map(domain.body_part, study.body_parts)
        return (region for region in found if region is not None)

    return {
        "modality": Parameter(
            "token", "modality", f"{_CORE}/ImagingStudy-modality", _BY.codes(modalities)
        ),
        "bodysite": Parameter(
            "token", "anatomic region", f"{_CORE}/ImagingStudy-bodysite", _BY.codes(regions)
        ),
        "started": Parameter(
            "date", "Study Date and Time", f"{_CORE}/ImagingStudy-started",
            _BY.dates(lambda study: service_start_time(study, domain)),
        ),
    }  # fmt: skip


def search(request: Request, context: Context) -> Answer:
    """Answer a page of the studies that the parameters mean and the caller may see.

    Raises:
        FhirRefusedError: 400 for what cannot be understood or names nobody and nothing.
    """
    bookmark = bookmark_of(request)
    view = context.view(request.caller, Action.QUERY_REGISTRY)
    writer = StudyWriter(context.domain)
    known = parameters(writer)
    asking = Asking(view.people, request.base, context.clock.now())
    question = read_question(bookmark.pairs, known, asking)
    refuse_ignored(question, request, known)
    studies = [one for one in _candidates(question, context, view) if _sees(view, one)]
    page = page_of([one for one in studies if question.holds(one)], bookmark, _key)
    found = [_written(one, context, view, instances=False) for one in page.items]
    query = fhir_search(_TARGET, urlencode(question.used))
    facts = list(person_facts(view.gate, _TRANSACTION, query))
    told = Told(_TARGET, request.base, known)
    return Answer(answer_bundle(question, bookmark, page, told, found), facts)


def read(request: Request, context: Context) -> Answer:
    """Answer one study; one the caller may not see is answered like none: 404."""
    view = context.view(request.caller, Action.QUERY_REGISTRY)
    study = context.index.study(request.identity)
    seen = study is not None and _sees(view, study)
    facts = list(person_facts(view.gate, _TRANSACTION, f"{_TARGET}/{request.identity}"))
    if study is None or not seen:
        return refused_answer(not_found(f"{_TARGET}.id"), 404, facts)
    return Answer(_written(study, context, view, instances=True), facts)


def _written(study: StudyRecord, context: Context, view: View, *, instances: bool) -> Resource:
    # What was taken back is known from key objects: where there are none the rows need no look.
    looked_at = instances or "KO" in study.modalities
    contents = study_contents(study, context.index, instances=looked_at)
    if looked_at:
        listed = [one for _, some in contents.series for one in some]
        kept = without_rejected(context.backend, listed)
        contents = contents.only({one.sop_instance_uid for one in kept})
    person = view.people.person_of(study.patient.cx)
    patient_id = context.links.global_identifier(person).cx if person else study.patient.cx
    links = StudyLinks(
        subject_of(view.people, study.patient.cx, patient_id),
        {"reference": "#wado", "type": "Endpoint"},
    )
    said = StudyWriter(context.domain).imaging_study(contents, links, instances=instances)
    if not looked_at:
        _count(said, contents)
    return {**said, "contained": [{"id": "wado", **_endpoint(context)}]}


def _endpoint(context: Context) -> Resource:
    address = context.dicomweb_url().rstrip("/")
    return wado_endpoint(address, context.repository.repository_unique_id)


def _count(said: Resource, contents: StudyContents) -> None:
    """Counts come from the rows where the instances were not read."""
    said["numberOfInstances"] = contents.study.instance_count
    for written, (series, _) in zip(said.get("series", ()), contents.series, strict=True):
        written["numberOfInstances"] = series.instance_count


def _candidates(
    question: Question[StudyRecord], context: Context, view: View
) -> Sequence[StudyRecord]:
    if question.persons is not None:
        allowed = (one for one in question.persons if view.gate.sees_person(one))
        numbers = {cx for one in allowed for cx in view.people.linked_to(one)}
        return context.index.studies_of({one for cx in numbers for one in _identifiers(cx)})
    for name, keys in _LOOKUPS.items():
        if name in question.terms:
            return _looked_up(context, keys(question.terms[name][0]))
    raise too_wide(_NARROWING)


def _identifiers(cx: str) -> Iterator[PatientIdentifier]:
    try:
        value, oid = parse_cx(cx)
        yield PatientIdentifier(value, AssigningAuthority(oid, oid))
    except InvalidValueError:
        return


def _looked_up(context: Context, keys: Sequence[tuple[str, str]]) -> list[StudyRecord]:
    found: dict[str, StudyRecord] = {}
    for keyword, value in keys:
        query = IndexQuery(Level.STUDY, {keyword: value}, limit=_MOST_FOUND)
        try:
            matches = context.index.find(query).matches
        except InvalidQueryError:
            continue  # it is no value that anything could have
        found.update((one.study.study_instance_uid, one.study) for one in matches if one.study)
    return list(found.values())


def _by_uid(keyword: str) -> Callable[[Term], list[tuple[str, str]]]:
    def keys(term: Term) -> list[tuple[str, str]]:
        values = (split_token(value)[1].removeprefix(OID_PREFIX) for value in term.values)
        return [(keyword, value) for value in values if is_oid(value)]

    return keys


def _by_number(term: Term) -> list[tuple[str, str]]:
    """An identifier is a Study Instance UID or an accession number; nothing in it is a wildcard."""
    values = [value.removeprefix(OID_PREFIX) for _, value in wanted_identifiers(term.values)]
    uids = [("StudyInstanceUID", value) for value in values if is_oid(value)]
    plain = [value for value in values if value and not set(value) & set("*?\\")]
    return [*uids, *(("AccessionNumber", value) for value in plain)]


_LOOKUPS: Mapping[str, Callable[[Term], list[tuple[str, str]]]] = {
    "_id": _by_uid("StudyInstanceUID"),
    "identifier": _by_number,
    "basedon": _by_number,
    "accession-number": _by_number,
    "series": _by_uid("SeriesInstanceUID"),
    "instance": _by_uid("SOPInstanceUID"),
}


def _sees(view: View, study: StudyRecord) -> bool:
    person = view.people.person_of(study.patient.cx)
    return person is not None and view.gate.sees_person(person)


def _key(study: StudyRecord) -> Key:
    day = study.study_date.isoformat() if study.study_date else ""
    return f"{day}T{study.study_time}", study.study_instance_uid
