"""ITI-65, Provide Document Bundle: documents in one transaction, or none (MHD 2:3.65)."""

from datetime import datetime

from access_control.model import Action
from hub_kernel.fhir.exchange import Answer, Request, required_body
from hub_kernel.fhir.outcome import Issue, Resource, operation_outcome
from hub_kernel.fhir.validation import require_valid
from xds_registry.mhd.bundle_reading import ACTORS, ReadBundle, SentEntry, read_bundle
from xds_registry.mhd.context import Context
from xds_registry.mhd.document_references import resource_id
from xds_registry.mhd.subjects import Held, Subjects
from xds_registry.mhd.submissions import Submitted, accepted_or

TRANSACTION = "ITI-65"
_UNUSED = Issue(
    "not-found",
    "XDSMissingDocumentMetadata",
    "a document comes without a DocumentReference that leads to it",
    "文档没有被任何 DocumentReference 引用",
    allowed="content.attachment.url: the fullUrl of the Binary",
    codes=("XDSMissingDocumentMetadata",),
)
_READ_IN = Issue(
    "informational",
    "read-in",
    "kept in the metadata of what refers to it, not as a resource of its own",
    "内容已并入引用它的元数据, 未单独保存为资源",
    severity="information",
)
_MADE = frozenset({"DocumentReference", "List", "Binary"})


def provide(request: Request, context: Context) -> Answer:
    """Register what a transaction Bundle holds; durable on return, its audit records with it.

    Raises:
        FhirRefusedError: 400 for what is no FHIR, 409, 413, 422 for what is refused of it.
    """
    bundle = required_body(request)
    require_valid(bundle, "Bundle")
    view = context.view(request.caller, Action.SUBMIT_DOCUMENTS)
    subjects = Subjects(view, context.links, request.base)
    with context.database.read() as session:
        read = read_bundle(bundle, request.base, subjects, Held(session, view))
    for one in read.entries:
        if one.placed.kind == "Binary" and one.placed.path not in read.reader.binaries:
            read.reader.issues.append(_UNUSED.at(one.placed.path))
    accepted_or(read.reader.issues)
    submitted = Submitted(read.submission, read.documents, read.reader.places)
    context.submissions.submit(submitted, TRANSACTION, request.caller, request.address)
    person = subjects.person_of(read.submission.submission_set.patient_id) or ""
    return Answer(_response(read, person, request.base, context.clock.now()))


def _response(read: ReadBundle, person: str, base: str, now: datetime) -> Resource:
    """Return the transaction-response: one entry for each that was sent, in their order."""
    moment = now.isoformat(timespec="milliseconds")
    entries = []
    for one in read.entries:
        made = not one.updates and one.placed.kind in _MADE
        done: Resource = {"status": "201 Created" if made else "200 OK"}
        if one.placed.kind in ACTORS:
            done["outcome"] = operation_outcome([_READ_IN])
        location = _location(one, read, person)
        if location:
            done |= {"location": location, "lastModified": moment}
        entries.append({"response": done})
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "link": [{"relation": "self", "url": base}],
        "entry": entries,
    }


def _location(one: SentEntry, read: ReadBundle, person: str) -> str:
    placed = one.placed
    if placed.kind in ACTORS:
        return ""
    if placed.kind == "Patient":
        return f"Patient/{person}" if person else ""
    if placed.kind == "Binary":
        return f"Binary/{resource_id(read.reader.binaries[placed.path])}"
    kind = "List" if placed.kind == "List" else "DocumentReference"
    return f"{kind}/{resource_id(read.reader.ids[placed.path])}"
