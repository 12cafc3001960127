"""Storage SCPs to send to: pynetdicom's, with whatever behaviour a test wants of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dicom_router.sending.model import Destination
from tests.support.waiting import eventually


@dataclass
class StoringPeer:
    """A peer that keeps what it is sent: (SOP Instance UID, transfer syntax, dataset bytes)."""

    port: int
    kept: list[tuple[str, str, bytes]] = field(default_factory=list)
    requests: list[Dataset] = field(default_factory=list)

    def destination(self, **changes: object) -> Destination:
        values: dict[str, object] = {
            "name": "peer",
            "ae_title": "PEER",
            "host": "127.0.0.1",
            "port": self.port,
            "calling_ae_title": "EIRHUB",
        }
        return Destination(**(values | changes))  # type: ignore[arg-type]


@contextmanager
def storing_peer(
    contexts: dict[str, list[str]],
    answer: Callable[[evt.Event], int | Dataset] = lambda _: 0x0000,
    *,
    maximum_pdu_size: int = 16384,
    require_called_aet: bool = False,
) -> Iterator[StoringPeer]:
    """A peer that takes `contexts` and answers each C-STORE with what `answer` returns."""
    entity = AE("PEER")
    entity.require_called_aet = require_called_aet
    entity.maximum_pdu_size = maximum_pdu_size
    # A line that a test has cut before it asked for anything must not keep the peer waiting long.
    entity.acse_timeout = 5.0
    entity.network_timeout = entity.dimse_timeout = 60.0
    for sop_class, syntaxes in contexts.items():
        entity.add_supported_context(sop_class, syntaxes)
    peer = StoringPeer(0)

    def stored(event: evt.Event) -> int | Dataset:
        data = event.request.DataSet.getvalue()
        syntax = str(event.context.transfer_syntax)
        peer.kept.append((str(event.request.AffectedSOPInstanceUID), syntax, data))
        peer.requests.append(event.request)
        return answer(event)

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, stored)]
    )
    peer.port = server.server_address[1]
    try:
        yield peer
    finally:
        eventually(lambda: not server.active_associations)
        server.shutdown()
