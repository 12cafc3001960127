"""Run as a program: archive and forward instance after instance, each killed one step later.

Steps are the write statements and commits of promise, claim and record, and on the line: before the
association, after it, in the middle of the dataset, and when the destination has taken the instance
and nothing says so yet. After each kill a new process takes the leases back and goes on. Prints how
many were killed, then what the archive has and what the ledger says, as JSON.

It kills at every STRIDE-th step. With `hasty` as last argument the ledger says "sent" before
anything is sent: the control.
"""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from sqlalchemy import update  # noqa: E402

from dicom_router.forwarding.ledger import Ledger  # noqa: E402
from dicom_router.forwarding.model import Claim, Item, State  # noqa: E402
from dicom_router.forwarding.senders import dicom  # noqa: E402
from dicom_router.forwarding.senders.dicom import DicomSender  # noqa: E402
from dicom_router.forwarding.tables import ITEM  # noqa: E402
from dicom_router.sending.model import Destination, OutgoingInstance, StoreAnswer  # noqa: E402
from dicom_router.sending.storing import StoreAssociation  # noqa: E402
from hub_kernel.clock import SystemClock  # noqa: E402
from tests.dicom_router.forwarding.world import World, outgoing_instances  # noqa: E402
from tests.support.kill_steps import Step, in_child, killed_everywhere, writes_of  # noqa: E402

ROOT, PORT, STRIDE = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
HASTY = sys.argv[4:] == ["hasty"]


def open_world(*, new: bool = False) -> World:
    world = World(ROOT, clock=SystemClock(), new=new)
    if HASTY:
        world.ledger = HastyLedger(world.database)
    return world


class HastyLedger(Ledger):
    """Believes that what is claimed is as good as sent."""

    def claim(self, claim: Claim) -> list[Item]:
        items = super().claim(claim)
        with self._database.unit_of_work() as work:
            ids = [item.item_id for item in items]
            work.session.execute(update(ITEM).where(ITEM.c.id.in_(ids)).values(state=State.SENT))
        return items


def sender(world: World) -> DicomSender:
    destination = Destination("a", "PEER", "127.0.0.1", PORT, "EIRHUB")
    return DicomSender(destination, outgoing_instances(world.backend))


def forward(world: World) -> None:
    world.settle()
    lane = world.lane(sender(world))
    while lane.turn():
        pass


def work(number: int, step: Step) -> None:
    """Archive two instances and forward them, dying at one of the steps."""
    world = open_world()
    for one in (2 * number, 2 * number + 1):
        world.archived(one, PixelData=number.to_bytes(2, "big") * 64)
    writes_of(world.database.engine, step)
    open_association, store = StoreAssociation.open, StoreAssociation.store

    def opening(*arguments: object, **options: object) -> StoreAssociation:
        step()
        association = open_association(*arguments, **options)  # type: ignore[arg-type]
        step()
        return association

    def storing(self: StoreAssociation, instance: OutgoingInstance, *more: object) -> StoreAnswer:
        answer = store(self, instance, *more)  # type: ignore[arg-type]
        step()  # it has been taken, and nothing says so yet
        return answer

    def in_halves(pieces: Iterator[bytes], _pace: object) -> Iterator[bytes]:
        data = b"".join(pieces)
        yield data[: len(data) // 2]
        step()
        yield data[len(data) // 2 :]

    StoreAssociation.open = opening  # type: ignore[method-assign, assignment]
    StoreAssociation.store = storing  # type: ignore[method-assign, assignment]
    dicom.paced = in_halves
    forward(world)


def go_on(_number: int) -> None:
    """What the next start does."""
    world = open_world()
    world.outbox.release_dead(world.database, lambda _worker: True)
    world.ledger.release_dead(["a"], lambda _owner: True)
    forward(world)


def main() -> None:
    in_child(lambda: open_world(new=True).close())
    killed = killed_everywhere(work, go_on, stride=STRIDE)
    world = open_world()
    found = {
        "killed": killed,
        "archive": world.archive_digests(),
        "states": {item.sop_instance_uid: item.state for item in world.items("a")},
        "attempts": max(item.attempts for item in world.items("a")),
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    assert threading.active_count() == 1
    main()
