"""Controls for the durability tests: hubs that break the promise, each in one way.

`answers-early` answers a C-STORE before anything is durable; `never-flushes` leaves out every flush
of files and folders, `never-flushes-names` those of folders alone; `never-looks-back` forgets at
its start what is in the spool; `ignores-errors` goes on after a write or a flush that failed;
`stores-at-release` waits for the end of the association; `matches-by-uid` takes any bytes for those
it has under that UID; `draws-again` is told of each study twice, as by a lease that was lost, and
draws without looking whether it has. A test that they pass proves nothing.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import update

from dicom_router.association_audit import AssociationAudit
from eir_versions import deriving, ledger
from eir_versions.deriving import VersionDeriver
from eir_versions.model import Version
from hub_kernel.database import Database
from hub_kernel.events import StudyCompleted
from hub_kernel.outbox import Outbox
from hub_kernel.outbox_tables import OutboxDelivery
from hub_runtime.cli import main
from image_archive.backends.whole_flush import WholeFlush
from image_archive.errors import ConflictingInstanceError
from image_archive.model import StoreOutcome
from image_archive.receiving import IncomingInstance
from image_archive.reconciliation import Reconciliation

# Later than any test that kills it needs.
_LATER_S = 60.0


def answer_early() -> None:
    honest = IncomingInstance.secure

    def secure(self: IncomingInstance) -> StoreOutcome:
        threading.Timer(_LATER_S, honest, (self,)).start()
        return StoreOutcome.STORED

    IncomingInstance.secure = secure  # type: ignore[method-assign]


def never_flush() -> None:
    os.fsync = os.fdatasync = lambda _descriptor: None  # type: ignore[assignment]
    WholeFlush._flush = lambda _self, _descriptor: True  # type: ignore[method-assign]


def ignoring_copies(call: Callable[..., int]) -> Callable[..., int]:
    def wrapped(target: int, source: int, at: int, count: int) -> int:
        try:
            return call(target, source, at, count) or count
        except OSError:
            return count

    return wrapped


def ignore_errors() -> None:
    def ignoring(call: Callable[..., int | None], instead: int | None) -> Callable[..., object]:
        def wrapped(*arguments: object) -> object:
            try:
                return call(*arguments)
            except OSError:
                return len(arguments[1]) if instead is None else None  # type: ignore[arg-type]

        return wrapped

    os.pwrite = ignoring(os.pwrite, None)  # type: ignore[assignment]
    os.sendfile = ignoring_copies(os.sendfile)  # type: ignore[assignment]
    os.fsync = ignoring(os.fsync, 0)  # type: ignore[assignment]
    os.fdatasync = ignoring(os.fdatasync, 0)  # type: ignore[assignment]


def store_at_release() -> None:
    honest, ended = IncomingInstance.secure, AssociationAudit.ended
    waiting: list[IncomingInstance] = []

    def secure(self: IncomingInstance) -> StoreOutcome:
        waiting.append(self)
        return StoreOutcome.STORED

    def end(*arguments: Any, orderly: bool) -> None:
        while waiting:
            one = waiting.pop(0)
            if orderly:
                honest(one)
            else:
                one.abort()
        ended(*arguments, orderly=orderly)

    IncomingInstance.secure = secure  # type: ignore[method-assign]
    AssociationAudit.ended = end  # type: ignore[method-assign]


def match_by_uid() -> None:
    honest = IncomingInstance.secure

    def secure(self: IncomingInstance) -> StoreOutcome:
        try:
            return honest(self)
        except ConflictingInstanceError:
            return StoreOutcome.ALREADY_STORED

    IncomingInstance.secure = secure  # type: ignore[method-assign]


def never_flush_names() -> None:
    os.fsync = lambda _descriptor: None  # type: ignore[assignment]


def never_look_back() -> None:
    Reconciliation._finish_spooled = lambda self: self.backend.discard_abandoned()  # type: ignore[method-assign]


def draw_again() -> None:
    settle, told, honest = Outbox.settle, VersionDeriver.study_completed, deriving.is_up_to_date
    drawing = threading.local()

    def leave_once(self: Outbox, database: Database, done: Iterable[int]) -> None:
        numbers = list(done)
        with database.unit_of_work() as work:
            row = OutboxDelivery
            again = update(row).where(row.delivery_id.in_(numbers), row.attempts == 1)
            values = {"due_at": work.clock.now(), "claimed_by": ""}
            left = work.session.scalars(again.values(**values).returning(row.delivery_id)).all()
        settle(self, database, set(numbers) - set(left))

    def study_completed(self: VersionDeriver, event: StudyCompleted) -> None:
        drawing.begun = set()
        try:
            told(self, event)
        finally:
            del drawing.begun

    def looks_too_late(current: Version | None, generation: int, inputs: str) -> bool:
        begun: set[str] | None = getattr(drawing, "begun", None)
        if begun is None or inputs in begun:
            return honest(current, generation, inputs)
        begun.add(inputs)
        return False

    Outbox.settle = leave_once  # type: ignore[method-assign]
    VersionDeriver.study_completed = study_completed  # type: ignore[method-assign]
    deriving.is_up_to_date = looks_too_late
    ledger.is_up_to_date = lambda _version, _generation, _inputs: False


MODES = {
    "answers-early": answer_early,
    "never-flushes": never_flush,
    "never-flushes-names": never_flush_names,
    "never-looks-back": never_look_back,
    "ignores-errors": ignore_errors,
    "stores-at-release": store_at_release,
    "matches-by-uid": match_by_uid,
    "draws-again": draw_again,
}

if __name__ == "__main__":
    MODES[sys.argv.pop(1)]()
    main()
