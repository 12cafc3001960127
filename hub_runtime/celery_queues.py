"""What waits in the hub's queues at the broker, for whoever looks after it."""

from collections.abc import Iterable
from dataclasses import dataclass

from kombu import Connection

from hub_kernel.errors import HubError
from hub_runtime.celery_lane import queue, queue_name, transport_options


class BrokerError(HubError):
    """The broker does not answer, or refuses; the message says which, and holds no password."""


@dataclass(frozen=True)
class QueueState:
    """One queue: its messages; `takers` is how many workers' lanes take them, None where untold."""

    name: str
    messages: int
    takers: int | None


def queue_states(broker_url: str, kinds: Iterable[str], timeout_s: float) -> list[QueueState]:
    """Return the queues for these kinds of work that there are; nothing is made or taken.

    Raises:
        BrokerError: it cannot be said.
    """
    names = [queue_name(kind, urgent=urgent) for kind in sorted(kinds) for urgent in (True, False)]
    options = transport_options(broker_url)
    try:
        with Connection(
            broker_url, connect_timeout=timeout_s, transport_options=options
        ) as connection:
            connection.connect()
            return [one for one in (_state(connection, name) for name in names) if one is not None]
    except Exception as error:  # noqa: BLE001 (brokers fail in many ways)
        # Not the error itself: it may hold the broker's address and password.
        raise BrokerError(type(error).__name__) from None


def _state(connection: Connection, name: str) -> QueueState | None:
    # Redis has no queues, only lists, and an empty one is none.
    told_apart = connection.transport.driver_type == "amqp"
    channel = connection.channel()  # which the answer that there is no such queue closes
    try:
        declared = queue(name)(channel).queue_declare(passive=told_apart)
    except connection.channel_errors:
        return None
    else:
        channel.close()
    takers = declared.consumer_count if told_apart else None
    return QueueState(name, declared.message_count, takers)
