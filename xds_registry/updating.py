"""Carry out metadata updates: new versions, states, associations (ITI TF-2 3.57 and RMU 3.92).

Nothing registered is lost: a version stays when the next one follows it, and only its availability
changes. A submission is carried out whole or not at all, in the caller's transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from hub_kernel.clock import Clock
from hub_kernel.identifiers import new_urn_uuid
from xds_registry import store, store_updating
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.ebrim_reading import Reading
from xds_registry.errors import ErrorCode, XdsRefusalError, XdsRefusalsError
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    Folder,
    Submission,
    SubmissionSet,
    XdsAssociation,
    dtm,
)
from xds_registry.store_codes import index_codes
from xds_registry.store_replacing import follow_up, touch_folders
from xds_registry.store_rows import add, association_row, folder_row, submission_set_row
from xds_registry.tables import FolderRow, SubmissionSetRow, XdsAssociationRow
from xds_registry.update_checks import UpdateChecks
from xds_registry.update_operations import NewVersion, Operations, operations_of
from xds_registry.update_plan import Plan, Versions
from xds_registry.validation_structure import objects_of
from xds_registry.validation_syntax import is_uuid

IsDerived = Callable[[Session, str], bool]
"""Tells whether the hub itself wrote the document of this uniqueId and keeps it in step."""


@dataclass(frozen=True)
class Updated:
    """What an update did, for the audit record.

    `entry_uuids` are the new versions of documents that are in force.
    """

    submission_set: SubmissionSet
    versions: int
    changes: int
    additions: int
    entry_uuids: tuple[str, ...] = ()


class Updater:
    """Carries out the updates of one request; `restricted` is ITI-92, else ITI-57."""

    def __init__(
        self,
        domain: AffinityDomain,
        people: LinkedPeople,
        gate: Gate,
        clock: Clock,
        is_derived: IsDerived,
    ) -> None:
        self._domain = domain
        self._people = people
        self._clock = clock
        self._checks = UpdateChecks(people, gate, is_derived)

    def update(self, session: Session, reading: Reading, *, restricted: bool = False) -> Updated:
        """Check and carry out everything in `reading`.

        Raises:
            XdsRefusalsError: everything that is wrong; nothing of it may then be committed.
        """
        operations, refusals = operations_of(reading)
        submission = reading.submission
        refusals += self._checks.of_message(submission, self._domain.lists)
        refusals += self._checks.of_set(session, submission.submission_set)
        versions: Versions = {}
        for version in operations.versions:
            before = store_updating.latest_version(session, version.item)
            refusals += self._checks.of_version(session, version, before, restricted=restricted)
            if before is not None:
                versions[version.item.entry_uuid] = before
        if restricted:
            refusals += self._checks.of_restriction(operations)
        if refusals:
            raise XdsRefusalsError(refusals)
        plan = self._plan(submission, operations, versions, restricted=restricted)
        refusals = [*self._change_states(session, plan), *self._checks.of_additions(session, plan)]
        if refusals:
            raise XdsRefusalsError(refusals)
        self._register(session, plan)
        counts = (len(operations.versions), len(operations.changes), len(operations.additions))
        return Updated(plan.submission_set, *counts, _in_force(plan))

    def _plan(
        self,
        submission: Submission,
        operations: Operations,
        versions: Versions,
        *,
        restricted: bool,
    ) -> Plan:
        """Give every object its id and every new version its number, owner and state."""
        ids = {
            item.entry_uuid: item.entry_uuid if is_uuid(item.entry_uuid) else new_urn_uuid()
            for item in objects_of(submission)
        }
        followers = {
            one.item.entry_uuid: self._follower(one, versions[one.item.entry_uuid], ids)
            for one in operations.versions
        }
        if restricted:
            followers = {
                key: replace(item, status=versions[key].status) for key, item in followers.items()
            }
        first = next(iter(followers.values()), None)
        own = submission.submission_set
        linked = first.linked_identifier if first else own.patient_id
        return Plan(
            replace(
                own,
                entry_uuid=ids[own.entry_uuid],
                linked_identifier=linked,
                status=AvailabilityStatus.APPROVED,
            ),
            operations,
            versions,
            followers,
            tuple(_renamed(one, ids) for one in submission.associations),
            ids,
        )

    def _follower(
        self, version: NewVersion, before: DocumentEntry | Folder, ids: Mapping[str, str]
    ) -> DocumentEntry | Folder:
        item, number = version.item, before.version + 1
        entry_uuid, status = ids[item.entry_uuid], AvailabilityStatus.APPROVED
        if isinstance(item, Folder):
            return replace(
                item,
                entry_uuid=entry_uuid,
                linked_identifier=item.patient_id,
                last_update_time=dtm(self._clock.now()),
                version=number,
                status=status,
            )
        return replace(
            item,
            entry_uuid=entry_uuid,
            linked_identifier=self._people.linked_identifier(
                item.patient_id, item.source_patient_id
            ),
            version=number,
            status=status,
        )

    def _change_states(self, session: Session, plan: Plan) -> list[XdsRefusalError]:
        """Deprecate what is followed, then change the states asked for; return what is refused."""
        refusals: list[XdsRefusalError] = []
        for before in plan.versions.values():
            store_updating.set_status(session, before, AvailabilityStatus.DEPRECATED)
        for change in plan.operations.changes:
            follower = plan.followers.get(change.target)
            if follower is not None:
                if follower.status != change.original:
                    refusals.append(XdsRefusalError(ErrorCode.METADATA_UPDATE, change.target))
                plan.followers[change.target] = replace(follower, status=change.new)
                continue
            target = store_updating.registered(session, change.target)
            refusals += self._checks.of_change(session, change, target, plan.submission_set)
            if isinstance(target, DocumentEntry | Folder | XdsAssociation):
                store_updating.set_status(session, target, change.new)
        return refusals

    def _register(self, session: Session, plan: Plan) -> None:
        carried = self._propagated(session, plan)
        refusals = self._checks.of_ends(session, [*plan.added(), *carried], plan.followers)
        if refusals:
            raise XdsRefusalsError(refusals)
        followers = tuple(plan.followers.values())
        entries = [one for one in followers if isinstance(one, DocumentEntry)]
        folders = [one for one in followers if isinstance(one, Folder)]
        add(session, SubmissionSetRow, [submission_set_row(plan.submission_set)])
        store.insert_entries(session, entries)
        add(session, FolderRow, map(folder_row, folders))
        add(session, XdsAssociationRow, map(association_row, (*plan.associations, *carried)))
        index_codes(session, followers)
        now = dtm(self._clock.now())
        additions = Submission(submission_set=plan.submission_set, associations=tuple(plan.added()))
        follow_up(session, additions, now)
        members = {
            one.source for one in carried if one.association_type is AssociationType.HAS_MEMBER
        }
        touch_folders(session, members, now)

    def _propagated(self, session: Session, plan: Plan) -> list[XdsAssociation]:
        """Return the associations that new versions take over from those they follow.

        One whose other end is no longer in force is history and stays with the former version.
        """
        heirs = {
            plan.versions[one.item.entry_uuid].entry_uuid: plan.ids[one.item.entry_uuid]
            for one in plan.operations.versions
            if one.propagates
        }
        followed = {one.entry_uuid for one in plan.versions.values()}
        ties = [
            (one, heirs.get(one.source, one.source), heirs.get(one.target, one.target))
            for one in store_updating.standing(session, heirs)
        ]
        ends = {end for one, _, _ in ties for end in (one.source, one.target)} - followed
        gone = followed | self._checks.superseded(session, ends)
        return [
            replace(one, entry_uuid=new_urn_uuid(), source=source, target=target)
            for one, source, target in ties
            if not {source, target} & gone
        ]


def _in_force(plan: Plan) -> tuple[str, ...]:
    return tuple(
        item.entry_uuid
        for item in plan.followers.values()
        if isinstance(item, DocumentEntry) and item.status == AvailabilityStatus.APPROVED
    )


def _renamed(item: XdsAssociation, ids: Mapping[str, str]) -> XdsAssociation:
    return replace(
        item,
        entry_uuid=ids[item.entry_uuid],
        source=ids.get(item.source, item.source),
        target=ids.get(item.target, item.target),
        status=AvailabilityStatus.APPROVED,
    )
