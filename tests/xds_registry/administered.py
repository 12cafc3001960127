"""Metadata updates and removals as an administrator would send them, and what came of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from lxml import etree

from access_control.model import Role
from tests.xds_registry import wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.samples import entry, submission, urn
from tests.xds_registry.submitted import LCM, RIM, request
from xds_registry import store_reading as reading
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    Submission,
    XdsAssociation,
)
from xds_registry.transactions import iti57_update_document_set as iti57
from xds_registry.transactions import iti62_remove_metadata as iti62

APPROVED, DEPRECATED = AvailabilityStatus.APPROVED, AvailabilityStatus.DEPRECATED
Send = Callable[..., etree._Element]


@dataclass
class Desk:
    """One administrator at one hub, and a person of that hub."""

    hub: Hub
    web: Web
    cx: str
    token: str

    def send(self, sent: Submission, action: str = iti57.ACTION, by: str = "") -> list[str]:
        """Send an update; return its error codes, none when it was carried out."""
        return self._codes(wire.envelope(request(sent), action), by)

    def remove(self, *uuids: str, by: str = "") -> list[str]:
        body = etree.Element(f"{{{LCM}}}RemoveObjectsRequest", nsmap={"rim": wire.RIM})
        names = etree.SubElement(body, f"{RIM}ObjectRefList")
        for one in uuids:
            etree.SubElement(names, f"{RIM}ObjectRef", id=one)
        return self._codes(wire.envelope(body, iti62.ACTION), by)

    def _codes(self, message: bytes, by: str) -> list[str]:
        answer = wire.payload(self.web.post(self.web.registry, message, by or self.token))
        codes = wire.errors(answer)
        assert wire.status(answer) == ("Failure" if codes else "Success")
        return codes

    def documents(self) -> dict[tuple[str, int], DocumentEntry]:
        """Return every version of every document, by uniqueId's name and number."""
        with self.hub.database.read() as session:
            return {(one.title, one.version): one for one in reading.documents(session)}

    def folders(self) -> list[Folder]:
        with self.hub.database.read() as session:
            return reading.folders(session)

    def ties(self, *uuids: str) -> set[tuple[str, str, str]]:
        """Return the associations in force at `uuids`: source, target, last word of the type."""
        wanted = reading.Wanted(frozenset(AssociationType), frozenset({APPROVED}))
        with self.hub.database.read() as session:
            found = reading.associations_at(session, uuids, wanted)
            return {(a.source, a.target, a.association_type.rpartition(":")[2]) for a in found}


@pytest.fixture
def desk(hub: Hub, web: Web) -> Desk:
    cx = hub.global_cx(hub.know())
    return Desk(hub, web, cx, hub.token("registrar", None, Role.REGISTRAR))


def named(name: str, cx: str) -> DocumentEntry:
    """Return a document whose title is its name."""
    return entry(name, patient_id=cx, title=name)


def update(
    *items: DocumentEntry | Folder, previous: int = 1, propagates: bool = True, key: str = "update"
) -> Submission:
    """Return the update that brings each of `items` as the version after `previous`."""
    own = submission(
        *(one for one in items if isinstance(one, DocumentEntry)), name=key
    ).submission_set
    own = replace(own, patient_id=items[0].patient_id)
    members = tuple(
        XdsAssociation(
            entry_uuid=urn(f"{key}-{one.entry_uuid}"),
            association_type=AssociationType.HAS_MEMBER,
            source=own.entry_uuid,
            target=one.entry_uuid,
            submission_set_status="Original",
            previous_version=str(previous),
            propagates=propagates,
        )
        for one in items
    )
    return Submission(
        submission_set=own,
        entries=tuple(one for one in items if isinstance(one, DocumentEntry)),
        folders=tuple(one for one in items if isinstance(one, Folder)),
        associations=members,
    )


def after(item: DocumentEntry, **changes: object) -> DocumentEntry:
    """Return the next version of `item` as it is sent: a symbolic id, the lid of the object."""
    logical_id = item.logical_id or item.entry_uuid
    return replace(item, entry_uuid="Next", logical_id=logical_id, **changes)  # type: ignore[arg-type]


def trigger(cx: str, kind: AssociationType, target: str, **more: str) -> Submission:
    """Return an update of one association from its submission set to `target`."""
    own = replace(submission(name=f"{kind}-{target}").submission_set, patient_id=cx)
    tie = XdsAssociation(
        entry_uuid="Trigger",
        association_type=kind,
        source=own.entry_uuid,
        target=target,
        **more,  # type: ignore[arg-type]
    )
    return Submission(submission_set=own, associations=(tie,))


def status_change(
    cx: str, target: str, original: AvailabilityStatus, new: AvailabilityStatus
) -> Submission:
    kind = AssociationType.UPDATES_AVAILABILITY
    return trigger(cx, kind, target, original_status=original, new_status=new)


def with_tie(cx: str, tie: XdsAssociation) -> Submission:
    """Return the update that submits `tie`."""
    sent = trigger(cx, AssociationType.SUBMITS_ASSOCIATION, tie.entry_uuid)
    return replace(sent, associations=(*sent.associations, tie))
