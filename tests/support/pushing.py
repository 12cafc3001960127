"""A sender that says for every instance what it was answered, and gives up when the line does."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.dicom_router.wire import (
    ASSOCIATE_AC,
    CT,
    EXPLICIT,
    P_DATA,
    RELEASE_RQ,
    RawPeer,
    RequestParts,
    context_item,
    elements_of,
    p_data,
    pdu,
    store_rq,
)

PIECE_BYTES = 100_000


@dataclass(frozen=True)
class Sent:
    """One instance to push: its UID and its dataset, whole or in pieces."""

    sop_instance_uid: str
    dataset: bytes | Iterable[bytes]
    sop_class_uid: str = CT

    def fragments(self) -> Iterator[bytes]:
        """P-DATA-TFs, the last of which says so."""
        pieces = iter(self._pieces())
        piece = next(pieces)
        for following in pieces:
            yield p_data(3, 0, piece)
            piece = following
        yield p_data(3, 2, piece)

    def _pieces(self) -> Iterable[bytes]:
        if not isinstance(self.dataset, bytes):
            return self.dataset
        whole = self.dataset
        return (whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES))


def push(
    port: int,
    instances: Iterable[Sent],
    *,
    calling: bytes = b"CT1",
    called: bytes = b"EIRHUB",
    timeout_s: float = 60.0,
) -> dict[str, int]:
    """Send over one association; return SOP Instance UID → status of those that were answered."""
    answered: dict[str, int] = {}
    try:
        with RawPeer(port, timeout_s) as peer:
            _push(peer, instances, (calling, called), answered)
    except (OSError, AssertionError):
        return answered  # the line is gone, or what came over it is no answer
    return answered


def _push(
    peer: RawPeer,
    instances: Iterable[Sent],
    titles: tuple[bytes, bytes],
    answered: dict[str, int],
) -> None:
    sop_class = ""
    for sent in instances:
        if not sop_class:
            sop_class = sent.sop_class_uid
            contexts = [context_item(3, sop_class, [EXPLICIT])]
            calling, called = titles
            request = RequestParts(calling=calling, called=called, contexts=contexts)
            peer.send(request.encode())
            assert peer.pdu()[0] == ASSOCIATE_AC
        peer.send(store_rq(sent.sop_instance_uid, sop_class_uid=sop_class))
        for fragment in sent.fragments():
            peer.send(fragment)
        kind, body = peer.pdu()
        assert kind == P_DATA, f"PDU type {kind}"
        answer = elements_of(body[6:])
        assert answer.get(0x1000, b"").rstrip(b"\0").decode() == sent.sop_instance_uid
        answered[sent.sop_instance_uid] = int.from_bytes(answer[0x0900], "little")
    peer.send(pdu(RELEASE_RQ, bytes(4)))
    peer.pdu()
