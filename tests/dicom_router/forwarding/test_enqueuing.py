"""What the rules promise comes into the ledger: once, all of it, and again when somebody asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_router.forwarding.desk import open_by_site, study_progress
from dicom_router.forwarding.enqueuing import BY_HAND
from dicom_router.routing.model import Delivery, Priority, Rule, When
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.events import InstanceArchived, decode_event
from hub_kernel.outbox import OutboxEvent
from tests.dicom_router.forwarding.world import (
    STUDY,
    ScriptedSender,
    World,
    accepted,
    unavailable,
)
from tests.support.postgresql import PostgresqlServer

BOTH = Rule("both", When(), (Delivery("a"), Delivery("b", priority=Priority.LOW)))


def test_every_archived_instance_is_promised_to_every_destination_once(tmp_path: Path) -> None:
    world = World(tmp_path, [BOTH])
    world.promised(1, 2)
    assert len(world.items()) == 4
    assert {(item.destination, item.rule, item.priority) for item in world.items()} == {
        ("a", "both", Priority.ROUTINE),
        ("b", "both", Priority.LOW),
    }
    assert set(world.woken) == {"a", "b"}
    world.close()


def test_an_event_that_is_delivered_twice_changes_nothing(world: World) -> None:
    world.promised(1)
    with world.database.read() as session:
        kind, payload = session.execute(select(OutboxEvent.kind, OutboxEvent.payload)).one()
    event = decode_event(kind, payload)
    assert isinstance(event, InstanceArchived)
    before = world.items()
    world.enqueuing.handle(event)
    assert world.items() == before
    world.lane(ScriptedSender()).turn()
    world.enqueuing.handle(event)
    assert world.states() == ["sent"]


def test_a_promise_is_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, [BOTH])
    world.archived(1)
    add, added = world.ledger._add, []

    def failing(*arguments: object) -> int:
        added.append(arguments)
        if len(added) == 2:
            raise OSError("the disk is gone")
        return add(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.ledger, "_add", failing)
    world.settle()
    assert world.items() == []  # not one of two
    monkeypatch.undo()
    world.clock.advance(minutes=10)
    world.settle()
    assert len(world.items()) == 2
    world.close()


def test_an_instance_with_other_bytes_by_now_is_owed_again(world: World) -> None:
    world.promised(1)
    world.lane(ScriptedSender()).turn()
    world.change([world.items()[0].item_id], dataset_sha256="0" * 64)
    assert world.enqueuing.missing(lambda *_: None, repair=False) == 1
    assert world.enqueuing.owe_study(STUDY) == 1
    assert world.states() == ["queued"]


def test_rules_of_today_are_applied_to_what_is_archived(tmp_path: Path) -> None:
    early = World(tmp_path, [Rule("none", When(modality=("MR",)), (Delivery("a"),))])
    early.promised(1, 2)
    assert early.items() == []
    early.close()
    late = World(tmp_path, [Rule("all", When(), (Delivery("a"),))])
    said: list[tuple[int, int]] = []
    assert late.enqueuing.missing(lambda *of: said.append(of), repair=False) == 2
    assert late.items() == []
    assert late.enqueuing.missing(lambda *of: said.append(of), repair=True) == 2
    assert late.enqueuing.missing(lambda *_: None, repair=False) == 0
    assert late.states() == ["queued", "queued"]
    assert said == [(1, 1), (1, 1)]
    late.close()


def test_a_study_is_sent_again_to_one_destination_by_hand(world: World) -> None:
    world.promised(1, 2)
    sender = ScriptedSender()
    lane = world.lane(sender)
    lane.turn()
    assert world.enqueuing.send_again(STUDY, "a") == 2
    lane.turn()
    assert len(sender.sent) == 4
    assert world.enqueuing.send_again(STUDY, "c") == 2
    assert {item.rule for item in world.items("c")} == {BY_HAND}


def test_a_study_nobody_has_is_refused(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.enqueuing.send_again("1.2.3", "a")
    with pytest.raises(NotFoundError):
        world.enqueuing.owe_study("1.2.3")


def test_an_instance_that_cannot_be_read_is_routed_by_the_index(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise NotFoundError("no bytes")

    monkeypatch.setattr(world.archive, "read_dataset", gone)
    world.promised(1)
    assert world.states() == ["queued"]


def test_without_rules_nothing_is_promised(tmp_path: Path) -> None:
    world = World(tmp_path, [])
    world.archived(1)
    world.settle()
    assert world.items() == []
    with world.database.read() as session:
        assert session.scalars(select(OutboxEvent.event_id)).first() is not None
    world.close()


def test_progress_is_told_by_study_and_by_site(tmp_path: Path) -> None:
    world = World(tmp_path, [BOTH])
    world.promised(1, 2, 3)
    world.lane(ScriptedSender(), "a").turn()
    with world.database.read() as session:
        assert study_progress(session, [STUDY]) == {STUDY: {"a": {"sent": 3}, "b": {"queued": 3}}}
        assert open_by_site(session, ["a", "b"]) == {"sijing": {"queued": 3}}
    world.close()


def test_a_row_is_parked_released_and_retried_by_a_person(world: World) -> None:
    world.promised(1, 2)
    first, second = world.items()
    world.desk.park(first.item_id, "engineer", "went by disc")
    sender = ScriptedSender()
    lane = world.lane(sender)
    lane.turn()
    assert world.states() == ["parked", "sent"]
    assert "went by disc" in world.items()[0].last_comment
    with pytest.raises(InvalidValueError):
        world.desk.park(second.item_id, "engineer", "too late")
    assert world.desk.release_parked("a") == 1
    lane.turn()
    world.desk.retry(second.item_id)
    lane.turn()
    assert world.states() == ["sent", "sent"]
    assert sender.sent.count(second.sop_instance_uid) == 2


def test_retrying_a_destination_forgets_its_pauses(world: World) -> None:
    world.promised(1)
    sender = ScriptedSender(unavailable(permanent=True))
    lane = world.lane(sender)
    lane.turn()
    assert not lane.turn()
    sender.answer = accepted
    assert world.desk.retry_now("a") == 1
    assert lane.turn()


@pytest.fixture
def on_postgresql(tmp_path: Path, postgresql: PostgresqlServer) -> Iterator[World]:
    with postgresql.database() as url:
        made = World(tmp_path, [BOTH], url=url, new=False)
        yield made
        made.close()


def test_the_ledger_works_on_postgresql(on_postgresql: World) -> None:
    world = on_postgresql
    world.promised(1, 2, 3)
    assert world.enqueuing.missing(lambda *_: None, repair=False) == 0
    sender = ScriptedSender()
    lane = world.lane(sender, "a")
    assert lane.turn()
    assert world.states("a") == ["sent"] * 3
    assert sender.kept == world.archive_digests()
    world.desk.hold("b", "engineer")
    assert not world.lane(ScriptedSender(), "b").turn()
    assert {view.name: view.sent_count for view in world.desk.destinations()} == {"a": 3, "b": 0}
    assert world.desk.destination("b").counts["queued"] == 3
