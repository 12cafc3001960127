"""ITI-68, Retrieve Document: the bytes of a document, whole or in part (MHD 2:3.68, RFC 9110).

The bytes go out as they are stored, with their own media type; who asks for FHIR gets them inside a
Binary. They are compared with what was stored before the first of them leaves.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from access_control.audit_message import AuditObject, Outcome
from access_control.model import Action
from hub_kernel.fhir.exchange import Answer, Request, Stream, not_found, refused_answer
from hub_kernel.fhir.formats import JSON, XML, Format
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from xds_registry.errors import DocumentCorruptError
from xds_registry.mhd.context import Context, Fact
from xds_registry.mhd.document_references import entry_uuid_of, resource_id
from xds_registry.model import AvailabilityStatus, DocumentEntry
from xds_registry.repository import RepositoryDocument
from xds_registry.store_reading import documents_by_uuid

TRANSACTION = "ITI-68"
_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")
# A document is somebody else's content: opened in a browser it must not act on the hub's pages.
_INERT = ("Content-Security-Policy", "sandbox; default-src 'none'")
_SUPERSEDED = Issue(
    "deleted",
    "superseded",
    "this document has been superseded; ask for the one that replaces it",
    "该文档已被替换; 请获取替换它的文档",
    where="Binary.id",
    allowed="DocumentReference?status=current",
)
_LARGEST_BINARY = 32 * 1024 * 1024
_FHIR_TYPES: Mapping[str, Format] = {
    "application/fhir+json": JSON,
    "application/fhir+xml": XML,
}
_NAMES: Mapping[str, Format] = {"json": JSON, "xml": XML, **_FHIR_TYPES}


@dataclass(frozen=True)
class _Part:
    """What of a document is asked for; `end` is excluded."""

    start: int
    end: int


def retrieve(request: Request, context: Context) -> Answer:
    """Answer the document of an entry; one the caller may not have is answered like none: 404.

    Raises:
        FhirRefusedError: 406 for a type it has not, 410 while it cannot be read as stored.
    """
    view = context.view(request.caller, Action.RETRIEVE_DOCUMENT)
    with context.database.read() as session:
        entries = documents_by_uuid(session, [entry_uuid_of(request.identity)])
        entry = next(iter(entries), None)
        found = context.repository.find(session, [entry.unique_id]) if entry else []
    if entry is None or not view.gate.sees(entry):
        outcome: Outcome = "refused" if entry else "failure"
        return _none([Fact(Action.RETRIEVE_DOCUMENT, outcome, "document", "", TRANSACTION)])
    if not found:
        return _none([_fact(entry, "failure")])
    if entry.status == AvailabilityStatus.DEPRECATED:
        return refused_answer(_SUPERSEDED, 410, [_fact(entry, "failure")])
    return _answer(request, context, entry, found[0])


def _answer(
    request: Request, context: Context, entry: DocumentEntry, document: RepositoryDocument
) -> Answer:
    wrapped = _wanted_format(request, document.mime_type)
    try:
        context.repository.verify(document)
    except DocumentCorruptError as error:
        raise FhirRefusedError(410, _unreadable()) from error
    facts = [_fact(entry, "success")]
    headers = [("ETag", f'"{document.stored.sha256}"'), ("Accept-Ranges", "bytes"), _INERT]
    if wrapped is not None:
        return _binary(entry, document, wrapped, context, facts)
    size = document.stored.size
    part = _part_of(request.range, size)
    if part is None:
        chunks = context.repository.chunks(document)
        stream = Stream(document.mime_type, size, chunks)
        return Answer(None, facts, 200, tuple(headers), stream)
    if part.start >= part.end:
        return Answer(None, facts, 416, (*headers, ("Content-Range", f"bytes */{size}")))
    headers.append(("Content-Range", f"bytes {part.start}-{part.end - 1}/{size}"))
    chunks = _cut(context.repository.chunks(document), part)
    stream = Stream(document.mime_type, part.end - part.start, chunks)
    return Answer(None, facts, 206, tuple(headers), stream)


def _binary(
    entry: DocumentEntry,
    document: RepositoryDocument,
    written_as: Format,
    context: Context,
    facts: list[Fact],
) -> Answer:
    if document.stored.size > _LARGEST_BINARY:
        raise _not_acceptable(document.mime_type, "application/fhir+json")
    data = b"".join(context.repository.chunks(document))
    binary: Resource = {
        "resourceType": "Binary",
        "id": resource_id(entry.entry_uuid),
        "contentType": document.mime_type,
        "securityContext": {"reference": f"DocumentReference/{resource_id(entry.entry_uuid)}"},
    }
    if data:
        binary["data"] = base64.b64encode(data).decode()
    body = written_as.write(binary)
    media_type = f"{written_as.media_type}; fhirVersion=4.0; charset=UTF-8"
    return Answer(None, facts, 200, (), Stream(media_type, len(body), [body]))


def _wanted_format(request: Request, mime_type: str) -> Format | None:
    """Return the FHIR format that is asked for by name; None means the bytes as they are.

    Raises:
        FhirRefusedError: 406, neither is acceptable.
    """
    named = request.values("_format")
    if named:
        wanted = named[0].replace(" ", "+")
        if wanted != mime_type and wanted not in _NAMES:
            raise _not_acceptable(mime_type, wanted)
        return _NAMES.get(wanted) if wanted != mime_type else None
    types = [one.partition(";")[0].strip().lower() for one in request.accept.split(",")[:32]]
    if not request.accept.strip() or mime_type.lower() in types:
        return None
    fhir = next((one for one in types if one in _FHIR_TYPES), None)
    if fhir is not None:
        return _FHIR_TYPES[fhir]
    kind = mime_type.partition("/")[0].lower()
    if not {"*/*", f"{kind}/*"} & set(types):
        raise _not_acceptable(mime_type, request.accept)
    return None


def _part_of(text: str, size: int) -> _Part | None:
    """Return the one range that is asked for; None for the whole, as for what is no such range."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:
        return _Part(max(0, size - int(found["last"])), size if int(found["last"]) else 0)
    first = int(found["first"])
    last = int(found["last"]) if found["last"] else size - 1
    return None if last < first and found["last"] else _Part(first, min(last + 1, size))


def _cut(chunks: Iterable[bytes], part: _Part) -> Iterator[bytes]:
    position = 0
    for chunk in chunks:
        piece = chunk[max(0, part.start - position) : max(0, part.end - position)]
        position += len(chunk)
        if piece:
            yield piece
        if position >= part.end:
            return


def _none(facts: list[Fact]) -> Answer:
    return refused_answer(not_found("Binary.id"), 404, facts)


def _fact(entry: DocumentEntry, outcome: Outcome) -> Fact:
    patient = AuditObject("patient", entry.patient_id)
    unique_id = entry.unique_id[:128]
    action = Action.RETRIEVE_DOCUMENT
    return Fact(action, outcome, "document", unique_id, TRANSACTION, objects=(patient,))


def _not_acceptable(mime_type: str, came: str) -> FhirRefusedError:
    return FhirRefusedError(
        406,
        Issue(
            "not-supported",
            "format",
            "the document has another type",
            "文档不是所请求的类型",
            where="http.Accept",
            came=shown(came),
            allowed=f"{mime_type}, application/fhir+json, application/fhir+xml",
        ),
    )


def _unreadable() -> Issue:
    return Issue(
        "not-found",
        "document-corrupt",
        "the stored document cannot be read unchanged; the hub's operators have been told",
        "存储的文档无法完整读取; 已通知平台运维人员",
        where="Binary.id",
        codes=("XDSRepositoryError",),
    )
