"""Tells a broker what the outbox owes; says while the broker is away, so that others deliver.

Each message is about one delivery, or about several of the quick kind. Nothing but numbers is in
it. A queue is kept short: what waits, waits in the outbox, where it is counted and urgent work
overtakes. What was handed over and has neither been claimed nor waits at the broker is lost, and is
handed over again.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from celery import Celery
from kombu import Connection

from hub_kernel.database import Database
from hub_kernel.handing_over import Handed, HandOver, hand_over, to_hand_over
from hub_kernel.outbox import Outbox
from hub_runtime.celery_lane import TASK, queue, queue_name

log = logging.getLogger(__name__)

_POLL_S = 0.5
_LOST_S = 10.0
_LATE_S = 600.0
_WAITING = 256
_TOGETHER = 64
_ASK_EVERY = 4


class Relay:
    """Hands over what is due, in a thread; of several relays over one outbox each takes others."""

    def __init__(self, database: Database, outbox: Outbox, app: Celery) -> None:
        self._database = database
        self._outbox = outbox
        self._app = app
        self._heavy = {one.kind for one in outbox.subscribers.values() if one.heavy}
        self._kinds = sorted({one.kind for one in outbox.subscribers.values()})
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._answers = threading.Event()
        self._said_away = False
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    @property
    def broker_answers(self) -> bool:
        """Whether the broker answered when it was asked last."""
        return self._answers.is_set()

    def start(self) -> None:
        """Begin; returns at once."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._relay, name="broker-relay")
        self._thread.start()

    def stop(self) -> None:
        """End; what has been handed over stays with the broker."""
        self._stopping.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self) -> None:
        """Look now instead of at the next poll."""
        self._due.set()

    def _relay(self) -> None:
        turn = 0
        while not self._stopping.is_set():
            self._due.clear()
            try:
                wanted = to_hand_over(self._database, self._outbox, _LOST_S)
            except Exception:  # background loop: a database that is away comes back
                log.exception("the outbox cannot be reached; trying again")
                wanted = set()
            if wanted or turn % _ASK_EVERY == 0 or not self._answers.is_set():
                self._turn(wanted)
            turn += 1
            self._due.wait(_POLL_S)
        self._disconnect()

    def _turn(self, wanted: set[tuple[str, bool]]) -> None:
        try:
            connection = self._connected()
            self._declare(connection, self._kinds[0], urgent=False)
            for kind, urgent in sorted(wanted, key=lambda one: (not one[1], one[0])):
                self._hand_over(connection, kind, urgent=urgent)
        except Exception as error:  # noqa: BLE001 (background loop: brokers fail in many ways)
            self._away(error)
        else:
            if not self._answers.is_set():
                log.info("the broker answers")
            self._said_away = False
            self._answers.set()

    def _hand_over(self, connection: Connection, kind: str, *, urgent: bool) -> None:
        waiting = self._declare(connection, kind, urgent=urgent)
        limit = _WAITING - waiting
        if limit <= 0:
            return
        # A message that waits is late, not lost; but a queue that is never empty hides lost ones.
        lost_s = _LATE_S if waiting else _LOST_S
        handed = hand_over(self._database, self._outbox, HandOver(kind, urgent, limit, lost_s))
        together = 1 if kind in self._heavy else _TOGETHER
        producer = self._app.amqp.Producer(connection.default_channel, auto_declare=False)
        name = queue_name(kind, urgent=urgent)
        for numbers in _messages(handed, together):
            self._app.tasks[TASK].apply_async(
                args=[numbers], queue=name, producer=producer, retry=False
            )

    def _declare(self, connection: Connection, kind: str, *, urgent: bool) -> int:
        """Make sure of the queue; return how many messages wait in it."""
        bound = queue(queue_name(kind, urgent=urgent))(connection.default_channel)
        if not self._answers.is_set():
            bound.declare()
        waiting: int = bound.queue_declare().message_count
        return waiting

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
            self._connection.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=1.0)

    def _away(self, error: Exception) -> None:
        self._answers.clear()
        self._disconnect()
        if not self._said_away:
            self._said_away = True
            # Not the error itself: it may hold the broker's address and password.
            log.error(
                "the broker does not answer; deliveries go on without it",
                extra={"error": type(error).__name__},
            )


def _messages(handed: Sequence[Handed], together: int) -> Iterator[list[int]]:
    """Split what is handed over; what was tried before goes alone: it may have ended a worker."""
    fresh = [one.delivery_id for one in handed if not one.tried]
    for start in range(0, len(fresh), together):
        yield fresh[start : start + together]
    for one in handed:
        if one.tried:
            yield [one.delivery_id]
