"""Bring every consumer what it is owed (ITI-53): at least once, in order, each by itself.

What may be told is decided now and not when it was matched. A consumer that fails is left alone for
a while that grows with every failure; what it has not taken after some days is parked.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from access_control.audit import AuditEvent, AuditTrail
from access_control.audit_message import AuditObject, Outcome
from access_control.model import Action, Subject, SubjectKind
from hub_kernel.database import Database
from xds_registry import store_reading as reading
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import DocumentEntry, SubmissionSet
from xds_registry.subscriptions_consumers import (
    Consumers,
    ConsumerUnavailableError,
    host_of,
)
from xds_registry.subscriptions_filters import SUBMISSION_SET
from xds_registry.tables_subscriptions import (
    PARKED,
    PENDING,
    ConsumerRow,
    NotificationRow,
    SubscriptionRow,
)
from xds_registry.transactions.iti53_document_metadata_notify import (
    ACTION,
    Notification,
    notify_envelope,
)

log = logging.getLogger(__name__)

_AT_ONCE = 4
_BATCH = 50
_TURN_S = 20.0
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True)
class DeliveryParts:
    """As BrokerParts of `subscriptions`."""

    database: Database
    audit: AuditTrail
    people: Callable[[], LinkedPeople]
    gate: Callable[[Subject, Action, LinkedPeople], Gate]
    standing: Callable[[str], Subject | None]


@dataclass(frozen=True)
class _Told:
    """One notification as it stands now: the message, if anything may be told, and the records."""

    notification_id: int
    envelope: bytes | None
    records: tuple[AuditEvent, ...]


class Deliveries:
    """Sends what is owed to consumers; what is not taken after `patience` is parked."""

    def __init__(self, parts: DeliveryParts, consumers: Consumers, patience: timedelta) -> None:
        self._parts = parts
        self._consumers = consumers
        self._patience = patience
        self._clock = parts.database.clock

    def send_due(self) -> None:
        """Serve every consumer that is owed something and whose pause is over, some at once."""
        due = self._due()
        if due:
            with ThreadPoolExecutor(min(_AT_ONCE, len(due))) as pool:
                list(pool.map(self._serve, due))

    def retry_parked(self, consumer: str) -> int:
        """Owe again what was parked for the consumer; return how many notifications."""
        now = self._clock.now()
        with self._parts.database.unit_of_work() as work:
            found = work.session.scalars(
                update(NotificationRow)
                .where(NotificationRow.consumer == consumer, NotificationRow.state == PARKED)
                .values(state=PENDING, occurred_at=now, reason="")
                .returning(NotificationRow.notification_id)
            ).all()
            known = work.session.get(ConsumerRow, consumer)
            if known is not None:
                work.session.delete(known)
        return len(found)

    def _due(self) -> Sequence[str]:
        with self._parts.database.read() as session:
            return session.scalars(
                select(NotificationRow.consumer)
                .outerjoin(ConsumerRow, ConsumerRow.address == NotificationRow.consumer)
                .where(NotificationRow.state == PENDING)
                .where(or_(ConsumerRow.due_at.is_(None), ConsumerRow.due_at <= self._clock.now()))
                .distinct()
                .order_by(NotificationRow.consumer)
            ).all()

    def _serve(self, consumer: str) -> None:
        """Send in order until all is sent, one is not taken, or it is time for others."""
        end = time.monotonic() + _TURN_S
        while time.monotonic() < end:
            batch = self._owed(consumer)
            for notification_id in batch:
                if time.monotonic() >= end or not self._deliver(consumer, notification_id):
                    return
            if len(batch) < _BATCH:
                return

    def _owed(self, consumer: str) -> Sequence[int]:
        with self._parts.database.read() as session:
            return session.scalars(
                select(NotificationRow.notification_id)
                .where(NotificationRow.state == PENDING, NotificationRow.consumer == consumer)
                .order_by(NotificationRow.notification_id)
                .limit(_BATCH)
            ).all()

    def _deliver(self, consumer: str, notification_id: int) -> bool:
        """Tell whether the consumer may be sent the next one."""
        with self._parts.database.read() as session:
            told = self._compose(session, notification_id)
        if told is None:
            return True
        if told.envelope is not None:
            try:
                self._consumers.send(consumer, told.envelope, ACTION)
            except ConsumerUnavailableError as error:
                self._postpone(consumer, notification_id, str(error))
                return False
        self._settle(consumer, told)
        return True

    def _compose(self, session: Session, notification_id: int) -> _Told | None:
        """Return what may be told now; None where it is no longer owed."""
        owed = session.get(NotificationRow, notification_id)
        if owed is None or owed.state != PENDING:
            return None
        row = session.get(SubscriptionRow, owed.subscription_id)
        if row is None or row.terminates_at <= self._clock.now():
            return _Told(notification_id, None, ())
        subject = self._parts.standing(row.subscriber_id)
        if subject is None:
            gone = _event(_former(row.subscriber_id), row, "refused", "", "credential has ended")
            return _Told(notification_id, None, (gone,))
        people = self._parts.people()
        gate = self._parts.gate(subject, Action.QUERY_REGISTRY, people)
        items = [item for item in _items(session, row, owed) if _concerns(row, item, people)]
        seen = [item for item in items if gate.sees(item)]
        told_of = _documents(seen)
        records = [
            *(
                replace(_event(subject, row, "success", person, "notified"), objects=told_of)
                for person in gate.allowed
            ),
            *(_event(subject, row, "refused", person, "not notified") for person in gate.refused),
        ]
        if not seen:
            return _Told(notification_id, None, tuple(records))
        told = Notification(
            row.consumer,
            row.reference,
            row.reference.rpartition("/")[0],
            row.topic,
            [_named(item, people) for item in seen],
        )
        envelope = notify_envelope(told, owed.submission_set_uuid)
        return _Told(notification_id, envelope, tuple(records))

    def _settle(self, consumer: str, told: _Told) -> None:
        with self._parts.database.unit_of_work() as work:
            row = work.session.get(NotificationRow, told.notification_id)
            if row is not None:
                work.session.delete(row)
            known = work.session.get(ConsumerRow, consumer) if told.envelope else None
            if known is not None:
                work.session.delete(known)
            work.session.flush()
            for record in told.records:
                self._parts.audit.record(work.session, record)

    def _postpone(self, consumer: str, notification_id: int, reason: str) -> None:
        """Leave the consumer alone for a while, and park what has waited too long for it."""
        now = self._clock.now()
        log.warning("a consumer took no notification", extra={"reason": reason})
        with self._parts.database.unit_of_work() as work:
            session = work.session
            session.execute(
                update(NotificationRow)
                .where(NotificationRow.notification_id == notification_id)
                .values(attempts=NotificationRow.attempts + 1, reason=reason[:200])
            )
            known = session.get(ConsumerRow, consumer)
            if known is None:
                known = ConsumerRow(address=consumer, failures=0, due_at=now)
                session.add(known)
            known.failures += 1
            known.due_at = now + _pause(known.failures)
            late = session.scalars(
                select(NotificationRow)
                .where(NotificationRow.consumer == consumer, NotificationRow.state == PENDING)
                .where(NotificationRow.occurred_at <= now - self._patience)
            ).all()
            for row in late:
                row.state = PARKED
                row.reason = row.reason or reason[:200]
            session.flush()
            self._record_parked(session, late)

    def _record_parked(self, session: Session, late: Sequence[NotificationRow]) -> None:
        for owed in late:
            row = session.get(SubscriptionRow, owed.subscription_id)
            if row is not None:
                subject = self._parts.standing(row.subscriber_id) or _former(row.subscriber_id)
                event = _event(subject, row, "failure", "", f"parked: {owed.reason}")
                self._parts.audit.record(session, event)


def _items(
    session: Session, row: SubscriptionRow, owed: NotificationRow
) -> Sequence[DocumentEntry] | Sequence[SubmissionSet]:
    uuids = json.loads(owed.items)
    if row.topic == SUBMISSION_SET:
        return reading.submission_sets_by_uuid(session, uuids)
    return reading.documents_by_uuid(session, uuids)


def _concerns(
    row: SubscriptionRow, item: DocumentEntry | SubmissionSet, people: LinkedPeople
) -> bool:
    """Tell whether `item` is, today, of the person that the subscription names."""
    if not row.patient_id:
        return True
    person = people.global_id_of(row.patient_id)
    return person is not None and people.person_of(item.linked_identifier) == person


def _named(
    item: DocumentEntry | SubmissionSet, people: LinkedPeople
) -> DocumentEntry | SubmissionSet:
    """Return `item` under the patientId that holds today."""
    return replace(item, patient_id=people.patient_id_of(item))


def _documents(items: Sequence[DocumentEntry | SubmissionSet]) -> tuple[AuditObject, ...]:
    return tuple(
        AuditObject(
            "document" if isinstance(item, DocumentEntry) else "submission_set", item.unique_id
        )
        for item in items
    )


def _former(subscriber_id: str) -> Subject:
    return Subject(SubjectKind.MACHINE, subscriber_id, "a former subscriber")


def _event(
    subject: Subject, row: SubscriptionRow, outcome: Outcome, person: str, detail: str
) -> AuditEvent:
    return AuditEvent(
        Action.QUERY_REGISTRY,
        outcome,
        subject,
        "patient",
        person,
        host_of(row.consumer),
        f"{detail} {row.subscription_id}",
        transaction="ITI-53",
    )


def _pause(failures: int) -> timedelta:
    seconds = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures - 1, 12))
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 (jitter)
