"""The words of sending: where to, what is proposed, what goes out, and what the peer answered."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})


@dataclass(frozen=True)
class Destination:
    """A peer to send to. With `tls` the connection is DICOM TLS (PS3.15 B.9) and `host` is checked.

    `name` is the hub's own word for it, in logs and settings.
    """

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    tls: ssl.SSLContext | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SendLimits:
    """Deadlines, each of one wait, in seconds; and the longest P-DATA-TF taken, in bytes.

    `connect_s`: transport, TLS handshake and A-ASSOCIATE-AC, each. `answer_s`: from the last byte
    of a request to the first of its response. `patience_s`: the peer takes one P-DATA-TF of at
    most 128 KiB.
    """

    connect_s: float = 10.0
    answer_s: float = 120.0
    patience_s: float = 60.0
    own_max_length: int = 65_536


@dataclass(frozen=True)
class Proposal:
    """One presentation context to propose; `as_scp` asks for the SCP role (PS3.7 D.3.3.4)."""

    sop_class_uid: str
    transfer_syntaxes: tuple[str, ...]
    as_scp: bool = False


@dataclass(frozen=True)
class OutgoingInstance:
    """An instance in one transfer syntax. `dataset` gives its bytes, anew each time it is called.

    `dataset` raises `InstanceUnavailableError` before its first byte when it cannot give all.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: Callable[[], Iterator[bytes]]


class StoreOutcome(StrEnum):
    """The class of a C-STORE status (PS3.4 B.2.3, PS3.7 annex C)."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class StoreAnswer:
    """What the peer answered to one C-STORE, in its own words."""

    status: int
    comment: str = ""

    @property
    def outcome(self) -> StoreOutcome:
        """The class of the status; with a warning the peer has the instance too."""
        if self.status == 0x0000:
            return StoreOutcome.SUCCESS
        if self.status in _WARNINGS or self.status >> 12 == 0xB:
            return StoreOutcome.WARNING
        return StoreOutcome.FAILURE
