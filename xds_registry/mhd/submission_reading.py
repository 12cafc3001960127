"""Resources that are sent, read as parts of one submission (MHD 2:3.65.4.1.2, ITI TF-3 4.5).

Everything that is wrong is collected with its place, so that one answer can name all of it.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hub_kernel.fhir.outcome import Issue, Resource, shown
from hub_kernel.fhir.primitives import base64_text
from hub_kernel.identifiers import new_urn_uuid
from xds_registry.mhd.codes import unique_id_of
from xds_registry.mhd.document_references import entry_uuid_of
from xds_registry.mhd.entry_reading import (
    Sent,
    claims_comprehensive,
    official_uuid,
    read_entry,
)
from xds_registry.mhd.list_reading import read_folder, read_submission_set
from xds_registry.mhd.places import ENTRY_ELEMENTS, LIST_ELEMENTS, Place
from xds_registry.mhd.references import Placed, References, Resolver
from xds_registry.model import (
    AssociationType,
    DocumentEntry,
    Folder,
    SubmissionSet,
    XdsAssociation,
)

SubjectOf = Callable[[Resource, Resolver], str]
"""Returns the patientId (CX) that a subject means; empty for nobody that is known here."""


class Registered(Protocol):
    """What the registry holds already, as far as the sender may know."""

    def uuid_of(self, unique_id: str) -> str:
        """Return the entryUUID of the current document with a uniqueId, or an empty text."""
        ...

    def members_of(self, folder_uuid: str) -> frozenset[str]:
        """Return the entryUUIDs of the documents in a folder."""
        ...


RELATIONS = {
    "replaces": AssociationType.REPLACES,
    "transforms": AssociationType.TRANSFORMS,
    "appends": AssociationType.APPENDS,
    "signs": AssociationType.SIGNS,
}
_NOT_CURRENT = Issue(
    "value",
    "not-current",
    "what is submitted is current",
    "提交的对象状态必须为 current",
    allowed="current",
)
_NOT_UNDERSTOOD = Issue(
    "not-supported",
    "modifier-extension",
    "this changes what the resource means and is not understood here",
    "该内容会改变资源含义, 平台无法理解",
)
_ELEMENTS = {"DocumentReference": ENTRY_ELEMENTS, "List": LIST_ELEMENTS}
_RELATION_ELEMENTS = {"association_type": "code", "target": "target"}
_OWN_ID = re.compile(
    r"(DocumentReference|List)/([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)

_NO_PATIENT = Issue(
    "not-found",
    "XDSUnknownPatientId",
    "the subject must be a patient of this hub: Patient/<global ID>, or an identifier it knows",
    "subject 必须是本平台已知的患者: Patient/<全局标识>, 或已登记的标识",
    allowed="Patient/<id> | identifier: urn:oid:… | value",
    codes=("XDSUnknownPatientId",),
)
_NO_DOCUMENT = Issue(
    "not-found",
    "XDSMissingDocument",
    "the document must come in the same request; the hub fetches nothing",
    "文档必须在同一请求中提供, 平台不会到别处获取",
    allowed="the fullUrl of a Binary in this Bundle",
    codes=("XDSMissingDocument",),
)
_FHIR_DOCUMENT = Issue(
    "not-supported",
    "FHIRDocumentNotSupported",
    "a FHIR document Bundle must come serialized in a Binary",
    "FHIR 文档 Bundle 必须序列化后放入 Binary",
    allowed="Binary",
    codes=("FHIRDocumentNotSupported",),
)
_NO_TARGET = Issue(
    "not-found",
    "UnresolvedReferenceException",
    "this leads to nothing in this request and to nothing registered",
    "该引用在本请求与登记库中均不存在",
    allowed="DocumentReference/<id> | the fullUrl of an entry | an identifier",
    codes=("UnresolvedReferenceException",),
)


@dataclass
class SubmissionReader:
    """Reads the resources of one request; what it finds wrong is in `issues`.

    `ids` are the entryUUIDs of the resources, by where they stand; `places` say where each object
    stands, by its entryUUID. `binaries` say which document each Binary is, both by where they are.
    """

    references: References
    subject_of: SubjectOf
    registered: Registered
    comprehensive: bool = False
    ids: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    binaries: dict[str, str] = field(default_factory=dict)
    associations: list[XdsAssociation] = field(default_factory=list)

    def name(self, placed: Sequence[Placed]) -> None:
        """Give each resource an entryUUID: the one its source chose, or a new one."""
        for one in placed:
            identity = official_uuid(one.resource) or new_urn_uuid()
            self.ids[one.path] = identity
            self.places[identity] = Place(one.path, _ELEMENTS[one.kind])

    def entry(self, placed: Placed) -> DocumentEntry:
        """Return the document entry of a DocumentReference."""
        entry = read_entry(self._sent(placed))
        for number, one in enumerate(placed.resource.get("relatesTo", ())):
            self._relate(entry, one, f"{placed.path}.relatesTo[{number}]", placed)
        return entry

    def folder(self, placed: Placed, set_id: str) -> Folder:
        """Return the folder of a List, its members as associations."""
        folder = read_folder(self._sent(placed))
        self._associate(AssociationType.HAS_MEMBER, set_id, folder.entry_uuid, placed.path)
        self._fill(placed, folder.entry_uuid, set_id, frozenset())
        return folder

    def further_members(self, placed: Placed, folder_uuid: str, set_id: str) -> None:
        """Put the documents of a List into a registered folder; nothing leaves it."""
        self._sent(placed)
        self._fill(placed, folder_uuid, set_id, self.registered.members_of(folder_uuid))

    def submission_set(self, placed: Placed, folder_ids: Collection[str]) -> SubmissionSet:
        """Return the submission set of a List, its members as associations."""
        item = read_submission_set(self._sent(placed))
        for path, target in self._members(placed):
            if target not in folder_ids:
                status = "Original" if target in self.places else "Reference"
                self._associate(AssociationType.HAS_MEMBER, item.entry_uuid, target, path, status)
        return item

    def document(self, placed: Placed) -> str | None:
        """Return the base64 of the document that a DocumentReference describes, None without."""
        attachment = placed.resource["content"][0].get("attachment", {})
        path = f"{placed.path}.content[0].attachment"
        if "data" in attachment:
            return base64_text(attachment["data"])
        found = self.references.sent(attachment.get("url", ""))
        if found is None:
            self._refuse(_NO_DOCUMENT, f"{path}.url", attachment.get("url", ""))
            return None
        if found.kind != "Binary":
            issue = _FHIR_DOCUMENT if found.kind == "Bundle" else _NO_DOCUMENT
            self._refuse(issue, f"{path}.url", found.kind)
            return None
        self.binaries[found.path] = self.ids[placed.path]
        return base64_text(found.resource.get("data", "")) or ""

    def _fill(self, placed: Placed, folder_id: str, set_id: str, present: Collection[str]) -> None:
        """A document that joins a folder is a member of the submission too (TF-3 4.2.1.3)."""
        for path, target in self._members(placed):
            if target not in present:
                self._associate(AssociationType.HAS_MEMBER, folder_id, target, path)
                membership = self.associations[-1].entry_uuid
                self._associate(AssociationType.HAS_MEMBER, set_id, membership, path)

    def _sent(self, placed: Placed) -> Sent:
        for name in ("modifierExtension", "implicitRules"):
            if name in placed.resource:
                self._refuse(_NOT_UNDERSTOOD, f"{placed.path}.{name}", "")
        if placed.resource.get("status") != "current":
            came = str(placed.resource.get("status", ""))
            self._refuse(_NOT_CURRENT, f"{placed.path}.status", came)
        resolve = self.references.resolver(placed)
        subject = placed.resource.get("subject")
        patient_id = self.subject_of(subject, resolve) if subject else ""
        if subject and not patient_id:
            self._refuse(_NO_PATIENT, f"{placed.path}.subject", "")
        comprehensive = self.comprehensive or claims_comprehensive(placed.resource)
        return Sent(placed, resolve, self.ids[placed.path], patient_id, comprehensive)

    def _members(self, placed: Placed) -> list[tuple[str, str]]:
        found = []
        for number, one in enumerate(placed.resource.get("entry", ())):
            path = f"{placed.path}.entry[{number}].item"
            target = self._target(one["item"])
            if target:
                found.append((path, target))
            else:
                self._refuse(_NO_TARGET, path, one["item"].get("reference", ""))
        return found

    def _relate(self, entry: DocumentEntry, said: Resource, path: str, placed: Placed) -> None:
        target = self._target(said["target"], registered=True)
        if not target:
            self._refuse(_NO_TARGET, f"{path}.target", said["target"].get("reference", ""))
            return
        self._associate(RELATIONS[said["code"]], self.ids[placed.path], target, path)
        self.places[self.associations[-1].entry_uuid] = Place(path, _RELATION_ELEMENTS)

    def _target(self, reference: Resource, *, registered: bool = False) -> str:
        """Return the id of what a reference means: sent here, or registered; else nothing."""
        text = self.references.relative(reference.get("reference", ""))
        sent = self.references.sent(text)
        if sent is not None and sent.path in self.ids:
            return self.ids[sent.path]
        own = _OWN_ID.fullmatch(text)
        if own:
            return entry_uuid_of(own[2])
        number = reference.get("identifier") or (sent.resource if sent and registered else None)
        return self._registered(number) if number else ""

    def _registered(self, said: Resource) -> str:
        """Return the entryUUID of the registered document that an identifier means."""
        if "resourceType" in said:
            return official_uuid(said) or self._registered(said.get("masterIdentifier", {}))
        value = str(said.get("value", ""))
        if official_uuid({"identifier": [{**said, "use": "official"}]}):
            return value
        unique_id = unique_id_of(said)
        return self.registered.uuid_of(unique_id) if unique_id else ""

    def _associate(
        self, kind: AssociationType, source: str, target: str, path: str, status: str = ""
    ) -> None:
        identity = new_urn_uuid()
        self.places[identity] = Place(path, {})
        self.associations.append(
            XdsAssociation(
                entry_uuid=identity,
                association_type=kind,
                source=source,
                target=target,
                submission_set_status=status,
            )
        )

    def _refuse(self, issue: Issue, where: str, came: str) -> None:
        self.issues.append(issue.at(where, came=shown(came)))
