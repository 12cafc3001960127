"""Celery as the hub uses it: one application and one embedded worker for each lane of work.

A message says "deliver these"; it is acknowledged when that is done, one at a time. Queues are
durable, on RabbitMQ of the quorum type, with a queue of its own for the emergencies of each kind of
work: not every RabbitMQ has priorities inside a quorum queue.
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.bootsteps import RUN
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker.consumer import Consumer
from kombu import Exchange, Queue

log = logging.getLogger(__name__)

TASK = "eirhub.deliver"
_EXCHANGE = Exchange("eirhub", type="direct", durable=True)
_ANSWER_S = 5.0
_BREATHER_S = 0.5
# Redis gives a message that is not acknowledged to another worker after this long. Work goes on
# without that: the outbox's own leases run out much earlier.
_VISIBLE_AGAIN_S = 24 * 3600

Handle = Callable[[list[int]], object]


def queue_name(kind: str, *, urgent: bool) -> str:
    """Return the name of the queue for one kind of work."""
    return f"eirhub.{kind}.emergency" if urgent else f"eirhub.{kind}"


def queue(name: str) -> Queue:
    """Return the durable queue of that name, to be declared."""
    quorum = {"x-queue-type": "quorum"}
    return Queue(name, _EXCHANGE, routing_key=name, durable=True, queue_arguments=quorum)


def application(broker_url: str, queues: Sequence[str], handle: Handle) -> Celery:
    """Return an application whose one task gives `handle` the numbers of a message."""
    app = Celery("eirhub", broker=broker_url, set_as_current=False, fixups=[])
    app.conf.update(
        task_queues=[queue(name) for name in queues],
        task_default_queue=queues[0],
        task_default_exchange=_EXCHANGE.name,
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # The lane connects again by itself, as soon as the broker answers.
        broker_connection_retry=False,
        broker_connection_retry_on_startup=False,
        broker_connection_timeout=_ANSWER_S,
        broker_heartbeat=0,
        broker_transport_options=transport_options(broker_url),
    )

    @app.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]
    def deliver(numbers: list[int]) -> None:
        handle(numbers)

    return app


def transport_options(broker_url: str) -> dict[str, Any]:
    """Return what is particular to the broker."""
    if broker_url.startswith("redis"):
        return {
            "visibility_timeout": _VISIBLE_AGAIN_S,
            "socket_connect_timeout": _ANSWER_S,
            "socket_timeout": _ANSWER_S,
            "socket_keepalive": True,
        }
    return {"confirm_publish": True, "read_timeout": _ANSWER_S, "write_timeout": _ANSWER_S}


class _Consumer(Consumer):  # type: ignore[misc]
    """Celery's consumer without what it declares for tasks that are to run later: here none are."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """The steps of the consumer."""

        default_steps = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    def start(self) -> None:
        """Take messages until the end; a line that is broken is let go of without farewell."""
        try:
            super().start()
        except WorkerShutdown as ended:
            if ended.code and self.connection is not None:
                with suppress(Exception):
                    self.connection.collect(socket_timeout=1.0)
            raise


class _Controller(WorkController):  # type: ignore[misc]
    """Celery's worker, ending without a timeout for every socket of the process meanwhile."""

    def _shutdown(self, warm: bool = True) -> None:  # noqa: FBT001, FBT002 (Celery's own signature)
        if self.blueprint is not None:
            self.blueprint.stop(self, terminate=not warm)
            self.blueprint.join()


class CeleryLane:
    """A worker in a thread: takes messages of its queues one at a time, comes back after a loss.

    It connects only while `wanted` says so: while the broker is thought to answer.
    """

    def __init__(self, name: str, app: Celery, wanted: Callable[[], bool]) -> None:
        self._name = name
        self._app = app
        self._wanted = wanted
        self._stopping = threading.Event()
        self._controller: WorkController | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        _quieten()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._serve, name=f"celery-{self._name}")
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Take no new message; returns at once."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        controller = self._controller
        if controller is not None:
            controller.consumer.call_soon(self._end)

    def stop(self) -> None:
        """Let the message under way finish, then return."""
        self.begin_to_stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        # Celery looks for its application here, in this thread alone.
        self._app.set_current()
        while not self._stopping.is_set():
            if self._wanted():
                try:
                    self._work()
                except Exception:  # worker loop: a broker that is away comes back
                    log.exception("a Celery worker failed; trying again")
            self._stopping.wait(_BREATHER_S)

    def _work(self) -> None:
        """Take messages until the end is asked for or the broker is lost."""
        controller = _Controller(
            app=self._app,
            hostname=f"{self._name}@{socket.gethostname()}",
            pool_cls="solo",
            concurrency=1,
            consumer_cls=_Consumer,
            use_eventloop=False,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._controller = controller
        try:
            if not self._stopping.is_set():
                controller.start()
        finally:
            self._controller = None
            with suppress(Exception):
                controller.timer.stop()

    def _end(self) -> None:
        """Be run between two messages, in the thread of the lane, while that takes any."""
        controller = self._controller
        if controller is not None and controller.blueprint.state == RUN:
            raise WorkerShutdown(0)


def _quieten() -> None:
    """Spare the log two lines for each message, and the farewell of a lane that comes back."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_is_no_farewell)


def _is_no_farewell(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Retrying to")
