"""Put into the ledger what the rules promise: once for every archived instance, and again by hand.

The subscriber is idempotent: a second delivery of an event finds its rows and changes nothing.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pydicom import Dataset
from sqlalchemy import select, update

from dicom_router.forwarding.ledger import Ledger
from dicom_router.forwarding.model import Promise, State
from dicom_router.forwarding.tables import ITEM
from dicom_router.routing.deciding import asked_tags, decide
from dicom_router.routing.facts import facts_of
from dicom_router.routing.model import Decision, Delivery, Priority, Routed, Rule
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.events import InstanceArchived
from hub_kernel.outbox import Subscriber
from image_archive.errors import ArchiveError
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceRecord
from image_archive.service import ArchiveService
from image_archive.tables import STUDY

log = logging.getLogger(__name__)

BY_HAND = "by hand"
# There is no last try: an instance that is archived must come into the ledger.
_ATTEMPTS = 1_000_000

Waker = Callable[[Iterable[str]], None]


@dataclass(frozen=True)
class EnqueuingParts:
    """What promises are made of; `wake` is told which destinations have something new."""

    database: Database
    archive: ArchiveService
    index: ArchiveIndex
    ledger: Ledger
    zone: ZoneInfo
    wake: Waker


class Enqueuing:
    """Makes ledger rows of rules and instances."""

    def __init__(self, rules: Sequence[Rule], parts: EnqueuingParts) -> None:
        self._rules = rules
        self._tags = asked_tags(rules)
        self._parts = parts

    def subscriber(self) -> Subscriber:
        """Return the reaction to an archived instance."""
        return Subscriber(
            "forwarding", InstanceArchived, self.handle, attempts=_ATTEMPTS, queue="forwarding"
        )

    def handle(self, event: InstanceArchived) -> None:
        """Owe the instance to every destination the rules name."""
        instance = self._parts.index.instance(event.sop_instance_uid)
        if instance is not None:
            self._owe(instance, event.site_id, event.occurred_at)

    def owe_study(self, study_instance_uid: str) -> int:
        """Apply the rules of today to a study and owe what is missing; return how many rows.

        Raises:
            NotFoundError: the archive has no such study.
        """
        site_id = self._site_of(study_instance_uid)
        instances = self._parts.index.instances_of(study_instance_uid)
        return sum(self._owe(one, site_id, one.received_at) for one in instances)

    def missing(self, progress: Callable[[int, int], None], *, repair: bool) -> int:
        """Return how many deliveries the rules of today promise and the ledger does not know.

        With `repair` they are owed from now on. `progress` is called with (studies done, in all).
        """
        with self._parts.database.read() as session:
            studies = session.scalars(select(STUDY.c.study_instance_uid).order_by(STUDY.c.id)).all()
        missing = 0
        for number, study_instance_uid in enumerate(studies, start=1):
            if repair:
                missing += self.owe_study(study_instance_uid)
            else:
                missing += self._unknown(study_instance_uid)
            progress(number, len(studies))
        return missing

    def send_again(self, study_instance_uid: str, destination: str) -> int:
        """Owe a whole study to a destination again, whatever the rules or the ledger say.

        Returns how many instances. Raises NotFoundError: the archive has no such study.
        """
        site_id = self._site_of(study_instance_uid)
        by_hand = Routed(BY_HAND, Delivery(destination, priority=Priority.HIGH))
        instances = self._parts.index.instances_of(study_instance_uid)
        with self._parts.database.unit_of_work() as work:
            work.session.execute(
                update(ITEM)
                .where(ITEM.c.study_instance_uid == study_instance_uid)
                .where(ITEM.c.destination == destination, ITEM.c.state != State.LEASED)
                .values(
                    state=State.QUEUED,
                    due_at=work.clock.now(),
                    settled_at=None,
                    transaction_uid="",
                    asked_at=None,
                )
            )
            self._parts.ledger.promise(
                work.session,
                [_promise(one, site_id, by_hand, emergency=False) for one in instances],
            )
        self._parts.wake([destination])
        return len(instances)

    def decision(self, dataset: Dataset, site_id: str, archived_at: datetime) -> Decision:
        """Return what the rules make of a dataset, without promising anything."""
        local = archived_at.astimezone(self._parts.zone)
        return decide(self._rules, facts_of(dataset, site_id, local, self._tags))

    def _owe(self, instance: InstanceRecord, site_id: str, archived_at: datetime) -> int:
        promises = list(self._promises(instance, site_id, archived_at))
        if not promises:
            return 0
        with self._parts.database.unit_of_work() as work:
            added = self._parts.ledger.promise(work.session, promises)
        if added:
            self._parts.wake({promise.destination for promise in promises})
        return len(added)

    def _unknown(self, study_instance_uid: str) -> int:
        site_id = self._site_of(study_instance_uid)
        known = {
            (item.sop_instance_uid, item.destination): item.dataset_sha256
            for item in self._parts.ledger.items_of(study_instance_uid)
        }
        return sum(
            known.get((promise.sop_instance_uid, promise.destination)) != promise.dataset_sha256
            for one in self._parts.index.instances_of(study_instance_uid)
            for promise in self._promises(one, site_id, one.received_at)
        )

    def _promises(
        self, instance: InstanceRecord, site_id: str, archived_at: datetime
    ) -> Iterator[Promise]:
        if not self._rules:
            return
        facts = facts_of(
            self._dataset(instance), site_id, archived_at.astimezone(self._parts.zone), self._tags
        )
        for routed in decide(self._rules, facts).routed:
            yield _promise(instance, site_id, routed, emergency=facts.emergency)

    def _dataset(self, instance: InstanceRecord) -> Dataset:
        """Return the header of an instance; where it cannot be read, what the index knows."""
        uid = instance.sop_instance_uid
        try:
            return self._parts.archive.read_dataset(uid, stop_before_pixels=True)
        except (ArchiveError, NotFoundError):
            log.warning("routed by the index alone: the instance cannot be read")
            series = {
                one.series_instance_uid: one
                for one in self._parts.index.series_of(instance.study_instance_uid)
            }[instance.series_instance_uid]
            known = Dataset()
            known.SOPClassUID = instance.sop_class_uid
            known.Modality = series.modality
            known.BodyPartExamined = series.body_part_examined
            return known

    def _site_of(self, study_instance_uid: str) -> str:
        study = self._parts.index.study(study_instance_uid)
        if study is None:
            raise NotFoundError("the archive has no such study")
        return study.site_id


def _promise(instance: InstanceRecord, site_id: str, routed: Routed, *, emergency: bool) -> Promise:
    """Return the row of one delivery; what an order calls urgent leaves first and never waits."""
    delivery = routed.delivery
    urgent = emergency or delivery.priority is Priority.EMERGENCY
    return Promise(
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        study_instance_uid=instance.study_instance_uid,
        site_id=site_id,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        dataset_sha256=instance.dataset_sha256,
        dataset_bytes=instance.dataset_bytes,
        destination=delivery.destination,
        rule=routed.rule,
        wanted_syntax=delivery.transfer,
        priority=Priority.EMERGENCY if urgent else delivery.priority,
        schedule="" if urgent or delivery.during is None else str(delivery.during),
    )
