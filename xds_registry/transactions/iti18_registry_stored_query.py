"""ITI-18 Registry Stored Query: the queries a registry answers, one row each (ITI TF-2 3.18).

A patient nobody knows, or whose documents the asker may not see, is answered with success and no
object: Table 4.2.4.1-2 of ITI TF-3 gives XDSUnknownPatientId to submissions, not to ITI-18, and the
two cases must not be told apart.
"""

from collections.abc import Mapping

from lxml import etree

from xds_registry import query_find as find
from xds_registry import query_get as get
from xds_registry import vocabulary as v
from xds_registry.model import AvailabilityStatus
from xds_registry.query_answer import REQUEST_TAG, QueryAnswer, Run, Viewpoint, answer

__all__ = [
    "ACTION",
    "ANSWER_ACTION",
    "REQUEST_TAG",
    "STORED_QUERIES",
    "QueryAnswer",
    "find_documents_request",
    "stored_query",
]

ACTION = "urn:ihe:iti:2007:RegistryStoredQuery"
ANSWER_ACTION = "urn:ihe:iti:2007:RegistryStoredQueryResponse"

_FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
STORED_QUERIES: Mapping[str, Run] = {
    _FIND_DOCUMENTS: find.find_documents,
    "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9": find.find_submission_sets,
    "urn:uuid:958f3006-baad-4929-a4de-ff1114824431": find.find_folders,
    "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3": find.get_all,
    "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4": get.get_documents,
    "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4": get.get_folders,
    "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155": get.get_associations,
    "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a": get.get_documents_and_associations,
    "urn:uuid:51224314-5390-4169-9b91-b1980040715a": get.get_submission_sets,
    "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83": get.get_submission_set_and_contents,
    "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7": get.get_folder_and_contents,
    "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578": get.get_folders_for_document,
    "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6": get.get_related_documents,
    "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492": find.find_documents_by_reference_id,
}


def stored_query(body: etree._Element, viewpoint: Viewpoint) -> QueryAnswer:
    """Answer an AdhocQueryRequest; what is refused comes back as a Failure response."""
    return answer(body, STORED_QUERIES, viewpoint, single_patient=True)


def find_documents_request(patient_id: str, return_type: str = "LeafClass") -> etree._Element:
    """Return the AdhocQueryRequest that asks for a patient's current documents (3.18.4.1.2)."""
    request = etree.Element(REQUEST_TAG, nsmap={"query": v.QUERY, "rim": v.RIM})
    option = etree.SubElement(request, f"{{{v.QUERY}}}ResponseOption")
    option.set("returnComposedObjects", "true")
    option.set("returnType", return_type)
    query = etree.SubElement(request, f"{{{v.RIM}}}AdhocQuery", id=_FIND_DOCUMENTS)
    quoted = patient_id.replace("'", "''")
    for name, value in (
        ("$XDSDocumentEntryPatientId", f"'{quoted}'"),
        ("$XDSDocumentEntryStatus", f"('{AvailabilityStatus.APPROVED}')"),
    ):
        slot = etree.SubElement(query, f"{{{v.RIM}}}Slot", name=name)
        values = etree.SubElement(slot, f"{{{v.RIM}}}ValueList")
        etree.SubElement(values, f"{{{v.RIM}}}Value").text = value
    return request
