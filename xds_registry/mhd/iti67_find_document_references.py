"""ITI-67, Find Document References: search and read DocumentReferences (MHD 2:3.67).

Beside the parameters of MHD 4.2 those of MADO: study, accession, modality, region.
"""

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlencode

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from access_control.atna_query import fhir_search
from access_control.model import Action
from hub_kernel.fhir.exchange import Answer, Request, not_found, refused_answer
from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.search_values import Term
from xds_registry import store
from xds_registry.mhd.codes import ACCESSION_TYPE, OID_PREFIX, STUDY_TYPE, unique_id_of
from xds_registry.mhd.context import Context, View, person_facts
from xds_registry.mhd.document_references import (
    MADO_FORMAT,
    STATUS,
    DocumentReferenceWriter,
    EntryFacts,
    ModalityScheme,
    entry_uuid_of,
    resource_id,
)
from xds_registry.mhd.matching import By, wanted_identifiers
from xds_registry.mhd.questions import (
    STRING_MODIFIERS,
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
from xds_registry.model import (
    RELATIONS,
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    XdsAssociation,
)
from xds_registry.store_reading import (
    End,
    Wanted,
    associations_at,
    documents_by_uuid,
    latest_documents,
    submission_sets_by_uuid,
)
from xds_registry.tables import DocumentReferenceRow

TRANSACTION = "ITI-67"
_TARGET = "DocumentReference"
_CORE = "http://hl7.org/fhir/SearchParameter"
_MHD = "https://profiles.ihe.net/ITI/MHD/SearchParameter"
_MADO = "https://profiles.ihe.net/RAD/MADO/SearchParameter"
_NARROWING = "patient | patient.identifier | identifier | _id | related | study-instance-uid"
_APPROVED = frozenset({AvailabilityStatus.APPROVED})
_MOST_FOUND = 10_000
_BY: By[DocumentEntry] = By()

Entries = Mapping[str, Parameter[DocumentEntry]]


def parameters(scheme: ModalityScheme) -> Entries:
    """Return the search parameters, one row each."""
    return {**_IDENTIFYING, **_CODED, **_TIMED, **_NAMED, **_imaging(scheme)}


_IDENTIFYING: Entries = {
    "_id": Parameter(
        "token", "logical id", "http://hl7.org/fhir/SearchParameter/Resource-id",
        _BY.words(lambda entry: (resource_id(entry.entry_uuid),)),
    ),
    "identifier": Parameter(
        "token", "entryUUID or uniqueId", f"{_CORE}/clinical-identifier",
        _BY.identifiers(lambda entry: entry.entry_uuid, lambda entry: entry.unique_id),
    ),
    "related": Parameter(
        "reference", "referenceIdList; :identifier", f"{_CORE}/DocumentReference-related",
        _BY.references(lambda entry: entry.reference_ids), frozenset({"identifier"}),
    ),
    "study-instance-uid": Parameter(
        "token", "Study Instance UID of the imaging study",
        f"{_MADO}/SearchParameterDocumentReferenceStudyInstanceUid",
        _BY.references(lambda entry: entry.reference_ids, STUDY_TYPE),
    ),
    "accession-number": Parameter(
        "token", "Accession Number of the imaging study",
        f"{_MADO}/SearchParameterDocumentReferenceAccessionNumber",
        _BY.references(lambda entry: entry.reference_ids, ACCESSION_TYPE),
    ),
}  # fmt: skip
_CODED: Entries = {
    "status": Parameter(
        "token", "current, superseded", f"{_CORE}/DocumentReference-status",
        _BY.words(lambda entry: (STATUS[entry.status],)),
    ),
    "category": Parameter(
        "token", "classCode", f"{_CORE}/DocumentReference-category",
        _BY.codes(lambda entry: (entry.class_code,)),
    ),
    "type": Parameter(
        "token", "typeCode", f"{_CORE}/clinical-type", _BY.codes(lambda entry: (entry.type_code,))
    ),
    "setting": Parameter(
        "token", "practiceSettingCode", f"{_CORE}/DocumentReference-setting",
        _BY.codes(lambda entry: (entry.practice_setting_code,)),
    ),
    "facility": Parameter(
        "token", "healthcareFacilityTypeCode", f"{_CORE}/DocumentReference-facility",
        _BY.codes(lambda entry: (entry.healthcare_facility_type_code,)),
    ),
    "event": Parameter(
        "token", "eventCodeList", f"{_CORE}/DocumentReference-event",
        _BY.codes(lambda entry: entry.event_codes),
    ),
    "security-label": Parameter(
        "token", "confidentialityCode", f"{_CORE}/DocumentReference-security-label",
        _BY.codes(lambda entry: entry.confidentiality_codes),
    ),
    "format": Parameter(
        "token", "formatCode", f"{_CORE}/DocumentReference-format",
        _BY.codes(lambda entry: (entry.format_code,)),
    ),
    "contenttype": Parameter(
        "token", "mimeType", f"{_CORE}/DocumentReference-contenttype",
        _BY.words(lambda entry: (entry.mime_type,)),
    ),
    "language": Parameter(
        "token", "languageCode", f"{_CORE}/DocumentReference-language",
        _BY.words(lambda entry: (entry.language_code,)),
    ),
}  # fmt: skip
_TIMED: Entries = {
    "creation": Parameter(
        "date", "creationTime", f"{_MHD}/DocumentReference-Creation",
        _BY.dates(lambda entry: entry.creation_time),
    ),
    "period": Parameter(
        "date", "time of service; a document without one is never left out",
        f"{_CORE}/DocumentReference-period",
        _BY.periods(lambda entry: (entry.service_start_time, entry.service_stop_time)),
    ),
}  # fmt: skip
_NAMED: Entries = {
    "author.family": Parameter(
        "string", "family name of an author", f"{_CORE}/individual-family",
        _BY.authors(lambda entry: entry.authors, 1), STRING_MODIFIERS,
    ),
    "author.given": Parameter(
        "string", "given name of an author", f"{_CORE}/individual-given",
        _BY.authors(lambda entry: entry.authors, 2), STRING_MODIFIERS,
    ),
}  # fmt: skip


def _imaging(scheme: ModalityScheme) -> Entries:
    regions = Parameter(
        "token",
        "anatomic region of the imaging study",
        f"{_MADO}/SearchParameterDocumentReferenceBodySite",
        _BY.codes(scheme.body_parts),
    )
    modality = Parameter(
        "token",
        "modality of the imaging study",
        f"{_MADO}/SearchParameterDocumentReferenceModality",
        _BY.codes(scheme.modalities),
    )
    # MADO 0.1 calls the same parameter by two names in two places.
    return {"modality": modality, "anatomical-region": regions, "bodysite": regions}


def search(request: Request, context: Context) -> Answer:
    """Answer a page of the documents that the parameters mean and the caller may see.

    Raises:
        FhirRefusedError: 400 for what cannot be understood or names nobody and nothing.
    """
    bookmark = bookmark_of(request)
    view = context.view(request.caller, Action.QUERY_REGISTRY)
    with context.database.read() as session:
        dated = _Dated(session)
        known = parameters(context.modality_scheme)
        by_date = Parameter(
            "date", "when it was submitted", f"{_CORE}/DocumentReference-date",
            _BY.dates(dated.submitted_at),
        )  # fmt: skip
        asking = Asking(view.people, request.base, context.clock.now())
        question = read_question(bookmark.pairs, {**known, "date": by_date}, asking)
        refuse_ignored(question, request, known)
        entries = _seen(session, _candidates(session, question, view), view)
        dated.look_up(entries if "date" in question.terms else ())
        page = page_of([one for one in entries if question.holds(one)], bookmark, _key)
        found = write(session, page.items, context, view, request.base)
    told = Told(_TARGET, request.base, {*known, "date"})
    query = fhir_search(_TARGET, urlencode(question.used))
    facts = list(person_facts(view.gate, TRANSACTION, query))
    return Answer(answer_bundle(question, bookmark, page, told, found), facts)


def read(request: Request, context: Context) -> Answer:
    """Answer one DocumentReference; one the caller may not see is answered like none: 404."""
    view = context.view(request.caller, Action.QUERY_REGISTRY)
    with context.database.read() as session:
        entries = documents_by_uuid(session, [entry_uuid_of(request.identity)])
        seen = _seen(session, entries, view)
        found = write(session, seen, context, view, request.base)
    facts = list(person_facts(view.gate, TRANSACTION, f"{_TARGET}/{request.identity}"))
    if not found:
        return refused_answer(not_found(f"{_TARGET}.id"), 404, facts)
    return Answer(found[0], facts)


def write(
    session: Session, entries: Sequence[DocumentEntry], context: Context, view: View, base: str
) -> list[Resource]:
    """Return entries as DocumentReferences, with what they relate to."""
    dated = _Dated(session)
    dated.look_up(entries)
    relations = _relations(session, entries)
    facts = {
        one.entry_uuid: EntryFacts(dated.submitted_at(one), relations.get(one.entry_uuid, ()))
        for one in entries
    }
    writer = DocumentReferenceWriter(view.people, base, context.modality_scheme, facts)
    return [writer.write(one) for one in entries]


def _candidates(
    session: Session, question: Question[DocumentEntry], view: View
) -> list[DocumentEntry]:
    """Return what the narrowest condition leaves of the registry."""
    if question.persons is not None:
        linked = {cx for one in question.persons for cx in _linked(view, one)}
        return store.documents_of(session, linked) if linked else []
    for name, find in _LOOKUPS.items():
        if name in question.terms:
            return find(session, question.terms[name][0])
    raise too_wide(_NARROWING)


def _linked(view: View, person: str) -> Collection[str]:
    """Nobody's documents are looked up who may not be seen."""
    return view.people.linked_to(person) if view.gate.sees_person(person) else ()


def _seen(session: Session, entries: Sequence[DocumentEntry], view: View) -> list[DocumentEntry]:
    visible = [one for one in entries if view.gate.sees(one)]
    return view.people.current(latest_documents(session, visible))


def _by_id(session: Session, term: Term) -> list[DocumentEntry]:
    return documents_by_uuid(session, [entry_uuid_of(value) for value in term.values])


def _by_identifier(session: Session, term: Term) -> list[DocumentEntry]:
    wanted = wanted_identifiers(term.values)
    uuids = [value.lower() for _, value in wanted]
    unique = [unique_id_of({"system": system or "", "value": value}) for system, value in wanted]
    found = [*documents_by_uuid(session, uuids), *store.documents_by_unique_id(session, unique)]
    return list({one.entry_uuid: one for one in found}.values())


def _by_reference(session: Session, term: Term) -> list[DocumentEntry]:
    """A CXi begins with its value: the index finds it by that."""
    values = [value.removeprefix(OID_PREFIX) for _, value in wanted_identifiers(term.values)]
    begins = [
        DocumentReferenceRow.cxi.startswith(f"{value}^^^", autoescape=True) for value in values
    ]
    rows = select(DocumentReferenceRow.entry_uuid).where(or_(*begins)).distinct()
    return documents_by_uuid(session, session.scalars(rows.limit(_MOST_FOUND)).all())


_LOOKUPS = {
    "_id": _by_id,
    "identifier": _by_identifier,
    "study-instance-uid": _by_reference,
    "related": _by_reference,
    "accession-number": _by_reference,
}


def _relations(
    session: Session, entries: Sequence[DocumentEntry]
) -> dict[str, list[XdsAssociation]]:
    """Return what each entry relates to; a KOS manifest to its FHIR form as well (MADO)."""
    uuids = {one.entry_uuid for one in entries}
    if not uuids:
        return {}
    wanted = Wanted(RELATIONS, _APPROVED)
    found: dict[str, list[XdsAssociation]] = {}
    associations = associations_at(session, uuids, wanted)
    for one in associations:
        if one.source in uuids:
            found.setdefault(one.source, []).append(one)
    for one in _forms_of(session, associations, uuids):
        found.setdefault(one.target, []).append(_turned(one))
    return found


def _forms_of(
    session: Session, associations: Sequence[XdsAssociation], uuids: Collection[str]
) -> list[XdsAssociation]:
    """Return the transformations into a FHIR manifest of the entries that are at hand."""
    kind = AssociationType.TRANSFORMS
    into = [one for one in associations if one.association_type is kind and one.target in uuids]
    sources = documents_by_uuid(session, {one.source for one in into})
    manifests = {one.entry_uuid for one in sources if one.format_code.code == MADO_FORMAT}
    return [one for one in into if one.source in manifests]


def _turned(one: XdsAssociation) -> XdsAssociation:
    return XdsAssociation(**{**vars(one), "source": one.target, "target": one.source})


class _Dated:
    """When entries were submitted: looked up for all of an answer at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._times: dict[str, str] = {}

    def look_up(self, entries: Sequence[DocumentEntry]) -> None:
        """Learn when these were submitted."""
        wanted = Wanted({AssociationType.HAS_MEMBER}, _APPROVED)
        uuids = [one.entry_uuid for one in entries]
        members = associations_at(self._session, uuids, wanted, [End.TARGET]) if uuids else []
        sets = submission_sets_by_uuid(self._session, {one.source for one in members})
        times = {one.entry_uuid: one.submission_time for one in sets}
        for one in members:
            if one.source in times and one.submission_set_status != "Reference":
                self._times[one.target] = times[one.source]

    def submitted_at(self, entry: DocumentEntry) -> str:
        """Return the submission time; the creation time where no submission is known."""
        return self._times.get(entry.entry_uuid, entry.creation_time)


def _key(entry: DocumentEntry) -> Key:
    return entry.creation_time, entry.entry_uuid
