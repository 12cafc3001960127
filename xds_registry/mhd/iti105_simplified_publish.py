"""ITI-105, Simplified Publish: one document inside its DocumentReference (MHD 2:3.105)."""

from dataclasses import replace

from access_control.model import Action
from hub_kernel.fhir.exchange import Answer, Request, required_body
from hub_kernel.fhir.outcome import FhirRefusedError, Issue
from hub_kernel.fhir.validation import require_valid
from hub_kernel.identifiers import SystemUidFactory, new_urn_uuid
from xds_registry.codes import CodeType
from xds_registry.mhd.context import Context
from xds_registry.mhd.document_references import resource_id
from xds_registry.mhd.iti67_find_document_references import write
from xds_registry.mhd.references import Placed, References
from xds_registry.mhd.subjects import Held, Subjects
from xds_registry.mhd.submission_reading import SubmissionReader
from xds_registry.mhd.submissions import Submitted, accepted_or
from xds_registry.model import (
    NO_CODE,
    AssociationType,
    DocumentEntry,
    Submission,
    SubmissionSet,
    XdsAssociation,
    dtm,
)
from xds_registry.store_reading import documents_by_uuid

TRANSACTION = "ITI-105"
_PATH = "DocumentReference"
_NO_DATA = Issue(
    "required",
    "XDSMissingDocument",
    "the document must be in the attachment's data",
    "文档必须放在 attachment.data 中",
    where=f"{_PATH}.content[0].attachment.data",
    codes=("XDSMissingDocument",),
)
_NO_SUBJECT = Issue(
    "required",
    "no-subject",
    "the patient is needed",
    "必须指明患者",
    where=f"{_PATH}.subject",
)


def publish(request: Request, context: Context) -> Answer:
    """Register one document; durable on return, its audit record with it.

    The submission set is derived from the document: its patient, its authors, its time.

    Raises:
        FhirRefusedError: 400 for what is no FHIR, 409, 413, 422 for what is refused of it.
    """
    resource = required_body(request)
    require_valid(resource, _PATH)
    placed = Placed(resource, _PATH)
    view = context.view(request.caller, Action.SUBMIT_DOCUMENTS)
    subjects = Subjects(view, context.links, request.base)
    with context.database.read() as session:
        reader = SubmissionReader(References([placed], request.base), subjects, Held(session, view))
        reader.name([placed])
        entry = reader.entry(placed)
    _require_whole(resource, reader)
    entry = replace(entry, unique_id=entry.unique_id or SystemUidFactory().new_uid())
    data = reader.document(placed)
    accepted_or(reader.issues)
    submission = _submission(entry, reader, context)
    documents = {entry.entry_uuid: data} if data is not None else {}
    submitted = Submitted(submission, documents, reader.places)
    context.submissions.submit(submitted, TRANSACTION, request.caller, request.address)
    return _created(entry, request, context)


def _require_whole(resource: dict[str, object], reader: SubmissionReader) -> None:
    contents = resource["content"]
    first = contents[0] if isinstance(contents, list) else {}
    if "data" not in first.get("attachment", {}):
        raise FhirRefusedError(422, _NO_DATA, *reader.issues)
    if "subject" not in resource:
        raise FhirRefusedError(422, _NO_SUBJECT, *reader.issues)


def _submission(entry: DocumentEntry, reader: SubmissionReader, context: Context) -> Submission:
    lists = context.domain.lists
    fits = lists.allows(CodeType.CONTENT_TYPE, entry.type_code)
    submission_set = SubmissionSet(
        entry_uuid=new_urn_uuid(),
        unique_id=SystemUidFactory().new_uid(),
        source_id=context.own_oid,
        patient_id=entry.patient_id,
        linked_identifier=entry.patient_id,
        submission_time=dtm(context.clock.now()),
        content_type_code=entry.type_code if fits else NO_CODE,
        authors=entry.authors,
        title=entry.title,
        limited_metadata=not fits,
    )
    member = XdsAssociation(
        entry_uuid=new_urn_uuid(),
        association_type=AssociationType.HAS_MEMBER,
        source=submission_set.entry_uuid,
        target=entry.entry_uuid,
        submission_set_status="Original",
    )
    return Submission(
        submission_set=submission_set,
        entries=(entry,),
        associations=(member, *reader.associations),
    )


def _created(entry: DocumentEntry, request: Request, context: Context) -> Answer:
    """Answer the DocumentReference as it was registered, unless the client wants no body."""
    location = f"{request.base}/{_PATH}/{resource_id(entry.entry_uuid)}"
    headers = (("Location", location),)
    if "return=minimal" in request.prefer:
        return Answer(None, (), 201, headers)
    view = context.view(request.caller, Action.SUBMIT_DOCUMENTS)
    with context.database.read() as session:
        entries = view.people.current(documents_by_uuid(session, [entry.entry_uuid]))
        written = write(session, entries, context, view, request.base)
    return Answer(written[0], (), 201, headers)
