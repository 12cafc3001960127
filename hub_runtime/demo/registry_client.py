"""A minimal XDS consumer: ITI-18 FindDocuments and ITI-43 over SOAP 1.2 (ITI TF-2 3.18, 3.43)."""

import re
import uuid
from dataclasses import dataclass

from hub_runtime.demo.client import HttpClient

_FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
_APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"

_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" \
xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>\
<a:Action s:mustUnderstand="1">{action}</a:Action><a:MessageID>urn:uuid:{message_id}</a:MessageID>\
</s:Header><s:Body>{body}</s:Body></s:Envelope>"""
_QUERY = """<q:AdhocQueryRequest xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0" \
xmlns="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">\
<q:ResponseOption returnComposedObjects="true" returnType="LeafClass"/>\
<AdhocQuery id="{query}">\
<Slot name="$XDSDocumentEntryPatientId"><ValueList><Value>'{patient}'</Value></ValueList></Slot>\
<Slot name="$XDSDocumentEntryStatus"><ValueList><Value>('{status}')</Value></ValueList></Slot>\
</AdhocQuery></q:AdhocQueryRequest>"""
_RETRIEVE = """<RetrieveDocumentSetRequest xmlns="urn:ihe:iti:xds-b:2007"><DocumentRequest>\
<RepositoryUniqueId>{repository}</RepositoryUniqueId>\
<DocumentUniqueId>{document}</DocumentUniqueId>\
</DocumentRequest></RetrieveDocumentSetRequest>"""


@dataclass(frozen=True)
class ManifestReference:
    """Where a manifest is to be had."""

    repository_unique_id: str
    document_unique_id: str


def find_manifests(http: HttpClient, patient_cx: str) -> list[ManifestReference]:
    """Return every approved DICOM document of a person (ITI-18 FindDocuments)."""
    patient = patient_cx.replace("&", "&amp;")
    body = _QUERY.format(query=_FIND_DOCUMENTS, patient=patient, status=_APPROVED)
    answer = _call(http, "/xds/registry", "urn:ihe:iti:2007:RegistryStoredQuery", body).decode()
    found = []
    for entry in re.findall(
        r"<(?:\w+:)?ExtrinsicObject\b.*?</(?:\w+:)?ExtrinsicObject>", answer, re.S
    ):
        if 'mimeType="application/dicom"' in entry:
            repository = re.search(r'name="repositoryUniqueId".*?Value>([^<]+)<', entry, re.S)
            document = re.search(rf"<[^>]*{_UNIQUE_ID}[^>]*>", entry)
            value = document and re.search(r'\bvalue="([^"]+)"', document.group())
            if repository and value:
                found.append(ManifestReference(repository.group(1), value.group(1)))
    return found


def retrieve_document(http: HttpClient, reference: ManifestReference) -> bytes:
    """Return the bytes of a document (ITI-43); the answer is MTOM, so they come as a part of it."""
    body = _RETRIEVE.format(
        repository=reference.repository_unique_id, document=reference.document_unique_id
    )
    answer = _call(http, "/xds/repository", "urn:ihe:iti:2007:RetrieveDocumentSet", body)
    preamble = answer.index(b"\0" * 128 + b"DICM")
    end = answer.index(b"\r\n--", preamble)
    return answer[preamble:end]


def _call(http: HttpClient, path: str, action: str, body: str) -> bytes:
    envelope = _ENVELOPE.format(action=action, message_id=uuid.uuid4(), body=body)
    kind = f'application/soap+xml; charset=UTF-8; action="{action}"'
    if path.endswith("repository"):
        boundary = uuid.uuid4().hex
        envelope = (
            f"--{boundary}\r\nContent-Type: application/xop+xml; charset=UTF-8; "
            f'type="application/soap+xml"\r\nContent-Transfer-Encoding: binary\r\n'
            f"Content-ID: <root@eirhub>\r\n\r\n{envelope}\r\n--{boundary}--\r\n"
        )
        kind = (
            f'multipart/related; type="application/xop+xml"; start="<root@eirhub>"; '
            f'start-info="application/soap+xml"; action="{action}"; boundary={boundary}'
        )
    return http.post(path, envelope.encode(), Content_Type=kind).body
