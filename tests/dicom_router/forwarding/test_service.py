"""Each destination has a queue, lanes and a breaker of its own: a slow one delays no other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicom_router.forwarding.sender import Parcel, Sent
from dicom_router.forwarding.service import Configured, Forwarding
from dicom_router.routing.model import Delivery, Priority, Rule, When
from tests.dicom_router.forwarding.world import ScriptedSender, World, accepted
from tests.support.waiting import eventually

BOTH = Rule("both", When(), (Delivery("slow"), Delivery("quick")))
HEAD = Rule("head", When(body_part=("HEAD",)), (Delivery("slow", priority=Priority.EMERGENCY),))
MORE_THAN_A_BATCH = range(1, 41)


@dataclass
class Slow:
    """A destination that answers for nothing but emergencies before it may."""

    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.sender = ScriptedSender(self._answer)

    def _answer(self, parcel: Parcel, attempt: int) -> Sent | Exception:
        if parcel.item.priority != Priority.EMERGENCY:
            assert self.may_answer.wait(120)
        return accepted(parcel, attempt)


@contextmanager
def forwarding(
    world: World, slow: Slow, quick: ScriptedSender, associations: int
) -> Iterator[None]:
    configured = (
        Configured("slow", slow.sender, associations),
        Configured("quick", quick, associations),
    )
    service = Forwarding(configured, world.lane_parts(), lambda _worker: False)
    service.start()
    try:
        yield
    finally:
        slow.may_answer.set()
        service.stop()


def test_a_destination_that_does_not_answer_delays_no_other(tmp_path: Path) -> None:
    world, slow, quick = World(tmp_path, [BOTH]), Slow(), ScriptedSender()
    with forwarding(world, slow, quick, 1):
        world.promised(1)
        eventually(lambda: slow.sender.sent)  # it is at the first, and stays there
        world.promised(*MORE_THAN_A_BATCH[1:])
        eventually(lambda: world.states("quick") == ["sent"] * 40)
        assert len(slow.sender.sent) == 1
        assert "sent" not in world.states("slow")
        slow.may_answer.set()
        eventually(lambda: world.states("slow") == ["sent"] * 40)
    assert slow.sender.kept == quick.kept
    world.close()


def test_an_emergency_overtakes_what_a_slow_destination_is_at(tmp_path: Path) -> None:
    world, slow = World(tmp_path, [HEAD, BOTH]), Slow()
    with forwarding(world, slow, ScriptedSender(), 2):
        world.promised(1, 2, 3, BodyPartExamined="CHEST")
        eventually(lambda: slow.sender.sent)
        (urgent,) = world.promised(4, BodyPartExamined="HEAD")
        eventually(lambda: slow.sender.kept)
        assert list(slow.sender.kept) == [urgent]
    world.close()
