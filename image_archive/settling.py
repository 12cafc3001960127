"""Give secured instances their keys and rows, many at a time, after their senders were answered.

What is secured survives a power cut in the spool, so the answer need not wait for any of this. A
failure here loses nothing: what was acknowledged is tried again until it succeeds, in this process
or at the next start, and meanwhile nothing more is acknowledged.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from hub_kernel.errors import HubError
from hub_kernel.metrics import Metrics
from image_archive.backend import ArchiveBackend, SpooledObject
from image_archive.claims import Claims
from image_archive.errors import ArchiveBusyError, ArchiveError, ArchiveUnavailableError
from image_archive.index_writing import Arrival, Finding
from image_archive.progress import Progress
from image_archive.recording import ReceiptRecorder

log = logging.getLogger(__name__)

MOST_UNSETTLED = 192
MOST_UNSETTLED_BYTES = 268_435_456
_LARGEST_BATCH = 64
_GATHER_S = 0.05
_IDLE_S = 5.0
_RETRY_S = 1.0
_PATIENCE_S = 30.0


@dataclass(eq=False)
class Secured:
    """One instance that is safe in the spool.

    `acknowledged` says that its sender is told so at once; otherwise somebody waits to hear what
    the index makes of it, and a failure undoes it. `claimed` is released when it is over.
    """

    arrival: Arrival
    spooled: SpooledObject
    claimed: tuple[str, ...]
    acknowledged: bool
    secured_at: float = field(default_factory=time.monotonic)
    number: int = 0
    published: bool = False
    outcome: Finding | ArchiveError | None = None

    @property
    def size(self) -> int:
        """Bytes of its dataset."""
        return self.arrival.receipt.dataset_bytes


class Settler:
    """One background thread for all instances, begun by the first, ended when none come."""

    def __init__(
        self,
        backend: ArchiveBackend,
        recorder: ReceiptRecorder,
        claims: Claims,
        metrics: Metrics | None = None,
    ) -> None:
        self._progress = Progress(backend.shared_folder)
        self._backend = backend
        self._recorder = recorder
        self._claims = claims
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: list[Secured] = []
        self._under_way: list[Secured] = []
        self._stuck: list[Secured] = []
        self._retry_at = 0.0
        self._urgent = 0
        self._bytes = 0
        self._submitted = 0
        self._attempts = 0
        self._trouble: ArchiveError | None = None
        self._thread: threading.Thread | None = None
        self._closing = False

    def require_room(self) -> None:
        """Return when one more may be acknowledged: the backlog is bounded, and it moves.

        Raises:
            ArchiveError: what keeps the backlog from being settled.
        """
        deadline = time.monotonic() + _PATIENCE_S
        with self._changed:
            while self._unsettled() >= MOST_UNSETTLED or self._bytes >= MOST_UNSETTLED_BYTES:
                self._require_no_trouble()
                if not self._changed.wait(deadline - time.monotonic()):
                    raise ArchiveBusyError("archive: too much waits for the index")
            if self._trouble is not None:
                self._try_again_now()
            self._require_no_trouble()

    def submit(self, item: Secured) -> None:
        """Settle `item` soon, at once if it is not acknowledged."""
        with self._changed:
            self._submitted += 1
            item.number = self._submitted
            self._waiting.append(item)
            self._bytes += item.size
            self._urgent += not item.acknowledged
            self._note_progress()
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._run, name="settle", daemon=True)
                self._thread.start()
            if not item.acknowledged or len(self._waiting) in {1, _LARGEST_BATCH}:
                self._changed.notify_all()

    def finding(self, item: Secured) -> Finding:
        """Wait for an item that was not acknowledged.

        Raises:
            ArchiveError: it was undone.
        """
        with self._changed:
            while item.outcome is None:
                self._changed.wait()
        if isinstance(item.outcome, ArchiveError):
            raise item.outcome
        return item.outcome

    def wait(self, patience_s: float) -> bool:
        """Wait until all that was submitted so far is settled, by other processes too.

        False when it took too long, and at once when nothing can be settled now.
        """
        deadline = time.monotonic() + patience_s
        with self._changed:
            last = self._submitted
            while any(item.number <= last for item in self._all()):
                self._urgent += 1
                self._changed.notify_all()
                late = not self._changed.wait(max(0.0, deadline - time.monotonic()))
                if late or self._trouble is not None:
                    return False
        return self._progress.wait_for_others(deadline)

    def close(self) -> None:
        """Settle what can be, leave the rest in the spool for the next start, end the thread."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._closing = True
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        self._progress.close()

    def _note_progress(self) -> None:
        # Each list is in the order of the numbers: what was stuck is tried before what came later.
        lists = (self._stuck, self._under_way, self._waiting)
        unsettled = min((items[0].number for items in lists if items), default=self._submitted + 1)
        in_trouble = self._trouble is not None
        self._progress.note(self._submitted, unsettled - 1, in_trouble=in_trouble)

    def _try_again_now(self) -> None:
        """Let what is stuck be tried once more: the trouble may have passed."""
        attempt, deadline = self._attempts, time.monotonic() + _RETRY_S
        self._retry_at = 0.0
        self._urgent += 1
        self._changed.notify_all()
        while self._attempts == attempt and time.monotonic() < deadline:
            self._changed.wait(_RETRY_S)

    def _require_no_trouble(self) -> None:
        if self._trouble is not None:
            raise type(self._trouble)(*self._trouble.args) from self._trouble

    def _all(self) -> list[Secured]:
        return [*self._waiting, *self._under_way, *self._stuck]

    def _unsettled(self) -> int:
        return len(self._waiting) + len(self._under_way) + len(self._stuck)

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._settle(batch)
            except (HubError, SQLAlchemyError, OSError) as error:
                log.exception("a batch could not be settled")
                failure = ArchiveBusyError(f"archive: {type(error).__name__}")
                self._end(batch, [item.outcome or failure for item in batch])

    def _next_batch(self) -> list[Secured]:
        """Wait for something to settle and gather what comes meanwhile; empty to end the thread."""
        with self._changed:
            while not self._waiting and not self._retry_is_due():
                if self._closing:
                    return []
                wait_s = self._retry_at - time.monotonic() if self._stuck else _IDLE_S
                if not self._changed.wait(wait_s) and not self._waiting and not self._stuck:
                    self._thread = None
                    return []
            end = time.monotonic() + _GATHER_S
            while not (self._urgent or self._closing or len(self._waiting) >= _LARGEST_BATCH):
                if not self._changed.wait(end - time.monotonic()) or time.monotonic() >= end:
                    break
            self._urgent = 0
            stuck = self._stuck if self._retry_is_due() else []
            self._under_way = [*stuck, *self._waiting[:_LARGEST_BATCH]]
            if stuck:
                self._stuck = []
            del self._waiting[:_LARGEST_BATCH]
            return self._under_way

    def _retry_is_due(self) -> bool:
        return bool(self._stuck) and time.monotonic() >= self._retry_at and not self._closing

    def _settle(self, batch: Sequence[Secured]) -> None:
        unpublished = [item for item in batch if not item.published]
        errors = self._backend.publish_together(
            [(item.spooled, item.arrival.receipt.storage_key) for item in unpublished]
        )
        outcomes: dict[int, Finding | ArchiveError] = {}
        for item, error in zip(unpublished, errors, strict=True):
            item.published = error is None
            if error is not None:
                outcomes[item.number] = error
        ready = [item for item in batch if item.published]
        findings = self._recorder.record_all([item.arrival for item in ready])
        outcomes.update(zip([item.number for item in ready], findings, strict=True))
        self._end(batch, [outcomes[item.number] for item in batch])

    def _end(self, batch: Sequence[Secured], outcomes: Sequence[Finding | ArchiveError]) -> None:
        stuck: list[Secured] = []
        settled = 0
        for item, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, ArchiveError):
                self._tidy(item, outcome)
                settled += 1
            elif item.acknowledged:
                log.error("an instance stays in the spool", extra={"error": str(outcome)})
                stuck.append(item)
                continue
            else:
                self._take_back(item)
            item.spooled.discard()
            for name in item.claimed:
                self._claims.release(name)
        with self._changed:
            for item, outcome in zip(batch, outcomes, strict=True):
                if item not in stuck:
                    item.outcome = outcome
                    self._bytes -= item.size
            self._under_way = []
            self._keep(stuck, outcomes, settled)
            self._note_progress()
            self._changed.notify_all()

    def _keep(
        self, stuck: list[Secured], outcomes: Sequence[Finding | ArchiveError], settled: int
    ) -> None:
        """Remember what is to be tried again; where nothing succeeds, acknowledge nothing."""
        self._attempts += 1
        self._stuck += stuck
        if stuck:
            self._retry_at = time.monotonic() + _RETRY_S
        if settled or not self._stuck:
            self._trouble = None
        elif stuck:
            errors = [outcome for outcome in outcomes if isinstance(outcome, ArchiveError)]
            lasting = [error for error in errors if isinstance(error, ArchiveUnavailableError)]
            self._trouble = (lasting or errors)[0]

    def _tidy(self, item: Secured, finding: Finding) -> None:
        """Remove bytes the index turned out to have already; note how long it took."""
        if self._metrics is not None:
            self._metrics.findable_seconds.observe(time.monotonic() - item.secured_at)
        uid = item.arrival.header.sop_instance_uid
        if finding is Finding.ALREADY_STORED:
            with suppress(ArchiveError):
                live, key = self._recorder.instance(uid), item.arrival.receipt.storage_key
                if live and not self._backend.is_one_object(live.storage_key, key):
                    self._backend.delete(key)
        elif item.acknowledged and finding in _CONFLICTS:
            log.error("an acknowledged instance turned out to be in conflict; it is kept apart")

    def _take_back(self, item: Secured) -> None:
        """Free the room of bytes that certainly have no row."""
        with suppress(HubError, OSError):
            if self._recorder.instance(item.arrival.header.sop_instance_uid) is None:
                self._backend.delete(item.arrival.receipt.storage_key)


_CONFLICTS = frozenset({Finding.CONFLICTING_INSTANCE, Finding.CONFLICTING_STUDY})
