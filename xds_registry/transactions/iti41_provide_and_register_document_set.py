"""ITI-41 Provide and Register Document Set-b: all documents in, or none (ITI TF-2 3.41)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lxml import etree
from sqlalchemy.orm import Session

from xds_registry import vocabulary as v
from xds_registry.ebrim_reading import (
    SUBMIT_OBJECTS_TAG,
    Reading,
    read_submit_objects_request,
)
from xds_registry.errors import (
    ErrorCode,
    ErrorText,
    XdsRefusalError,
    XdsRefusalsError,
)
from xds_registry.model import Submission
from xds_registry.mtom_reading import included_content_id
from xds_registry.providing import Provider
from xds_registry.received_parts import ReceivedPart
from xds_registry.responses import registry_response
from xds_registry.soap import FaultCode, SoapFaultError
from xds_registry.submitting import Submitter
from xds_registry.transacting import Answer, AuditFact, Call, refusals_of

ACTION = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"
ANSWER_ACTION = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-bResponse"
REQUEST_TAG = f"{{{v.XDS_B}}}ProvideAndRegisterDocumentSetRequest"
_DOCUMENT = f"{{{v.XDS_B}}}Document"
_INCLUDE = f"{{{v.XOP}}}Include"
_NO_CONTENT = ErrorText("the Document element is empty", "Document 元素没有内容")
_NO_ENTRY = ErrorText(
    "a part of the message is named by no Document element", "报文中有未被 Document 元素引用的部分"
)
_ID_TWICE = ErrorText("two Document elements have the same id", "两个 Document 元素的 id 相同")


def provide_and_register(call: Call, provider: Provider, submitter: Submitter) -> Answer:
    """Carry out a ProvideAndRegisterDocumentSetRequest; its documents are durable by now.

    Raises:
        XdsRefusalsError: all that is wrong with the submission; nothing of it may be committed.
        SoapFaultError: the request holds no SubmitObjectsRequest.
    """
    documents, refusals = _documents(call)
    reading = _reading(call.body)
    provided = provider.described(reading.submission, documents)
    reading = replace(reading, submission=provided.submission)
    prepared = _prepared(call.session, submitter, reading, [*refusals, *provided.refusals])
    submitter.register(call.session, prepared)
    provider.name(call.session, prepared.entries, documents.values())
    fact = AuditFact(
        "success",
        prepared.submission_set.unique_id,
        f"{len(documents)} documents",
        "submission_set",
    )
    return Answer(registry_response(v.RESPONSE_SUCCESS), (fact,))


def _reading(body: etree._Element) -> Reading:
    requests = body.findall(SUBMIT_OBJECTS_TAG)
    if len(requests) != 1:
        raise SoapFaultError(
            FaultCode.SENDER,
            "the request must hold one SubmitObjectsRequest",
            "请求必须且只能含一个 SubmitObjectsRequest",
        )
    return read_submit_objects_request(requests[0])


def _prepared(
    session: Session, submitter: Submitter, reading: Reading, refusals: Sequence[XdsRefusalError]
) -> Submission:
    """Return what is to be registered, or refuse for every reason at once, each told once."""
    found = list(refusals)
    try:
        prepared = submitter.prepare(session, reading)
    except XdsRefusalError as error:
        found += refusals_of(error)
    else:
        if not found:
            return prepared
    raise XdsRefusalsError(list({(one.code, one.code_context): one for one in found}.values()))


def _documents(call: Call) -> tuple[dict[str, ReceivedPart], list[XdsRefusalError]]:
    """Return the documents by the id of their entry, and what is wrong with how they came."""
    documents: dict[str, ReceivedPart] = {}
    refusals: list[XdsRefusalError] = []
    named: set[str] = set()
    for element in call.body.iterfind(_DOCUMENT):
        document_id = element.get("id", "").strip()
        place = f"//xdsb:Document[@id='{document_id}']"
        include = element.find(_INCLUDE)
        content_id = included_content_id(include) if include is not None else ""
        named.add(content_id)
        if document_id in documents:
            refusals.append(XdsRefusalError(ErrorCode.REPOSITORY_ERROR, place, rule=_ID_TWICE))
        elif include is None:
            refusals.append(XdsRefusalError(ErrorCode.MISSING_DOCUMENT, place, rule=_NO_CONTENT))
        else:
            documents[document_id] = call.attachments[content_id]
    return documents, [*refusals, *_unnamed(call.attachments, named)]


def _unnamed(attachments: Mapping[str, ReceivedPart], named: set[str]) -> Iterable[XdsRefusalError]:
    for content_id in attachments:
        if content_id not in named:
            code = ErrorCode.MISSING_DOCUMENT_METADATA
            yield XdsRefusalError(code, f"Content-ID: {content_id}", rule=_NO_ENTRY)
