"""One fault of the line at a time, in the middle of an upload: it goes on and changes nothing."""

import time
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

from edge_gateway.client import HubAddress, HubClient, LineLimits
from edge_gateway.errors import HubNotReadyError, LineDownError
from edge_gateway.model import HubReceipt, Offer
from tests.edge_gateway.region import Line, Region, big, offer_of
from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind

TRIES = 10
CHUNK = 65_536
# A connection for the offer and one for each chunk: so each fault meets the chunk it is for.
GOOD: list[Fault | None] = [None] * 5
IN_THE_MIDDLE = 30_000  # of the fifth chunk of sixteen

# A chunk's bytes are sent again after each of these; `half open` tells nobody but the clock.
MET_WHILE_SENDING = {
    "cut": Fault(FaultKind.CUT, IN_THE_MIDDLE),
    "reset": Fault(FaultKind.RESET, IN_THE_MIDDLE),
    "corrupt": Fault(FaultKind.CORRUPT, IN_THE_MIDDLE),
    "half open": Fault(FaultKind.STALL, IN_THE_MIDDLE),
}
MET_IN_THE_ANSWER = {
    "cut": Fault(FaultKind.CUT, 100, towards="client"),
    "reset": Fault(FaultKind.RESET, 100, towards="client"),
    "half open": Fault(FaultKind.STALL, 100, towards="client"),
    "corrupt": Fault(FaultKind.CORRUPT, 2, towards="client"),
}


class Asking(HubClient):
    """Counts how often it asks the hub where to go on; the first time is the offer."""

    offers = 0

    def _offer(self, *asked: Any) -> Any:
        self.offers += 1
        return super()._offer(*asked)


def client(
    region: Region, proxy: ChaosProxy, fault: Fault | None = None, *, staying: bool = False
) -> Asking:
    """A client that knows a silent line by the time alone, and has all the time otherwise.

    Unless its connection is to stay, each request has one of its own.
    """
    silence_s = 2.0 if fault and fault.kind is FaultKind.STALL else 60.0
    address = HubAddress(f"http://127.0.0.1:{proxy.port}", "sijing", region.token("sijing"))
    made = Asking(address, LineLimits(connect_s=60.0, silence_s=silence_s, chunk_bytes=CHUNK))
    if not staying:
        made._line._headers["Connection"] = "close"  # noqa: SLF001 (no gateway asks for that)
    return made


def carried(
    upload: HubClient, offer: Offer, opened: Callable[[], BinaryIO], line: Line
) -> tuple[HubReceipt, int]:
    """Upload as the queue does, again after a break; return the receipt and how often it broke."""
    for broken in range(TRIES):
        try:
            return upload.upload(offer, opened, line), broken
        except (LineDownError, HubNotReadyError):
            time.sleep(0.1)
    raise AssertionError(f"not over after {TRIES} tries")


def assert_whole(region: Region, offer: Offer, opened: Callable[[], BinaryIO]) -> None:
    with region.hub.archive.open_dataset(offer.sop_instance_uid) as stored:
        assert stored.read() == opened().read()
    assert not list((region.hub.settings.hub.data_dir / "uploads").glob("*/*.part"))


def chunks(offer: Offer) -> int:
    return -(-offer.dataset_bytes // CHUNK)


def proxy_of(region: Region) -> ChaosProxy:
    return ChaosProxy(("127.0.0.1", int(region.url.rpartition(":")[2])))


def test_control_a_good_line_carries_every_byte_once(region: Region) -> None:
    offer, opened = offer_of(big())
    line = Line()
    with proxy_of(region) as proxy:
        _, broken = carried(client(region, proxy), offer, opened, line)
    assert (proxy.injected, proxy.connections, broken) == (0, 1 + chunks(offer), 0)
    assert line.sent == offer.dataset_bytes
    assert_whole(region, offer, opened)


@pytest.mark.parametrize("name", MET_WHILE_SENDING)
def test_a_fault_among_the_bytes_costs_one_chunk(region: Region, name: str) -> None:
    offer, opened = offer_of(big())
    line = Line()
    with proxy_of(region) as proxy:
        proxy.plan([*GOOD, MET_WHILE_SENDING[name]])
        carried(client(region, proxy, MET_WHILE_SENDING[name]), offer, opened, line)
    assert proxy.injected == 1
    # Control: it met this upload, whose bytes alone passed, and cost something but not the whole.
    assert 0 < line.sent - offer.dataset_bytes <= CHUNK
    assert_whole(region, offer, opened)


def test_a_connection_that_stays_and_is_cut_costs_one_chunk(region: Region) -> None:
    offer, opened = offer_of(big())
    line = Line()
    with proxy_of(region) as proxy:
        proxy.plan([Fault(FaultKind.CUT, 5 * CHUNK)])
        carried(client(region, proxy, staying=True), offer, opened, line)
    assert (proxy.injected, proxy.connections) == (1, 2)
    assert 0 < line.sent - offer.dataset_bytes <= CHUNK
    assert_whole(region, offer, opened)


@pytest.mark.parametrize("name", MET_IN_THE_ANSWER)
def test_a_fault_in_an_answer_loses_nothing(region: Region, name: str) -> None:
    offer, opened = offer_of(big())
    line = Line()
    with proxy_of(region) as proxy:
        proxy.plan([*GOOD, MET_IN_THE_ANSWER[name]])
        asking = client(region, proxy, MET_IN_THE_ANSWER[name])
        carried(asking, offer, opened, line)
    assert proxy.injected == 1
    # Control: the answer that was harmed was one to this upload, which asked where to go on.
    assert asking.offers >= 2
    assert line.sent <= offer.dataset_bytes + CHUNK
    assert_whole(region, offer, opened)


def test_a_line_that_refuses_lets_the_upload_begin_later(region: Region) -> None:
    offer, opened = offer_of(big())
    line = Line()
    with proxy_of(region) as proxy:
        proxy.plan([Fault(FaultKind.REFUSE), Fault(FaultKind.REFUSE)])
        _, broken = carried(client(region, proxy), offer, opened, line)
    # Control: both met this upload, and each ended one attempt.
    assert (proxy.injected, broken, proxy.connections) == (2, 2, 3 + chunks(offer))
    assert line.sent == offer.dataset_bytes
    assert_whole(region, offer, opened)


def test_a_line_that_refuses_in_the_middle_lets_the_upload_go_on(region: Region) -> None:
    offer, opened = offer_of(big())
    line = Line()
    with proxy_of(region) as proxy:
        proxy.plan([*GOOD, Fault(FaultKind.CUT, IN_THE_MIDDLE), Fault(FaultKind.REFUSE)])
        _, broken = carried(client(region, proxy), offer, opened, line)
    assert (proxy.injected, broken) == (2, 1)
    assert 0 < line.sent - offer.dataset_bytes <= CHUNK
    assert_whole(region, offer, opened)
