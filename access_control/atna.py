"""An audit record as a DICOM audit message (DICOM PS3.15 A.5, IHE ITI TF-2 3.20 and 3.40).

Every record is valid against the schema of PS3.15 A.5.1 as IHE extended it. The message says what
the record says and nothing else: no name of a patient, no token, no key was ever in it.
"""

import ipaddress
import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC

from lxml import etree

from access_control.atna_codes import (
    APPLICATION,
    BREAK_GLASS,
    DESTINATION,
    END_BREAK_GLASS,
    EVENT_TYPES,
    IHE,
    LAUNCHER,
    LOCAL,
    OBJECT_KINDS,
    OTHER_OBJECT,
    PURPOSES,
    SOURCE,
    START_APPLICATION,
    STOP_APPLICATION,
    TRANSACTIONS,
    Coded,
    EventKind,
    event_of,
    event_type_of,
)
from access_control.audit_message import OUTCOME_INDICATORS, AuditObject, AuditRecord
from access_control.model import SubjectKind

_APPLICATION_EVENTS = frozenset({START_APPLICATION, STOP_APPLICATION})
_ABOUT_NOTHING = EVENT_TYPES.keys() - {BREAK_GLASS, END_BREAK_GLASS}
_SIGN_IN_EVENTS = frozenset({"sign_in", "sign_out"})
_APPLICATION_SERVER: Coded = ("4", "DCM", "Application Server process or thread")
_STORED_QUERY_ID = re.compile(r'\bid="(urn:uuid:[0-9a-fA-F-]{36})"')


@dataclass(frozen=True)
class AuditSource:
    """This hub as it names itself in audit messages.

    `enterprise_site_id` is whose hub it is, `address` the URL or host that peers reach it at,
    `process_id` its process. With `patient_oid` bare global IDs are written as the CX that peers
    know, `id^^^&oid&ISO`.
    """

    source_id: str = "eirhub"
    enterprise_site_id: str = ""
    address: str = ""
    process_id: str = ""
    patient_oid: str = ""


def audit_message(record: AuditRecord, source: AuditSource) -> bytes:
    """Return `record` as a DICOM audit message, UTF-8 with an XML declaration."""
    root = etree.Element("AuditMessage")
    kind = event_of(record.action, record.transaction, record.detail)
    objects = _objects(record, source)
    _event(root, record, kind, says_why=not objects)
    _participants(root, record, source, kind)
    _audit_source(root, source)
    for one in objects:
        root.append(one)
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True))


def unreadable_message(sequence: int, source: AuditSource, at: str) -> bytes:
    """Return the alert that record `sequence` of the trail can no longer be read (PS3.15 A.5.3.13).

    It takes the place of that record, so that nothing behind it waits.
    """
    root = etree.Element("AuditMessage")
    event = etree.SubElement(
        root,
        "EventIdentification",
        EventActionCode="E",
        EventDateTime=at,
        EventOutcomeIndicator="8",
    )
    _coded(event, "EventID", ("110113", "DCM", "Security Alert"))
    _coded(event, "EventTypeCode", ("110135", "DCM", "Object Security Attributes Changed"))
    why = f"record {sequence} of the audit trail cannot be read: it was tampered with"
    etree.SubElement(event, "EventOutcomeDescription").text = why
    _hub(root, source, APPLICATION, is_requestor=False)
    _audit_source(root, source)
    kind = OBJECT_KINDS["audit"]
    root.append(_object("audit", f"audit-record:{sequence}", kind.id_type))
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _event(root: etree._Element, record: AuditRecord, kind: EventKind, *, says_why: bool) -> None:
    at = record.recorded_at.astimezone(UTC)
    event = etree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=kind.action_code,
        EventDateTime=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(OUTCOME_INDICATORS[record.outcome]),
    )
    _coded(event, "EventID", (kind.code, "DCM", kind.meaning))
    _coded(event, "EventTypeCode", event_type_of(record.action, record.transaction))
    if record.detail and (says_why or record.outcome != "success"):
        etree.SubElement(event, "EventOutcomeDescription").text = record.detail
    if record.purpose:
        purpose = PURPOSES.get(record.purpose, (record.purpose, LOCAL, record.purpose))
        _coded(event, "PurposeOfUse", purpose)


def _participants(
    root: etree._Element, record: AuditRecord, source: AuditSource, kind: EventKind
) -> None:
    """Two ends of an exchange; an application and who started it; or a person and the hub."""
    if record.action in _APPLICATION_EVENTS:
        _hub(root, source, APPLICATION, is_requestor=False)
        _asker(root, record, (LAUNCHER,))
    elif record.action in _SIGN_IN_EVENTS:
        _asker(root, record, ())
        _hub(root, source, None, is_requestor=False)
    elif kind.hub_is_source:
        _hub(root, source, SOURCE, is_requestor=False)
        _asker(root, record, (DESTINATION,))
    else:
        _asker(root, record, (SOURCE,))
        _hub(root, source, DESTINATION, is_requestor=False)


def _asker(root: etree._Element, record: AuditRecord, roles: tuple[Coded, ...]) -> None:
    person = etree.SubElement(
        root,
        "ActiveParticipant",
        UserID=_user_id(record),
        UserName=record.display,
        UserIsRequestor="true",
    )
    _network(person, record.address)
    for role in (*roles, *((role, LOCAL, role) for role in record.roles)):
        _coded(person, "RoleIDCode", role)


def _user_id(record: AuditRecord) -> str:
    """Who it is; a user that another organisation vouches for is named as that one names them."""
    if record.subject_kind == SubjectKind.USER and "@" in record.subject_id:
        return record.subject_id
    return f"{record.subject_kind}:{record.subject_id}"


def _hub(
    root: etree._Element, source: AuditSource, role: Coded | None, *, is_requestor: bool
) -> None:
    hub = etree.SubElement(
        root,
        "ActiveParticipant",
        UserID=source.address or source.source_id,
        UserIsRequestor=str(is_requestor).lower(),
    )
    if source.process_id:
        hub.set("AlternativeUserID", source.process_id)
    _network(hub, _host(source.address) or source.source_id)
    if role:
        _coded(hub, "RoleIDCode", role)


def _network(participant: etree._Element, address: str) -> None:
    """NetworkAccessPointTypeCode: 2 is an IP address, 1 a machine's name."""
    if not address:
        return
    try:
        ipaddress.ip_address(address)
        kind = "2"
    except ValueError:
        kind = "1"
    participant.set("NetworkAccessPointID", address)
    participant.set("NetworkAccessPointTypeCode", kind)


def _host(address: str) -> str:
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _audit_source(root: etree._Element, source: AuditSource) -> None:
    element = etree.SubElement(root, "AuditSourceIdentification", AuditSourceID=source.source_id)
    if source.enterprise_site_id:
        element.set("AuditEnterpriseSiteID", source.enterprise_site_id)
    _coded(element, "AuditSourceTypeCode", _APPLICATION_SERVER)


def _objects(record: AuditRecord, source: AuditSource) -> list[etree._Element]:
    """What the event is about: the resource, the query, and what else the door named."""
    if record.action in _ABOUT_NOTHING and not record.transaction:
        return []  # sign-in, start and stop, refused associations: no participant objects
    found = []
    if record.resource_id or not record.transaction:
        first = AuditObject(record.resource_kind, record.resource_id)
        found.append(_of(first, source, record.detail))
    found += [_of(one, source) for one in record.objects]
    if record.query:
        found.append(_query(record))
    return found


def _of(one: AuditObject, source: AuditSource, words: str = "") -> etree._Element:
    kind = OBJECT_KINDS.get(one.kind, OTHER_OBJECT)
    object_id = one.object_id or one.kind
    if one.kind == "patient" and one.object_id and source.patient_oid and "^" not in object_id:
        object_id = f"{object_id}^^^&{source.patient_oid}&ISO"
    element = _object(one.kind, object_id, kind.id_type)
    if one.kind == "audit":
        etree.SubElement(element, "ParticipantObjectName").text = "Security Audit Log"
    for name, value in one.details:
        _detail(element, name, value)
    if words:
        _detail(element, "detail", words)
    return element


def _object(kind_name: str, object_id: str, id_type: Coded) -> etree._Element:
    kind = OBJECT_KINDS.get(kind_name, OTHER_OBJECT)
    element = etree.Element(
        "ParticipantObjectIdentification",
        ParticipantObjectID=object_id,
        ParticipantObjectTypeCode=str(kind.type_code),
        ParticipantObjectTypeCodeRole=str(kind.role),
    )
    _coded(element, "ParticipantObjectIDTypeCode", id_type)
    return element


def _query(record: AuditRecord) -> etree._Element:
    """The query itself; a stored query is known by its ID, another one by its record."""
    name = TRANSACTIONS[record.transaction][0] if record.transaction else record.action
    stored = _STORED_QUERY_ID.search(record.query)
    element = etree.Element(
        "ParticipantObjectIdentification",
        ParticipantObjectID=stored[1] if stored else str(record.sequence),
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="24",
    )
    _coded(element, "ParticipantObjectIDTypeCode", (record.transaction or record.action, IHE, name))
    etree.SubElement(element, "ParticipantObjectQuery").text = _base64(record.query)
    _detail(element, "QueryEncoding", "UTF-8")
    return element


def _detail(parent: etree._Element, name: str, value: str) -> None:
    etree.SubElement(parent, "ParticipantObjectDetail", type=name, value=_base64(value))


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _coded(parent: etree._Element, name: str, coded: Coded) -> None:
    code, system, text = coded
    etree.SubElement(
        parent, name, {"csd-code": code, "codeSystemName": system, "originalText": text}
    )
