"""ITI-92 Restricted Update Document Set: new versions of document entries (RMU supplement, 3.92).

The XDS Persistence Option: each update is a new version, and the state of the former goes over to
it. What says where a document is, whose it is and what it is, stays.
"""

from xds_registry.transactions.iti57_update_document_set import (
    REQUEST_TAG,
    restricted_update_document_set,
)

__all__ = ["ACTION", "ANSWER_ACTION", "REQUEST_TAG", "restricted_update_document_set"]

ACTION = "urn:ihe:iti:2018:RestrictedUpdateDocumentSet"
ANSWER_ACTION = "urn:ihe:iti:2018:RestrictedUpdateDocumentSetResponse"
