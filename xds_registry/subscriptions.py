"""The notification broker (DSUB): takes subscriptions and finds what they match (ITI-52).

Whoever is authenticated may subscribe to anybody, known or not, so that nobody learns from the
answer whom the region knows. Whether a subscriber may be told of a person is decided when there is
something to tell, by the rights and refusals of that moment (`subscriptions_delivery`).
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from access_control.audit import AuditTrail
from access_control.model import Action, Subject
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError
from hub_kernel.events import DocumentsRegistered
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier, parse_cx
from hub_kernel.outbox import Subscriber
from xds_registry import store_reading as reading
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople
from xds_registry.subscriptions_consumers import Consumers, NotificationSettings
from xds_registry.subscriptions_delivery import Deliveries, DeliveryParts
from xds_registry.subscriptions_faults import (
    NotificationFaultError,
    creation_failed,
    invalid_filter,
    unacceptable_time,
)
from xds_registry.subscriptions_filters import Filter, Item, matcher, read_slots
from xds_registry.subscriptions_times import moment_of
from xds_registry.subscriptions_waiting import WaitingConsumer, waiting_consumers
from xds_registry.tables_subscriptions import ConsumerRow, NotificationRow, SubscriptionRow
from xds_registry.transacting import Answer, AuditFact, Call, EndpointName, Transaction
from xds_registry.transactions import iti52_document_metadata_subscribe as iti52

SUBSCRIPTIONS = EndpointName(
    "/xds/subscriptions", "subscriptions.wsdl", Action.QUERY_REGISTRY, "patient"
)


@dataclass(frozen=True)
class BrokerParts:
    """What the broker stands on.

    `people` and `gate` are made anew for every question: both remember what they looked up.
    `standing` says who a subscriber is today, None once that right has ended.
    """

    database: Database
    audit: AuditTrail
    people: Callable[[], LinkedPeople]
    gate: Callable[[Subject, Action, LinkedPeople], Gate]
    standing: Callable[[str], Subject | None]


class NotificationBroker:
    """Keeps subscriptions, and owes each consumer what its subscriptions match."""

    def __init__(self, parts: BrokerParts, settings: NotificationSettings) -> None:
        """Wire the broker.

        Raises:
            ConfigurationError: an allowed consumer is no address of HTTP.
        """
        self._parts = parts
        self._settings = settings
        self._clock = parts.database.clock
        self._consumers = Consumers(settings)
        self._deliveries = Deliveries(
            DeliveryParts(parts.database, parts.audit, parts.people, parts.gate, parts.standing),
            self._consumers,
            timedelta(days=settings.parked_after_days),
        )

    def transactions(self) -> list[Transaction]:
        """Return the rows of the endpoint's route table."""
        return [
            Transaction(
                iti52.SUBSCRIBE_TAG,
                iti52.SUBSCRIBE_ACTION,
                iti52.SUBSCRIBE_ANSWER_ACTION,
                self._subscribe,
                writes=True,
                code="ITI-52",
            ),
            Transaction(
                iti52.UNSUBSCRIBE_TAG,
                iti52.UNSUBSCRIBE_ACTION,
                iti52.UNSUBSCRIBE_ANSWER_ACTION,
                self._unsubscribe,
                writes=True,
                code="ITI-52",
            ),
        ]

    def subscribers(self) -> list[Subscriber]:
        """Return what the task engine has to deliver here."""
        return [Subscriber("xds_registry.subscriptions", DocumentsRegistered, self.match)]

    def notify(self) -> None:
        """Send what is due, to every consumer that is not being left alone for now (ITI-53)."""
        self._deliveries.send_due()

    def retry_parked(self, consumer: str) -> int:
        """Try again what was parked for the consumer at this address; return how many."""
        return self._deliveries.retry_parked(consumer)

    def waiting(self) -> list[WaitingConsumer]:
        """Return every consumer that is owed something, those with parked notifications first."""
        with self._parts.database.read() as session:
            return waiting_consumers(session)

    def purge(self) -> int:
        """Forget subscriptions that have ended, and what was still owed; return how many ended."""
        with self._parts.database.unit_of_work() as work:
            session = work.session
            ended = session.scalars(
                select(SubscriptionRow.subscription_id)
                .where(SubscriptionRow.terminates_at <= self._clock.now())
                .limit(500)
            ).all()
            _forget(session, ended)
            owed = select(NotificationRow.consumer)
            session.execute(delete(ConsumerRow).where(ConsumerRow.address.not_in(owed)))
        return len(ended)

    def match(self, registered: DocumentsRegistered) -> None:
        """Owe a notification to every subscription that the submission matches, once each."""
        with self._parts.database.read() as session:
            found = list(self._matches(session, registered))
        if not found:
            return
        with self._parts.database.unit_of_work() as work:
            session = work.session
            ids = [match.subscription_id for match in found]
            alive = select(SubscriptionRow.subscription_id).where(
                SubscriptionRow.subscription_id.in_(ids)
            )
            owed = select(NotificationRow.subscription_id).where(
                NotificationRow.submission_set_uuid == registered.submission_set_uuid
            )
            wanted = set(session.scalars(alive)) - set(session.scalars(owed))
            session.add_all(
                NotificationRow(
                    subscription_id=match.subscription_id,
                    submission_set_uuid=registered.submission_set_uuid,
                    consumer=match.consumer,
                    items=json.dumps(match.items),
                    occurred_at=registered.occurred_at,
                )
                for match in found
                if match.subscription_id in wanted
            )

    def _subscribe(self, call: Call) -> Answer:
        now = self._clock.now()
        wanted = iti52.read_subscribe(call.body, now)
        if self._parts.standing(call.subject.subject_id) is None:
            raise creation_failed(
                "subscribe with a credential that lasts: a token or a client certificate",
                "请使用长期有效的凭证（令牌或客户端证书）进行订阅",
                now,
            )
        if not self._consumers.allows(wanted.consumer):
            raise creation_failed(
                "this consumer is not among those the region notifies",
                "该接收方不在本区域允许通知的名单内",
                now,
            )
        patient_id = _named(wanted.filter.patient_id, now)
        ends = self._end(wanted.ends, now)
        self._require_room(call, now)
        subscription_id = str(uuid.uuid4())
        reference = f"{call.endpoint}/{subscription_id}"
        call.session.add(
            SubscriptionRow(
                subscription_id=subscription_id,
                subscriber_id=call.subject.subject_id,
                consumer=wanted.consumer,
                reference=reference,
                topic=wanted.filter.topic,
                query_id=wanted.filter.query_id,
                patient_id=patient_id,
                filters=wanted.filter.text(),
                created_at=now,
                terminates_at=ends,
            )
        )
        call.session.flush()
        person = self._parts.people().global_id_of(patient_id) if patient_id else None
        detail = f"subscribe {subscription_id} {wanted.filter.topic}"
        fact = AuditFact("success", person or "", detail)
        return Answer(iti52.subscribed(reference, now, ends), (fact,))

    def _unsubscribe(self, call: Call) -> Answer:
        """Ending another's subscription and one that never was are refused in the same words."""
        subscription_id = call.path.strip("/")
        row = call.session.get(SubscriptionRow, subscription_id)
        if row is None or row.subscriber_id != call.subject.subject_id:
            raise NotificationFaultError(
                "UnableToDestroySubscriptionFault",
                ("you have no subscription at this address", "该地址没有您的订阅"),
                self._clock.now(),
            )
        _forget(call.session, [subscription_id])
        fact = AuditFact("success", "", f"unsubscribe {subscription_id}")
        return Answer(iti52.unsubscribed(), (fact,))

    def _end(self, text: str, now: datetime) -> datetime:
        latest = now + timedelta(days=self._settings.longest_days)
        if not text:
            return latest
        ends = moment_of(text, now)
        if ends is None or not now < ends <= latest:
            raise unacceptable_time(
                f"a subscription ends after now and within {self._settings.longest_days} days",
                f"订阅的终止时间必须晚于当前时间且不超过 {self._settings.longest_days} 天",
                now,
                latest,
            )
        return ends

    def _require_room(self, call: Call, now: datetime) -> None:
        most = self._settings.most_per_subscriber
        have = call.session.scalar(
            select(func.count())
            .select_from(SubscriptionRow)
            .where(SubscriptionRow.subscriber_id == call.subject.subject_id)
            .where(SubscriptionRow.terminates_at > now)
        )
        if (have or 0) >= most:
            raise creation_failed(
                f"one subscriber has at most {most} subscriptions; end one first",
                f"每个订阅方最多 {most} 个订阅，请先取消一个",
                now,
            )

    def _matches(self, session: Session, registered: DocumentsRegistered) -> Iterator["_Match"]:
        """Yield the subscriptions of that time with the entryUUIDs that each matches."""
        if not _any_subscription(session, registered.occurred_at, self._clock.now()):
            return
        items: list[Item] = [
            *reading.documents_by_uuid(session, registered.entry_uuids),
            *reading.submission_sets_by_uuid(session, [registered.submission_set_uuid]),
        ]
        people = self._parts.people()
        owners = {item.entry_uuid: people.person_of(item.linked_identifier) for item in items}
        names = {""}.union(*(people.linked_to(one) for one in set(owners.values()) if one))
        for row in _subscriptions(session, registered.occurred_at, self._clock.now(), names):
            test = matcher(Filter(row.topic, row.query_id, read_slots(row.filters)))
            person = people.global_id_of(row.patient_id) if row.patient_id else None
            hits = [
                item.entry_uuid
                for item in items
                if (not row.patient_id or (person and owners[item.entry_uuid] == person))
                and test(item)
            ]
            if hits:
                yield _Match(row.subscription_id, row.consumer, hits)


@dataclass(frozen=True)
class _Match:
    """One subscription, and the entryUUIDs of what it is about."""

    subscription_id: str
    consumer: str
    items: list[str]


def _named(patient_id: str, now: datetime) -> str:
    """Return the CX as the registry writes it; empty stays empty."""
    if not patient_id:
        return ""
    try:
        value, oid = parse_cx(patient_id)
    except InvalidValueError as error:
        raise invalid_filter(
            "the patientId must be written as value^^^&OID&ISO",
            "患者标识须写作 value^^^&OID&ISO",
            now,
        ) from error
    return PatientIdentifier(value, AssigningAuthority(oid, oid)).cx


def _any_subscription(session: Session, then: datetime, now: datetime) -> bool:
    found = (
        select(SubscriptionRow.subscription_id)
        .where(SubscriptionRow.created_at <= then, SubscriptionRow.terminates_at > now)
        .limit(1)
    )
    return session.scalar(found) is not None


def _subscriptions(
    session: Session, then: datetime, now: datetime, names: Collection[str]
) -> Sequence[SubscriptionRow]:
    return session.scalars(
        select(SubscriptionRow)
        .where(SubscriptionRow.created_at <= then, SubscriptionRow.terminates_at > now)
        .where(SubscriptionRow.patient_id.in_(names))
    ).all()


def _forget(session: Session, subscription_ids: Collection[str]) -> None:
    for table in (NotificationRow, SubscriptionRow):
        session.execute(delete(table).where(table.subscription_id.in_(subscription_ids)))
