"""One lane to one destination: lease a batch, send it over one association, write the answers.

Two lanes share the work of a destination where it takes two associations: one is kept free for
emergencies. Where it takes one, a batch is broken off between two instances when one comes in.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from dicom_router.forwarding.breaker import Breaker, Delivered
from dicom_router.forwarding.ledger import Ledger
from dicom_router.forwarding.model import BreakerState, Claim, Item, Result
from dicom_router.forwarding.pacing import Pacer
from dicom_router.forwarding.seat import Seat
from dicom_router.forwarding.sender import (
    DestinationUnavailableError,
    Parcel,
    Sender,
    SendingStoppedError,
    Sent,
)
from dicom_router.forwarding.verdicts import Verdict
from dicom_router.routing.model import Priority
from dicom_router.routing.windows import Window, parse
from hub_kernel.database import Database
from hub_kernel.metrics import Metrics

log = logging.getLogger(__name__)

_WRITE_AFTER = 16
_WRITE_AFTER_S = 1.0
_LOOK_FOR_URGENT_S = 1.0
_MOST_RETRIES = 3
_LEASE_S = 900.0
# A queue may hold millions of rows with a handful of schedules between them.
_SCHEDULES_S = 30.0
_TAKEN = frozenset({Verdict.ACCEPTED, Verdict.NOTED})


@dataclass(frozen=True)
class Line:
    """One destination as its lanes see it."""

    name: str
    sender: Sender
    pacer: Pacer
    seat: Seat
    committing: bool = False


@dataclass(frozen=True)
class LaneParts:
    """What every lane works with. `local` turns a moment into the time of the region."""

    database: Database
    ledger: Ledger
    parcel_of: Callable[[Item], Parcel | None]
    metrics: Metrics
    local: Callable[[datetime], datetime]
    owner: str


class Lane:
    """Serves one destination, one batch at a time.

    `ends` are two events: send no further instance, and break off the one under way.
    """

    def __init__(
        self,
        parts: LaneParts,
        line: Line,
        *,
        ends: tuple[threading.Event, threading.Event],
        urgent_only: bool = False,
        alone: bool = True,
    ) -> None:
        self._parts = parts
        self._line = line
        self._stopping, self._at_once = ends
        self._urgent_only = urgent_only
        self._alone = alone
        self._breaker = Breaker(parts.database, line.name)
        self._schedules: dict[str, Window] = {}
        self._schedules_read = -math.inf

    def turn(self) -> bool:
        """Send one batch if there is one; tell whether something was sent.

        Whatever happens, every row that was leased is recorded or given back.
        """
        state = self._breaker.state()
        if state in {BreakerState.HELD, BreakerState.OPEN}:
            return False
        claim = Claim(
            destination=self._line.name,
            owner=self._parts.owner,
            schedules=self._open_schedules(),
            limit=1 if state is BreakerState.PROBING else 32,
            lease_s=_LEASE_S,
            most_urgent_only=self._urgent_only,
        )
        if not self._parts.ledger.is_due(claim) or not self._line.seat.is_ours():
            return False
        items = self._parts.ledger.claim(claim)
        if not items:
            return False
        batch = _Batch(self._parts, self._line, items, self._at_once)
        try:
            return self._send(batch)
        finally:
            batch.end()

    def _send(self, batch: "_Batch") -> bool:
        """Send until all is sent or there is a reason to stop; tell whether it was answered."""
        try:
            with closing(self._line.sender.send(batch.parcels(), batch.pace)) as answers:
                for sent in answers:
                    batch.add(sent)
                    if self._is_enough(batch):
                        break
        except DestinationUnavailableError as failure:
            batch.broken(failure)
            self._fail(str(failure), permanent=failure.permanent)
            return False
        except SendingStoppedError:
            return False
        if not batch.answered:
            self._fail(batch.last_words)
        return bool(batch.answered)

    def _is_enough(self, batch: "_Batch") -> bool:
        if self._stopping.is_set() or batch.retries_in_a_row >= _MOST_RETRIES:
            return True
        return self._alone and batch.looks_for_urgent() and self._urgent_came(batch)

    def _urgent_came(self, batch: "_Batch") -> bool:
        if all(item.priority == Priority.EMERGENCY for item in batch.items):
            return False
        return self._parts.ledger.something_urgent(self._line.name)

    def _fail(self, reason: str, *, permanent: bool = False) -> None:
        log.warning("a destination fails", extra={"destination": self._line.name, "reason": reason})
        self._breaker.failed(reason, permanent=permanent)

    def _open_schedules(self) -> frozenset[str]:
        """Return the schedules whose hours are now; what there is, is looked up now and then."""
        if time.monotonic() - self._schedules_read > _SCHEDULES_S:
            self._schedules_read = time.monotonic()
            known = self._parts.ledger.schedules(self._line.name)
            self._schedules = {text: during for text in known if (during := parse(text))}
        now = self._parts.local(self._parts.database.clock.now())
        return frozenset({""}) | {
            text for text, during in self._schedules.items() if during.contains(now)
        }


@dataclass
class _Batch:
    """The leased rows of one association, and what is known of each so far."""

    parts: LaneParts
    line: Line
    items: Sequence[Item]
    at_once: threading.Event
    answered: int = 0
    retries_in_a_row: int = 0
    last_words: str = ""
    _unwritten: list[Result] = field(default_factory=list)
    _taken_bytes: int = 0
    _began: float = field(default_factory=time.monotonic)
    _written: float = field(default_factory=time.monotonic)
    _extended: float = field(default_factory=time.monotonic)
    _looked: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._open = {item.item_id: item for item in self.items}

    def parcels(self) -> list[Parcel]:
        """Return what is to be sent; a row whose instance has left the archive is parked."""
        found = [self.parts.parcel_of(item) for item in self.items]
        for item, parcel in zip(self.items, found, strict=True):
            if parcel is None:
                self._hear(
                    Result(
                        item.item_id,
                        Verdict.PARK,
                        "gone",
                        "the archive shows it no more: deleted, or taken back by its maker",
                    )
                )
        return [parcel for parcel in found if parcel is not None]

    def add(self, sent: Sent) -> None:
        """Take what the destination said; it is written soon, together with others."""
        self._hear(
            Result(sent.item_id, sent.verdict, sent.status, sent.comment, sent.transfer_syntax_uid)
        )
        late = time.monotonic() - self._written > _WRITE_AFTER_S
        if late or len(self._unwritten) >= _WRITE_AFTER:
            self._write()

    def broken(self, failure: DestinationUnavailableError) -> None:
        """Charge the parcel that was under way when the association broke."""
        if failure.in_flight in self._open:
            self._hear(Result(failure.in_flight, Verdict.RETRY, "", str(failure)))
        self._write()

    def pace(self, count: int) -> None:
        """Wait until `count` more bytes may leave; keep the leases meanwhile.

        Raises:
            SendingStoppedError: the hub ends now, or slept until another process sends.
        """
        self.line.pacer(count)
        if self.at_once.is_set():
            raise SendingStoppedError("the hub is being ended")
        if not self.line.seat.is_ours():
            raise SendingStoppedError("another process has the destination by now")
        if time.monotonic() - self._extended > _LEASE_S / 3:
            self._extended = time.monotonic()
            self.parts.ledger.extend(self.parts.owner, list(self._open), _LEASE_S)

    def looks_for_urgent(self) -> bool:
        """Tell whether it is time to look for something more urgent."""
        if time.monotonic() - self._looked < _LOOK_FOR_URGENT_S:
            return False
        self._looked = time.monotonic()
        return True

    def end(self) -> None:
        """Write what is unwritten and give back what was not tried."""
        self._write()
        if self._open:
            self.parts.ledger.give_back(self.parts.owner, list(self._open))

    def _hear(self, result: Result) -> None:
        item = self._open.pop(result.item_id)
        self._unwritten.append(result)
        self.last_words = " ".join(filter(None, (result.status, result.comment)))
        retry = result.verdict is Verdict.RETRY
        self.retries_in_a_row = self.retries_in_a_row + 1 if retry else 0
        self.answered += not retry
        metrics = self.parts.metrics
        metrics.forwarded.labels(self.line.name, str(result.verdict)).inc()
        if result.verdict in _TAKEN:
            self._taken_bytes += item.dataset_bytes
            metrics.forwarded_bytes.labels(self.line.name).inc(item.dataset_bytes)

    def _write(self) -> None:
        if not self._unwritten:
            return
        results, self._unwritten = self._unwritten, []
        now = time.monotonic()
        with self.parts.database.unit_of_work() as work:
            self.parts.ledger.record(
                work.session, self.parts.owner, results, committing=self.line.committing
            )
            if any(result.verdict is not Verdict.RETRY for result in results):
                taken = sum(result.verdict in _TAKEN for result in results)
                delivered = Delivered(taken, self._taken_bytes, now - self._written)
                Breaker(self.parts.database, self.line.name).succeeded(work.session, delivered)
        self._taken_bytes, self._written = 0, now
