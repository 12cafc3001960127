"""ITI-43 Retrieve Document Set: each document is given or named as missing (ITI TF-2 3.43)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import store
from xds_registry import vocabulary as v
from xds_registry.ebrim import xml_text
from xds_registry.errors import DocumentCorruptError, ErrorCode, XdsRefusalError
from xds_registry.gate import Gate
from xds_registry.mtom import Attachment
from xds_registry.repository import DocumentRepository, RepositoryDocument
from xds_registry.responses import registry_response
from xds_registry.soap import FaultCode, SoapFaultError

ACTION = "urn:ihe:iti:2007:RetrieveDocumentSet"
ANSWER_ACTION = "urn:ihe:iti:2007:RetrieveDocumentSetResponse"
REQUEST_TAG = f"{{{v.XDS_B}}}RetrieveDocumentSetRequest"
RESPONSE_TAG = f"{{{v.XDS_B}}}RetrieveDocumentSetResponse"
_MOST_DOCUMENTS = 1_000


@dataclass(frozen=True)
class DocumentRequest:
    """One document as it was asked for."""

    home_community_id: str
    repository_unique_id: str
    document_unique_id: str


@dataclass(frozen=True)
class DocumentOutcome:
    """What became of one request: the document, or why there is none."""

    request: DocumentRequest
    document: RepositoryDocument | None = None
    refusal: XdsRefusalError | None = None


@dataclass(frozen=True)
class RetrieveAnswer:
    """What goes back; the attachments follow the payload in the order of its references."""

    payload: etree._Element
    attachments: tuple[Attachment, ...]
    outcomes: tuple[DocumentOutcome, ...]


@dataclass(frozen=True)
class Retrieval:
    """Where documents are retrieved from, as whom; `home_community_id` is ours, or empty."""

    session: Session
    repository: DocumentRepository
    gate: Gate
    home_community_id: str


def retrieve_document_set(body: etree._Element, retrieval: Retrieval) -> RetrieveAnswer:
    """Answer a RetrieveDocumentSetRequest.

    Every document given out has just been read and compared with the hash it was stored with. One
    that may not be seen is answered like one that does not exist.

    Raises:
        SoapFaultError: no document is asked for, or too many.
    """
    outcomes = tuple(_outcome(request, retrieval) for request in read_document_requests(body))
    payload = etree.Element(RESPONSE_TAG, nsmap={"xdsb": v.XDS_B, "xop": v.XOP})
    refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
    payload.append(registry_response(status_of(len(outcomes), len(refusals)), refusals))
    attachments = []
    for number, outcome in enumerate(outcomes, start=1):
        if outcome.document is None:
            continue
        attachments.append(_attachment(outcome.document, number, retrieval.repository))
        payload.append(_document_response(outcome, outcome.document, attachments[-1].content_id))
    return RetrieveAnswer(payload, tuple(attachments), outcomes)


def read_document_requests(body: etree._Element) -> Sequence[DocumentRequest]:
    """Return the documents that `body` names, each once, in their order.

    Raises:
        SoapFaultError: it names none, or too many.
    """
    requests = list(dict.fromkeys(_read(body)))
    if not requests or len(requests) > _MOST_DOCUMENTS:
        raise SoapFaultError(
            FaultCode.SENDER,
            f"ask for 1 to {_MOST_DOCUMENTS} documents",
            f"每次请求 1 至 {_MOST_DOCUMENTS} 份文档",
        )
    return requests


def _read(body: etree._Element) -> Iterator[DocumentRequest]:
    for element in body.iterfind(f"{{{v.XDS_B}}}DocumentRequest"):
        home, repository, document = (
            (element.findtext(f"{{{v.XDS_B}}}{name}") or "").strip()
            for name in ("HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId")
        )
        yield DocumentRequest(home, repository, document)


def _outcome(request: DocumentRequest, retrieval: Retrieval) -> DocumentOutcome:
    try:
        return DocumentOutcome(request, document=_document(request, retrieval))
    except XdsRefusalError as refusal:
        return DocumentOutcome(request, refusal=refusal)


def _document(request: DocumentRequest, retrieval: Retrieval) -> RepositoryDocument:
    """Return the document, checked.

    Raises:
        XdsRefusalError: not ours, not there, not for this asker, or no longer intact.
    """
    ours, unique_id = retrieval.repository.repository_unique_id, request.document_unique_id
    if request.home_community_id not in {"", retrieval.home_community_id}:
        raise XdsRefusalError(ErrorCode.UNKNOWN_COMMUNITY, request.home_community_id)
    if request.repository_unique_id != ours:
        raise XdsRefusalError(ErrorCode.UNKNOWN_REPOSITORY, request.repository_unique_id, ours)
    found = retrieval.repository.find(retrieval.session, [unique_id])
    entries = store.documents_by_unique_id(retrieval.session, [unique_id])
    if not found or not any(retrieval.gate.sees(entry) for entry in entries):
        raise XdsRefusalError(ErrorCode.DOCUMENT_UNIQUE_ID, unique_id)
    try:
        retrieval.repository.verify(found[0])
    except DocumentCorruptError as error:
        raise XdsRefusalError(ErrorCode.REPOSITORY_ERROR, unique_id) from error
    return found[0]


def status_of(asked: int, refused: int) -> str:
    """Return the response status when `refused` of `asked` documents were refused."""
    if not refused:
        return v.RESPONSE_SUCCESS
    return v.RESPONSE_FAILURE if refused == asked else v.RESPONSE_PARTIAL


def _document_response(
    outcome: DocumentOutcome, document: RepositoryDocument, content_id: str
) -> etree._Element:
    element = etree.Element(f"{{{v.XDS_B}}}DocumentResponse")
    for name, value in (
        ("HomeCommunityId", outcome.request.home_community_id),
        ("RepositoryUniqueId", outcome.request.repository_unique_id),
        ("DocumentUniqueId", document.unique_id),
        ("mimeType", document.mime_type),
    ):
        if value:
            etree.SubElement(element, f"{{{v.XDS_B}}}{name}").text = xml_text(value)
    content = etree.SubElement(element, f"{{{v.XDS_B}}}Document")
    etree.SubElement(content, f"{{{v.XOP}}}Include").set("href", f"cid:{content_id}")
    return element


def _attachment(
    document: RepositoryDocument, number: int, repository: DocumentRepository
) -> Attachment:
    return Attachment(
        content_id=f"document-{number}@eirhub",
        media_type=document.mime_type,
        size=document.stored.size,
        open=partial(repository.chunks, document),
    )
