import threading

import pytest
from sqlalchemy import Connection, event, func, select, update

from hub_kernel.database import Database
from hub_kernel.events import Event, StudyCompleted, StudyRegistered, new_event
from hub_kernel.outbox import LEASE_S, Claim, Outbox, OutboxDelivery, OutboxEvent, Subscriber
from hub_kernel.outbox_desk import Owed, owed, retry_parked
from hub_kernel.tasks import ThreadTaskEngine, deliver_all_due
from tests.support.clock import FixedClock


@pytest.fixture
def handled() -> list[Event]:
    return []


@pytest.fixture
def outbox(handled: list[Event]) -> Outbox:
    return Outbox([Subscriber("collect", StudyCompleted, handled.append)])


@pytest.fixture
def hub(database: Database, outbox: Outbox) -> Database:
    database._outbox = outbox
    return database


def _completed(clock: FixedClock, uid: str = "1.2.3") -> StudyCompleted:
    return new_event(StudyCompleted, clock, study_instance_uid=uid, site_id="s", generation=1)


def _publish(database: Database, occurred: Event) -> None:
    with database.unit_of_work() as work:
        work.publish(occurred)


def _count(database: Database, table: type[OutboxDelivery] | type[OutboxEvent]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_published_event_reaches_its_subscriber_once_and_is_forgotten(
    hub: Database, outbox: Outbox, handled: list[Event], clock: FixedClock
) -> None:
    occurred = _completed(clock)
    _publish(hub, occurred)
    assert deliver_all_due(hub, outbox) == 1
    assert handled == [occurred]
    assert deliver_all_due(hub, outbox) == 0
    assert outbox.purge(hub) == 1
    assert _count(hub, OutboxEvent) == 0


def test_a_subscriber_is_told_its_news_alone(database: Database, clock: FixedClock) -> None:
    everything: list[Event] = []
    told: list[str] = []
    outbox = Outbox(
        [
            Subscriber("everything", StudyCompleted, everything.append),
            Subscriber(
                "curious",
                StudyCompleted,
                lambda one: told.append(one.study_instance_uid),
                news=lambda many: [one for one in many if one.study_instance_uid == "1.2"],
            ),
        ]
    )
    database._outbox = outbox
    with database.unit_of_work() as work:
        work.publish_all([_completed(clock, uid) for uid in ("1.1", "1.2", "1.3")])
    assert deliver_all_due(database, outbox) == 3 + 1
    assert (len(everything), told) == (3, ["1.2"])


def test_what_is_news_to_nobody_is_not_written_and_wakes_nobody(
    database: Database, clock: FixedClock
) -> None:
    woken: list[frozenset[type[Event]]] = []
    database._outbox = Outbox([Subscriber("deaf", StudyCompleted, print, news=lambda _many: [])])
    database.on_published = woken.append
    _publish(database, _completed(clock))
    assert _count(database, OutboxEvent) == _count(database, OutboxDelivery) == 0
    assert woken == []


def test_what_a_fast_clock_has_put_off_is_delivered_when_it_is_set_right(
    hub: Database, outbox: Outbox, handled: list[Event], clock: FixedClock
) -> None:
    clock.advance(days=365)
    _publish(hub, _completed(clock))
    clock.advance(days=-365)
    assert deliver_all_due(hub, outbox) == 1
    assert len(handled) == 1


def test_an_event_of_a_rolled_back_unit_of_work_never_happened(
    hub: Database, outbox: Outbox, handled: list[Event], clock: FixedClock
) -> None:
    def fail() -> None:
        with hub.unit_of_work() as work:
            work.publish(_completed(clock))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert deliver_all_due(hub, outbox) == 0
    assert handled == []


def test_an_event_without_subscriber_is_not_kept(hub: Database, clock: FixedClock) -> None:
    fields = {"study_instance_uid": "1", "document_unique_id": "2", "global_id": "3"}
    _publish(hub, new_event(StudyRegistered, clock, generation=1, **fields))
    assert _count(hub, OutboxEvent) == 0


def test_a_failing_delivery_is_repeated_with_growing_delay_and_then_parked(
    database: Database, clock: FixedClock
) -> None:
    calls: list[Event] = []

    def fail(occurred: Event) -> None:
        calls.append(occurred)
        raise LookupError("the archive is away")

    outbox = Outbox([Subscriber("fails", StudyCompleted, fail, attempts=3)])
    database._outbox = outbox
    _publish(database, _completed(clock))
    for expected in (1, 2, 3, 3):
        deliver_all_due(database, outbox)
        deliver_all_due(database, outbox)  # not due again at once
        assert len(calls) == expected
        clock.advance(minutes=10)
    with database.read() as session:
        assert outbox.status(session).parked == 1
        assert "the archive is away" in session.scalars(select(OutboxDelivery.reason)).one()


def test_what_was_parked_is_delivered_once_a_person_says_that_the_fault_is_mended(
    database: Database, clock: FixedClock, handled: list[Event]
) -> None:
    away = [True]

    def work(occurred: Event) -> None:
        if away:
            raise LookupError("the archive is away")
        handled.append(occurred)

    outbox = Outbox([Subscriber("works", StudyCompleted, work, attempts=2)])
    database._outbox = outbox
    _publish(database, _completed(clock))
    for _ in range(3):
        deliver_all_due(database, outbox)
        clock.advance(minutes=10)
    with database.read() as session:
        assert owed(session) == [Owed("works", 0, 1, "LookupError: the archive is away")]
    away.clear()
    assert deliver_all_due(database, outbox) == 0
    assert retry_parked(database, "another") == 0
    assert retry_parked(database, "works") == 1
    assert deliver_all_due(database, outbox) == 1
    assert len(handled) == 1


def test_an_event_of_another_version_holds_up_no_other(
    hub: Database, outbox: Outbox, handled: list[Event], clock: FixedClock
) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        _publish(hub, _completed(clock, uid))
    with hub.unit_of_work() as work:
        of_another = OutboxEvent.payload.contains('"1.2"')
        work.session.execute(update(OutboxEvent).where(of_another).values(kind="NotYetKnown"))
    deliver_all_due(hub, outbox)
    assert [one.study_instance_uid for one in handled] == ["1.1", "1.3"]
    with hub.read() as session:
        assert "NotYetKnown" in session.scalars(select(OutboxDelivery.reason)).one()


def test_an_event_that_a_newer_hub_has_given_more_fields_is_understood(
    hub: Database, outbox: Outbox, handled: list[Event], clock: FixedClock
) -> None:
    occurred = _completed(clock)
    _publish(hub, occurred)
    with hub.unit_of_work() as work:
        longer = func.replace(OutboxEvent.payload, "{", '{"later":1,')
        work.session.execute(update(OutboxEvent).values(payload=longer))
    assert deliver_all_due(hub, outbox) == 1
    assert handled == [occurred]


def test_what_a_dead_worker_held_is_carried_one_by_one_and_without_pauses(
    database: Database, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_kernel.tasks._GATHER_S", 3600.0)
    all_done, seen = threading.Event(), set[str]()

    def work(occurred: StudyCompleted) -> None:
        seen.add(occurred.study_instance_uid)
        if len(seen) == 5:
            all_done.set()

    outbox = Outbox([Subscriber("works", StudyCompleted, work)])
    database._outbox = outbox
    for number in range(5):
        _publish(database, _completed(clock, f"1.{number}"))
    assert len(outbox.claim(database, Claim("dead"))) == 5
    outbox.release_dead(database, lambda _worker: True)
    engine = ThreadTaskEngine(database, outbox)
    engine.start()
    try:
        assert all_done.wait(60)
    finally:
        engine.stop()


def test_one_failing_subscriber_does_not_hold_up_another(
    database: Database, clock: FixedClock, handled: list[Event]
) -> None:
    def fail(_occurred: Event) -> None:
        raise LookupError

    outbox = Outbox(
        [
            Subscriber("fails", StudyCompleted, fail),
            Subscriber("works", StudyCompleted, handled.append),
        ]
    )
    database._outbox = outbox
    _publish(database, _completed(clock))
    deliver_all_due(database, outbox)
    assert len(handled) == 1


def test_a_claimed_delivery_is_given_to_nobody_else_until_its_lease_runs_out(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    _publish(hub, _completed(clock))
    claim = Claim("worker", lease_s=60)
    assert len(outbox.claim(hub, claim)) == 1
    assert outbox.claim(hub, claim) == []
    clock.advance(seconds=61)
    (again,) = outbox.claim(hub, claim)
    assert again.attempts == 2


def test_leases_of_dead_workers_are_released_at_once(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    _publish(hub, _completed(clock))
    outbox.claim(hub, Claim("dead"))
    assert outbox.release_dead(hub, lambda worker: worker != "dead") == 0
    assert outbox.release_dead(hub, lambda worker: worker == "dead") == 1
    assert len(outbox.claim(hub, Claim("alive"))) == 1


def _claimed(hub: Database, outbox: Outbox, clock: FixedClock) -> list[str]:
    """What one worker after the other gets; each dies with it."""
    got = [one.event.study_instance_uid for one in outbox.claim(hub, Claim("dies"))]
    clock.advance(seconds=LEASE_S + 1)
    return got


def test_an_emergency_is_claimed_first(hub: Database, outbox: Outbox, clock: FixedClock) -> None:
    _publish(hub, _completed(clock, "1.1"))
    fields = {"study_instance_uid": "9.9", "site_id": "s", "generation": 1}
    _publish(hub, new_event(StudyCompleted, clock, emergency=True, **fields))
    (first,) = outbox.claim(hub, Claim("worker", limit=1))
    assert first.event.study_instance_uid == "9.9"


def test_a_claim_of_few_reads_few_however_many_wait(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    _publish(hub, _completed(clock))
    plans: list[str] = []

    def note(connection: Connection, _cursor: object, asked: str, values: object, *_: object):
        if asked.startswith("SELECT") and "ORDER BY outbox_delivery.delivery_id" in asked:
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values)
            plans.append("\n".join(row[-1] for row in explained))

    event.listen(hub.engine, "before_cursor_execute", note)
    outbox.claim(hub, Claim("worker", limit=1))
    assert len(plans) == 2  # emergencies, and the rest
    for plan in plans:
        assert "ix_outbox_delivery_order" in plan
        assert "TEMP B-TREE" not in plan  # nothing is sorted


def test_what_was_claimed_with_a_dead_worker_is_handed_out_alone(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        _publish(hub, _completed(clock, uid))
    assert _claimed(hub, outbox, clock) == ["1.1", "1.2", "1.3"]
    _publish(hub, _completed(clock, "1.4"))
    assert [_claimed(hub, outbox, clock) for _ in range(2)] == [["1.1"], ["1.1"]]


def test_a_delivery_that_kills_its_workers_is_parked_and_the_others_are_delivered(
    database: Database, clock: FixedClock, handled: list[Event]
) -> None:
    outbox = Outbox([Subscriber("collect", StudyCompleted, handled.append, attempts=3)])
    database._outbox = outbox
    for uid in ("1.1", "1.2"):
        _publish(database, _completed(clock, uid))
    assert _claimed(database, outbox, clock) == ["1.1", "1.2"]
    for _ in range(2):
        assert _claimed(database, outbox, clock) == ["1.1"]
    assert deliver_all_due(database, outbox) == 1
    assert [one.study_instance_uid for one in handled] == ["1.2"]
    with database.read() as session:
        assert (outbox.status(session).pending, outbox.status(session).parked) == (0, 1)
        assert "worker ended" in session.scalars(select(OutboxDelivery.reason)).one()


def test_what_has_ended_several_workers_waits_before_it_is_tried_again(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    _publish(hub, _completed(clock))
    for _ in range(4):
        clock.advance(minutes=10)
        assert len(outbox.claim(hub, Claim("dead"))) == 1
        outbox.release_dead(hub, lambda _worker: True)
    assert outbox.claim(hub, Claim("alive")) == []
    clock.advance(minutes=10)
    assert len(outbox.claim(hub, Claim("alive"))) == 1


def test_a_lease_is_kept_by_its_holder_alone(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    _publish(hub, _completed(clock))
    (held,) = outbox.claim(hub, Claim("holder"))
    clock.advance(seconds=LEASE_S - 1)
    outbox.extend(hub, "holder", [held.delivery_id])
    clock.advance(seconds=LEASE_S - 1)
    assert outbox.claim(hub, Claim("other")) == []
    outbox.extend(hub, "other", [held.delivery_id])
    clock.advance(seconds=2)
    assert len(outbox.claim(hub, Claim("other"))) == 1


def test_who_has_lost_the_lease_postpones_nothing(
    hub: Database, outbox: Outbox, clock: FixedClock
) -> None:
    _publish(hub, _completed(clock))
    (lost,) = outbox.claim(hub, Claim("slow"))
    clock.advance(seconds=LEASE_S + 1)
    (taken,) = outbox.claim(hub, Claim("quick"))
    outbox.postpone(hub, lost, "too late")
    assert outbox.claim(hub, Claim("third")) == []
    outbox.settle(hub, [taken.delivery_id])
    assert _count(hub, OutboxDelivery) == 0
