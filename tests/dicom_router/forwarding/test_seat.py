"""However many processes serve a destination, one sends: so its limits hold for all together."""

from pathlib import Path

from sqlalchemy import select

from dicom_router.forwarding.seat import Seat
from dicom_router.forwarding.service import Configured, Forwarding
from dicom_router.forwarding.worker import Lane
from hub_kernel.leases import Lease, Leases
from tests.dicom_router.forwarding.world import ScriptedSender, World
from tests.support.waiting import eventually

HERE, ELSEWHERE = "here:1", "elsewhere:2"
LONGER_THAN_A_LEASE_S = 301


def seat(world: World, owner: str, name: str = "a", monotonic: list[float] | None = None) -> Seat:
    told = monotonic or [0.0]
    return Seat(Leases(world.database, owner), name, monotonic=lambda: told[-1])


def sent_meanwhile(world: World, other: Lane, mine: ScriptedSender) -> list[bool]:
    """Let another process take its turn while this one is at an instance, and another is due."""
    world.promised(1)
    turns: list[bool] = []

    def at_each() -> None:
        world.promised(2)
        turns.append(other.turn())

    mine.at_each = at_each
    assert world.lane(mine, owner=HERE).turn()
    return turns


def test_while_one_process_sends_no_other_does(world: World) -> None:
    mine, theirs = ScriptedSender(), ScriptedSender()
    other = world.lane(theirs, owner=ELSEWHERE)
    assert sent_meanwhile(world, other, mine) == [False]
    assert theirs.sent == []
    assert not other.turn()
    assert sorted(world.states()) == ["queued", "sent"]
    world.clock.advance(seconds=LONGER_THAN_A_LEASE_S)  # it sends no more: it is dead
    assert other.turn()
    assert len(theirs.sent) == 1


def test_control_with_a_seat_of_its_own_another_process_would_send_at_once(world: World) -> None:
    mine, theirs = ScriptedSender(), ScriptedSender()
    other = world.lane(theirs, owner=ELSEWHERE, seat=seat(world, ELSEWHERE, "its own"))
    assert sent_meanwhile(world, other, mine) == [True]
    assert len(theirs.sent) == 1


def test_a_process_that_slept_until_another_sends_stops_and_owes_the_rest(world: World) -> None:
    monotonic = [0.0]
    ours = seat(world, HERE, monotonic=monotonic)
    mine = ScriptedSender()

    def sleep() -> None:
        monotonic.append(LONGER_THAN_A_LEASE_S)
        world.clock.advance(seconds=LONGER_THAN_A_LEASE_S)
        assert seat(world, ELSEWHERE).is_ours()

    mine.at_each = sleep
    world.promised(1, 2, 3)
    assert not world.lane(mine, owner=HERE, seat=ours).turn()
    assert len(mine.kept) == 1
    assert sorted(world.states()) == ["queued", "queued", "sent"]


def test_who_sends_keeps_it_and_who_ends_gives_it_back(world: World) -> None:
    monotonic = [0.0]
    ours = seat(world, HERE, monotonic=monotonic)
    for _ in range(5):
        assert ours.is_ours()
        assert not seat(world, ELSEWHERE).is_ours()
        monotonic.append(monotonic[-1] + LONGER_THAN_A_LEASE_S / 2)
        world.clock.advance(seconds=LONGER_THAN_A_LEASE_S / 2)
    ours.give_back()
    assert seat(world, ELSEWHERE).is_ours()
    ours.give_back()  # it is another's by now, and stays so
    assert not ours.is_ours()


def test_at_its_end_a_process_leaves_every_destination(tmp_path: Path) -> None:
    world, sender = World(tmp_path), ScriptedSender()
    service = Forwarding([Configured("a", sender)], world.lane_parts(), lambda _worker: False)
    service.start()
    world.promised(1)
    eventually(lambda: world.states() == ["sent"])
    assert held(world) == ["forward a"]
    service.stop()
    assert held(world) == []
    world.close()


def held(world: World) -> list[str]:
    with world.database.read() as session:
        return list(session.scalars(select(Lease.name)))
