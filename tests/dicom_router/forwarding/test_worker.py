"""A lane sends what is owed: once, in order of urgency, again after every kind of failure."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_router.forwarding.breaker import Breaker
from dicom_router.forwarding.model import BreakerState, Claim, State
from dicom_router.forwarding.pacing import RateCap
from dicom_router.forwarding.sender import DestinationUnavailableError, Parcel, Sent
from dicom_router.forwarding.verdicts import Verdict
from dicom_router.routing.model import Delivery, Priority, Rule, When
from dicom_router.routing.windows import window
from tests.dicom_router.forwarding.world import (
    ScriptedSender,
    World,
    accepted,
    answering,
    unavailable,
)

WEEK_S = 7 * 24 * 3600
DEAD_WORKERS = Claim("a", "worker:dead", frozenset({""}))


def test_what_is_owed_is_sent_over_one_association_and_settled(world: World) -> None:
    uids = world.promised(1, 2, 3)
    sender = ScriptedSender()
    lane = world.lane(sender)
    assert lane.turn()
    assert not lane.turn()
    assert (sender.sent, sender.associations) == (uids, 1)
    assert world.states() == ["sent"] * 3
    item = world.items()[0]
    assert (item.last_status, item.attempts, item.lease_owner) == ("0x0000", 1, "")
    assert item.settled_at == world.clock.now()
    view = world.desk.destination("a")
    assert (view.sent_count, view.breaker) == (3, BreakerState.CLOSED)
    assert view.sent_bytes == sum(one.dataset_bytes for one in world.items())


def test_with_commitment_offered_what_is_taken_is_not_yet_done(world: World) -> None:
    world.promised(1)
    world.lane(ScriptedSender(), committing=True).turn()
    assert world.states() == ["accepted"]
    assert world.items()[0].settled_at is None


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.ACCEPTED, State.SENT),
        (Verdict.NOTED, State.SENT),
        (Verdict.RETRY, State.QUEUED),
        (Verdict.PARK, State.PARKED),
    ],
)
def test_an_answer_leads_to_the_state_of_its_class(
    world: World, verdict: Verdict, state: State
) -> None:
    world.promised(1)
    world.lane(ScriptedSender(answering(verdict, "0xB000"))).turn()
    item = world.items()[0]
    assert (item.state, item.last_status, item.last_comment) == (state, "0xB000", "so it says")


def test_what_is_parked_stays_so_and_stands_in_nobodys_way(world: World) -> None:
    first, second = world.promised(1, 2)

    def answer(parcel: Parcel, attempt: int) -> Sent:
        if parcel.instance.sop_instance_uid == first:
            return Sent(parcel.item.item_id, Verdict.PARK, "0xC000", "unreadable")
        return accepted(parcel, attempt)

    sender = ScriptedSender(answer)
    lane = world.lane(sender)
    lane.turn()
    world.clock.advance(seconds=WEEK_S)
    assert not lane.turn()
    assert world.states() == ["parked", "sent"]
    assert sender.sent == [first, second]


def test_emergencies_go_first_then_priority_then_age(tmp_path: Path) -> None:
    rules = [
        Rule("high", When(body_part=("HEAD",)), (Delivery("a", priority=Priority.HIGH),)),
        Rule("low", When(body_part=("HAND",)), (Delivery("a", priority=Priority.LOW),)),
        Rule("rest", When(), (Delivery("a"),)),
    ]
    world = World(tmp_path, rules)
    low = world.promised(1, BodyPartExamined="HAND")
    routine = world.promised(2, 3)
    high = world.promised(4, BodyPartExamined="HEAD")
    urgent = world.promised(5, BodyPartExamined="HAND", RequestedProcedurePriority="STAT")
    sender = ScriptedSender()
    world.lane(sender).turn()
    assert sender.sent == [*urgent, *high, *routine, *low]
    world.close()


def test_a_lane_for_emergencies_leaves_everything_else(world: World) -> None:
    world.promised(1)
    urgent = world.promised(2, RequestedProcedurePriority="STAT")
    sender = ScriptedSender()
    lane = world.lane(sender, urgent_only=True)
    assert lane.turn()
    assert not lane.turn()
    assert sender.sent == urgent


def test_a_batch_is_broken_off_when_an_emergency_comes_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_router.forwarding.worker._LOOK_FOR_URGENT_S", 0.0)
    routine = world.promised(1, 2, 3)
    sender = ScriptedSender()
    urgent: list[str] = []

    def come_in() -> None:
        if not urgent:
            urgent.extend(world.promised(9, RequestedProcedurePriority="STAT"))

    sender.at_each = come_in
    lane = world.lane(sender, alone=True)
    lane.turn()
    lane.turn()
    assert sender.sent == [routine[0], *urgent, *routine[1:]]


def test_outside_its_hours_routine_work_waits_and_an_emergency_does_not(tmp_path: Path) -> None:
    nights = Delivery("a", during=window("22:00-06:00"))
    world = World(tmp_path, [Rule("night", When(), (nights,))])  # it is 16:00 in the region
    routine = world.promised(1)
    urgent = world.promised(2, RequestedProcedurePriority="STAT")
    sender = ScriptedSender()
    lane = world.lane(sender)
    lane.turn()
    assert sender.sent == urgent
    assert not lane.turn()
    world.clock.advance(hours=6)
    assert lane.turn()
    assert sender.sent == [*urgent, *routine]
    world.close()


def test_a_destination_down_for_seven_days_gets_everything_when_it_is_back(world: World) -> None:
    uids = world.promised(*range(1, 6))
    sender = ScriptedSender(unavailable())
    lane, other = world.lane(sender), ScriptedSender()
    began = world.clock.now()
    while world.clock.now() - began < timedelta(days=7):
        lane.turn()
        world.clock.advance(minutes=30)
    assert world.states() == ["queued"] * 5
    assert sender.associations > 7 * 24  # it was tried all the time, not given up
    view = world.desk.destination("a")
    assert (view.last_error, view.counts["queued"]) == ("away", 5)
    assert view.oldest_at == began
    assert other.associations == 0
    sender.answer, sender.sent = accepted, []
    world.clock.advance(minutes=10)
    while lane.turn():
        pass
    assert sender.sent == uids
    assert world.states() == ["sent"] * 5
    assert sender.kept == world.archive_digests()


def test_a_breaker_pauses_longer_and_longer_but_never_beyond_its_longest(world: World) -> None:
    world.promised(1)
    lane = world.lane(ScriptedSender(unavailable()))
    pauses = []
    for _ in range(12):
        lane.turn()
        due_at = world.desk.destination("a").next_try_at
        assert due_at is not None
        pauses.append((due_at - world.clock.now()).total_seconds())
        world.clock.advance(seconds=pauses[-1])
    assert pauses[0] < 10
    assert pauses[4] > pauses[0] * 4
    assert max(pauses) <= 300 * 1.2


def test_while_the_breaker_is_open_nothing_is_tried_and_then_one(world: World) -> None:
    world.promised(1, 2, 3)
    sender = ScriptedSender(unavailable())
    lane = world.lane(sender)
    lane.turn()
    assert not lane.turn()
    assert len(sender.sent) == 1
    world.clock.advance(minutes=1)
    sender.answer = accepted
    lane.turn()
    assert len(sender.sent) == 2  # one alone, to see
    assert world.states().count("sent") == 1
    lane.turn()
    assert world.states() == ["sent"] * 3


def test_a_dead_destination_costs_no_other_one_anything(tmp_path: Path) -> None:
    rule = Rule("both", When(), (Delivery("a"), Delivery("b")))
    world = World(tmp_path, [rule])
    world.promised(1, 2)
    world.lane(ScriptedSender(unavailable(permanent=True)), "a").turn()
    alive = ScriptedSender()
    world.lane(alive, "b").turn()
    assert world.states("a") == ["queued", "queued"]
    assert world.states("b") == ["sent", "sent"]
    assert Breaker(world.database, "a").state() is BreakerState.OPEN
    assert Breaker(world.database, "b").state() is BreakerState.CLOSED
    world.close()


def test_a_rejection_for_good_pauses_for_the_longest_and_is_tried_again(world: World) -> None:
    world.promised(1)
    sender = ScriptedSender(unavailable(permanent=True))
    lane = world.lane(sender)
    lane.turn()
    world.clock.advance(minutes=3)
    assert not lane.turn()
    world.clock.advance(minutes=4)
    sender.answer = accepted
    assert lane.turn()


def test_one_instance_that_breaks_every_association_does_not_hold_up_the_rest(
    world: World,
) -> None:
    poison, *others = world.promised(1, 2, 3, 4)

    def answer(parcel: Parcel, attempt: int) -> Sent | Exception:
        if parcel.instance.sop_instance_uid == poison:
            return DestinationUnavailableError("it broke", in_flight=parcel.item.item_id)
        return accepted(parcel, attempt)

    sender = ScriptedSender(answer)
    lane = world.lane(sender)
    for _ in range(6):
        lane.turn()
        world.clock.advance(seconds=20)
    assert set(sender.kept) == set(others)
    item = world.items()[0]
    assert (item.state, item.last_comment) == (State.QUEUED, "it broke")
    assert item.attempts >= 1


def test_a_destination_out_of_resources_is_not_sent_a_whole_batch(world: World) -> None:
    world.promised(*range(1, 9))
    sender = ScriptedSender(answering(Verdict.RETRY, "0xA700"))
    lane = world.lane(sender)
    lane.turn()
    assert len(sender.sent) == 3
    assert Breaker(world.database, "a").state() is BreakerState.OPEN
    assert "0xA700" in world.desk.destination("a").last_error
    sender.answer = accepted
    for _ in range(20):
        world.clock.advance(minutes=1)
        lane.turn()
    assert world.states() == ["sent"] * 8


def test_a_killed_workers_leases_come_back_at_the_next_start(world: World) -> None:
    world.promised(1, 2)
    claimed = world.ledger.claim(DEAD_WORKERS)
    assert [item.state for item in world.items()] == [State.LEASED] * 2
    assert len(claimed) == 2
    sender = ScriptedSender()
    assert not world.lane(sender).turn()
    assert world.ledger.release_dead(["a"], lambda owner: owner == "worker:dead") == 2
    assert world.lane(sender).turn()
    assert world.states() == ["sent"] * 2


def test_a_lease_runs_out_by_itself(world: World) -> None:
    world.promised(1)
    world.ledger.claim(DEAD_WORKERS)
    sender = ScriptedSender()
    lane = world.lane(sender)
    world.clock.advance(seconds=899)
    assert not lane.turn()
    world.clock.advance(seconds=2)
    assert lane.turn()


def test_success_is_true_even_when_the_lease_is_somebody_elses_by_now(world: World) -> None:
    world.promised(1)
    sender = ScriptedSender()
    world_lane = world.lane(sender)

    def lose_the_lease() -> None:
        world.change([world.items()[0].item_id], lease_owner="worker:2")

    sender.at_each = lose_the_lease
    world_lane.turn()
    assert world.states() == ["sent"]


def test_a_failure_after_the_lease_is_lost_changes_nothing(world: World) -> None:
    world.promised(1)
    sender = ScriptedSender(answering(Verdict.PARK))

    def lose_the_lease() -> None:
        world.change([world.items()[0].item_id], lease_owner="worker:2")

    sender.at_each = lose_the_lease
    world.lane(sender).turn()
    assert world.states() == ["leased"]


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_is_set_a_year_off_stops_nothing(world: World, years: int) -> None:
    world.promised(1, 2)
    failing = ScriptedSender(answering(Verdict.RETRY, "0xA700"))
    world.lane(failing).turn()  # rows and breaker have pauses now
    world.ledger.claim(DEAD_WORKERS)
    world.clock.advance(days=366 * years)
    sender = ScriptedSender()
    lane = world.lane(sender)
    for _ in range(4):
        lane.turn()
    assert world.states() == ["sent", "sent"]


def test_an_instance_that_left_the_archive_is_parked_with_the_reason(world: World) -> None:
    world.promised(1, 2)
    world.change([world.items()[0].item_id], sop_instance_uid="1.2.3.4")
    sender = ScriptedSender()
    world.lane(sender).turn()
    assert world.states() == ["parked", "sent"]
    assert "archive shows it no more" in world.items()[0].last_comment


def test_when_the_hub_ends_no_further_instance_is_begun(world: World) -> None:
    world.promised(1, 2, 3)
    sender = ScriptedSender()
    sender.at_each = world.stopping.set
    world.lane(sender).turn()
    assert world.states() == ["sent", "queued", "queued"]
    assert {item.attempts for item in world.items()[1:]} == {0}


def test_when_the_hub_must_end_at_once_the_instance_under_way_is_owed(world: World) -> None:
    world.promised(1, 2)
    world.at_once.set()
    world.lane(ScriptedSender()).turn()
    assert world.states() == ["queued", "queued"]
    assert Breaker(world.database, "a").state() is BreakerState.CLOSED


def test_an_unexpected_error_gives_back_what_was_leased(world: World) -> None:
    world.promised(1, 2)

    def fail(_parcel: Parcel, attempt: int) -> Exception:
        return RuntimeError(f"a fault of ours {attempt}")

    with pytest.raises(RuntimeError):
        world.lane(ScriptedSender(fail)).turn()
    assert world.states() == ["queued", "queued"]


def test_a_rate_cap_spreads_the_bytes_over_time(world: World) -> None:
    world.promised(1, 2, 3)
    each = world.items()[0].dataset_bytes
    lane = world.lane(ScriptedSender(), caps=[RateCap(None, each * 4)])
    began = time.monotonic()
    lane.turn()
    assert time.monotonic() - began >= 0.2
    assert world.states() == ["sent"] * 3


def test_a_held_destination_gets_nothing_until_it_is_resumed(world: World) -> None:
    world.promised(1)
    world.desk.hold("a", "engineer")
    sender = ScriptedSender()
    lane = world.lane(sender)
    assert not lane.turn()
    assert world.desk.destination("a").breaker is BreakerState.HELD
    world.desk.resume("a")
    assert lane.turn()


def test_the_metrics_count_answers_and_bytes(world: World) -> None:
    world.promised(1)
    world.lane(ScriptedSender()).turn()
    text = world.metrics.exposition().decode()
    assert 'eirhub_forwarded_instances_total{destination="a",verdict="accepted"} 1.0' in text
    assert 'eirhub_forwarded_bytes_total{destination="a"}' in text
