"""ITI-62 Remove Metadata: entries, folders, submission sets and associations go (RMD, 3.62).

The documents themselves are another matter: ITI-86 removes them.
"""

from lxml import etree
from sqlalchemy.orm import Session

from access_control.model import Subject
from xds_registry import vocabulary as v
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.removing import MOST_OBJECTS, Remover
from xds_registry.responses import registry_response
from xds_registry.transacting import Answer, AuditFact

ACTION = "urn:ihe:iti:2010:DeleteDocumentSet"
ANSWER_ACTION = "urn:ihe:iti:2010:DeleteDocumentSetResponse"
REQUEST_TAG = f"{{{v.LCM}}}RemoveObjectsRequest"
_PLACE = "//lcm:RemoveObjectsRequest/rim:ObjectRefList"


def remove_metadata(
    body: etree._Element, session: Session, subject: Subject, remover: Remover
) -> Answer:
    """Remove what a RemoveObjectsRequest names, all of it or nothing.

    Raises:
        XdsRefusalError: nothing is named, or more than 1,000 objects.
        XdsRefusalsError: all that forbids the removal; nothing of it may be committed.
    """
    path = f"{{{v.RIM}}}ObjectRefList/{{{v.RIM}}}ObjectRef"
    uuids = list(dict.fromkeys(one.get("id", "").strip() for one in body.iterfind(path)))
    if not uuids or len(uuids) > MOST_OBJECTS:
        raise XdsRefusalError(ErrorCode.REGISTRY_ERROR, _PLACE, f"1 to {MOST_OBJECTS} ObjectRef")
    facts = tuple(
        AuditFact("success", item.entry_uuid, type(item).__name__, "registry_object")
        for item in remover.remove(session, uuids, subject)
    )
    return Answer(registry_response(v.RESPONSE_SUCCESS), facts)
