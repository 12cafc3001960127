"""Submissions as another system would send them by ITI-42, and what became of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import requests
from lxml import etree

from tests.xds_registry import wire
from tests.xds_registry.samples import entry, submission, urn
from xds_registry.ebrim import leaf_class
from xds_registry.model import (
    AssociationType,
    Code,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    XdsAssociation,
)

LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
ITI42 = "urn:ihe:iti:2007:RegisterDocumentSet-b"
RIM = f"{{{wire.RIM}}}"
ABC = "a9993e364706816aba3e25717850c26c9cd0d89d"
FOLDER_CODE = Code("57133-1", "2.16.840.1.113883.6.1", "Referral note")


def of(patient_id: str, *names: str, **changes: Any) -> Submission:
    """Return a submission of documents that differ in everything that must differ."""
    common = {"patient_id": patient_id, "linked_identifier": patient_id, "sha1": ABC, "size": 3}
    return submission(*(entry(name, **{**common, **changes}) for name in names))


def folder(patient_id: str, name: str = "folder", **changes: Any) -> Folder:
    made = Folder(
        entry_uuid=urn(name),
        unique_id=entry(name).unique_id,
        patient_id=patient_id,
        linked_identifier=patient_id,
        codes=(FOLDER_CODE,),
        title="转诊 Referral",
    )
    return replace(made, **changes)


def member(source: RegistryObject, target: RegistryObject, status: str = "") -> XdsAssociation:
    """Return the membership of `target` in a set or folder."""
    return XdsAssociation(
        entry_uuid=urn(f"member-{source.entry_uuid}-{target.entry_uuid}"),
        association_type=AssociationType.HAS_MEMBER,
        source=source.entry_uuid,
        target=target.entry_uuid,
        submission_set_status=status,
    )


def with_folder(sent: Submission, *folders: Folder) -> Submission:
    """Return `sent` with folders that hold all of its documents."""
    joined = [member(one, document) for one in folders for document in sent.entries]
    joined += [member(sent.submission_set, one) for one in folders]
    return replace(sent, folders=folders, associations=(*sent.associations, *joined))


def objects(sent: Submission) -> Iterable[RegistryObject]:
    yield sent.submission_set
    yield from sent.entries
    yield from sent.folders
    yield from sent.associations


def request(sent: Submission) -> etree._Element:
    """Return the SubmitObjectsRequest for a submission, ids as they are."""
    body = etree.Element(f"{{{LCM}}}SubmitObjectsRequest", nsmap={"lcm": LCM, "rim": wire.RIM})
    found = etree.SubElement(body, f"{RIM}RegistryObjectList")
    found.extend(leaf_class(one) for one in objects(sent))
    return body


def symbolic(body: etree._Element) -> etree._Element:
    """Give every object a symbolic id instead of its UUID."""
    text = etree.tostring(body, encoding="unicode")
    for number, one in enumerate(body.find(f"{RIM}RegistryObjectList")):
        text = text.replace(one.get("id"), f"Object{number:02d}")
    return etree.fromstring(text)


@dataclass(frozen=True)
class Registrar:
    """Sends to one registry."""

    address: str

    def send(self, body: etree._Element) -> etree._Element:
        """Send a request; returns the RegistryResponse."""
        data = wire.envelope(body, ITI42)
        headers = {"Content-Type": "application/soap+xml"}
        answer = requests.post(f"{self.address}/xds/registry", data, headers=headers, timeout=60)
        return wire.payload(answer)

    def register(self, sent: Submission) -> etree._Element:
        return self.send(request(sent))

    def query(self, query_id: str, *slots: tuple[str, str]) -> etree._Element:
        headers = {"Content-Type": "application/soap+xml"}
        data = wire.query(query_id, slots)
        answer = requests.post(f"{self.address}/xds/registry", data, headers=headers, timeout=60)
        return wire.payload(answer)

    def documents(self, patient_id: str) -> dict[str, str]:
        """Return the status of every document of a patient by its entryUUID."""
        statuses = f"{wire.APPROVED[:-1]},{wire.DEPRECATED[1:]}"
        found = self.query(
            wire.FIND_DOCUMENTS,
            ("$XDSDocumentEntryPatientId", f"'{patient_id}'"),
            ("$XDSDocumentEntryStatus", statuses),
        )
        return {
            one.get("id"): one.get("status").rpartition(":")[2]
            for one in found.iter(f"{RIM}ExtrinsicObject")
        }


def refusals(answer: etree._Element) -> list[tuple[str, str]]:
    """Return (code, place) of every error."""
    return [
        (one.get("errorCode"), one.get("location", "")) for one in answer.iter("{*}RegistryError")
    ]


def related(kind: AssociationType, sent: Submission, target: DocumentEntry) -> Submission:
    """Return `sent` with its first document related to `target`."""
    source = sent.entries[0].entry_uuid
    relation = XdsAssociation(
        entry_uuid=urn(f"{kind}-{source}-{target.entry_uuid}"),
        association_type=kind,
        source=source,
        target=target.entry_uuid,
    )
    return replace(sent, associations=(*sent.associations, relation))
