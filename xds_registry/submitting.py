"""Take a submission in: check all of it, give its objects their ids, register it (ITI-42).

ITI TF-2 3.42.4.1.3. The one way in for every transaction that submits, whatever form its metadata
came in. One `Submitter` serves one request, inside the unit of work that registers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from sqlalchemy.orm import Session

from hub_kernel.clock import Clock
from hub_kernel.events import Event
from hub_kernel.identifiers import new_urn_uuid
from xds_registry import store
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.ebrim_names import place_of
from xds_registry.ebrim_reading import Reading
from xds_registry.errors import ErrorCode, MetadataRefusalError, XdsRefusalsError
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
from xds_registry.store_checks import against_registered
from xds_registry.subscriptions_events import documents_registered
from xds_registry.validation import metadata_refusals
from xds_registry.validation_structure import (
    REGISTER,
    Profile,
    described,
    members_of_set,
    objects_of,
)
from xds_registry.validation_syntax import is_uuid

Publish = Callable[[Event], object]
"""Says that an event becomes true with the transaction under way."""


class Submitter:
    """Checks and registers the submissions of one request."""

    def __init__(
        self,
        domain: AffinityDomain,
        people: LinkedPeople,
        gate: Gate,
        clock: Clock,
        publish: Publish | None = None,
    ) -> None:
        """`publish` is told, in the same transaction, what was registered."""
        self._domain = domain
        self._people = people
        self._gate = gate
        self._clock = clock
        self._publish = publish
        self._occurrences: Mapping[str, int] | None = None

    def prepare(
        self, session: Session, sent: Reading | Submission, profile: Profile = REGISTER
    ) -> Submission:
        """Return `sent` as it will be registered: ids assigned, states set, people linked.

        Raises:
            XdsRefusalsError: every rule that it breaks, of the metadata and of the registry.
        """
        reading = sent if isinstance(sent, Reading) else Reading(sent)
        submission = reading.submission
        refusals: list[MetadataRefusalError] = metadata_refusals(
            submission, self._domain.lists, profile, reading.faults
        )
        refusals += self._unknown_patients(submission)
        judge = _LinkedJudge(self._people, self._gate)
        checked = against_registered(session, submission, judge)
        self._occurrences = checked.occurrences
        refusals += _news(checked.refusals, refusals)
        if refusals:
            raise XdsRefusalsError(refusals)
        return self._completed(submission)

    def register(self, session: Session, submission: Submission) -> None:
        """Register what `prepare` returned in the same transaction."""
        moment = dtm(self._clock.now())
        store.insert(session, submission, moment=moment, occurrences=self._occurrences)
        if self._publish is not None:
            self._publish(documents_registered(submission, self._clock))

    def _unknown_patients(self, submission: Submission) -> list[MetadataRefusalError]:
        """Return a refusal for each patientId that names nobody the submitter may submit for.

        Nobody learns from it whether the patient is known elsewhere.
        """
        refusals = []
        seen: set[str] = set()
        for item in described(submission):
            if not item.patient_id or item.patient_id in seen:
                continue
            seen.add(item.patient_id)
            person = self._people.global_id_of(item.patient_id)
            if person is None or not self._gate.sees_person(person):
                place = place_of(type(item), item.entry_uuid, "patient_id")
                refusal = MetadataRefusalError(
                    ErrorCode.UNKNOWN_PATIENT_ID, place, came=item.patient_id
                )
                refusals.append(refusal.about(item.entry_uuid, "patient_id"))
        return refusals

    def _completed(self, submission: Submission) -> Submission:
        ids = {
            item.entry_uuid: item.entry_uuid if is_uuid(item.entry_uuid) else new_urn_uuid()
            for item in objects_of(submission)
        }
        entries = tuple(self._entry(entry, ids) for entry in submission.entries)
        submission_set = submission.submission_set
        linked = entries[0].linked_identifier if entries else submission_set.patient_id
        return Submission(
            submission_set=replace(
                submission_set,
                entry_uuid=ids[submission_set.entry_uuid],
                linked_identifier=linked,
                status=AvailabilityStatus.APPROVED,
            ),
            entries=entries,
            folders=tuple(self._folder(one, ids, linked) for one in submission.folders),
            associations=(
                *(_association(one, ids) for one in submission.associations),
                *_left_out(submission, ids),
            ),
        )

    def _entry(self, entry: DocumentEntry, ids: dict[str, str]) -> DocumentEntry:
        return replace(
            entry,
            entry_uuid=ids[entry.entry_uuid],
            linked_identifier=self._people.linked_identifier(
                entry.patient_id, entry.source_patient_id
            ),
            logical_id="",
            version=1,
            status=AvailabilityStatus.APPROVED,
        )

    def _folder(self, folder: Folder, ids: dict[str, str], linked: str) -> Folder:
        return replace(
            folder,
            entry_uuid=ids[folder.entry_uuid],
            linked_identifier=linked,
            last_update_time=dtm(self._clock.now()),
            logical_id="",
            version=1,
            status=AvailabilityStatus.APPROVED,
        )


class _LinkedJudge:
    """Judges by the people that identifiers are linked to today, and by what may be seen."""

    def __init__(self, people: LinkedPeople, gate: Gate) -> None:
        self._people = people
        self._gate = gate

    def same_person(self, item: DocumentEntry | Folder, submission_set: SubmissionSet) -> bool:
        """Tell whether both are of one person now; of the unlinked, whether patientId agrees."""
        person = self._people.person_of(item.linked_identifier)
        if person is None:
            return item.patient_id == submission_set.patient_id
        return person == self._people.global_id_of(submission_set.patient_id)

    def sees(self, item: DocumentEntry | Folder) -> bool:
        """Tell whether the submitter may submit for the person of `item`."""
        return self._gate.sees(item)


def _association(item: XdsAssociation, ids: dict[str, str]) -> XdsAssociation:
    return replace(
        item,
        entry_uuid=ids[item.entry_uuid],
        source=ids.get(item.source, item.source),
        target=ids.get(item.target, item.target),
        status=AvailabilityStatus.APPROVED,
    )


def _left_out(submission: Submission, ids: dict[str, str]) -> Iterator[XdsAssociation]:
    """Yield the memberships of folders that sources leave out though the profile has them."""
    members = members_of_set(submission)
    for folder in submission.folders:
        if folder.entry_uuid not in members:
            yield XdsAssociation(
                entry_uuid=new_urn_uuid(),
                association_type=AssociationType.HAS_MEMBER,
                source=ids[submission.submission_set.entry_uuid],
                target=ids[folder.entry_uuid],
            )


def _news(
    found: list[MetadataRefusalError], known: list[MetadataRefusalError]
) -> list[MetadataRefusalError]:
    """Return what does not only repeat, about one attribute, what is refused already."""
    about = {(one.object_id, one.attribute) for one in known}
    return [one for one in found if (one.object_id, one.attribute) not in about]
