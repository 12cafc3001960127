"""The edge's end: hand instances over so that nothing that has arrived is sent twice (tus 1.0.0).

Every upload begins with an offer. The hub's answer says how many bytes it holds durably, or that it
has the instance; so whatever was cut, killed or forgotten on either side, the same call goes on
from there. No redirect is followed and no proxy of the environment is used.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

from edge_gateway import protocol
from edge_gateway.errors import BadRequestError, HubNotReadyError, LineDownError
from edge_gateway.line import Answer, HubAddress, Line, LineLimits, raise_for, told_in
from edge_gateway.model import (
    Difference,
    EdgeFigures,
    HeldInstance,
    HubReceipt,
    Offer,
    Proof,
    StudyProgress,
)
from edge_gateway.report import (
    figures_body,
    held_instances_body,
    read_difference,
    read_progress,
)

__all__ = ["HubAddress", "HubClient", "LineLimits", "Pace", "StudiesAnswer"]

Pace = Callable[[int], None]
"""Called with the number of bytes about to be put on the line; it waits while a cap says so."""

_PIECE_BYTES = 16_384
_SMALLEST_CHUNK = 65_536
_WANTED_S = 10.0  # a chunk should take this long: what a cut costs at most
_TRIES_OF_ONE_CHUNK = 4
_BUSY_S = 0.5
# The hub kept nothing of this chunk: it says by a new offer where to go on.
_ASK_AGAIN = frozenset({"offset-mismatch", "checksum-mismatch", "upload-gone"})


@dataclass
class _ChunkSize:
    """How much one request carries: as much as takes some ten seconds on this line."""

    most: int
    now: int = field(init=False)

    def __post_init__(self) -> None:
        self.now = min(self.most, 1024 * 1024)

    def went(self, took_s: float) -> None:
        if took_s < _WANTED_S / 2:
            self.now = min(self.most, self.now * 2)
        elif took_s > _WANTED_S * 2:
            self.broke()

    def broke(self) -> None:
        self.now = max(min(_SMALLEST_CHUNK, self.most), self.now // 2)


class HubClient:
    """Speaks to one hub for one site; safe from many threads.

    Every method raises:
        LineDownError: the hub was not reached, the line broke, or its certificate does not hold.
        HubNotReadyError: the hub cannot take anything now.
        NotAdmittedError: the hub does not know this edge.
        RefusedByHubError: the hub refuses this for good.
    """

    def __init__(self, address: HubAddress, limits: LineLimits | None = None) -> None:
        """Read the certificates, so that wrong files show at the start.

        Raises:
            ConfigurationError: the address or a file cannot be used.
        """
        self._limits = limits or LineLimits()
        self._line = Line(address, self._limits)
        self._chunk = _ChunkSize(self._limits.chunk_bytes)

    def upload(self, offer: Offer, opened: Callable[[], BinaryIO], pace: Pace) -> HubReceipt:
        """Hand the instance over, from wherever an earlier attempt stopped; return its receipt."""
        with opened() as dataset:
            if 0 < offer.dataset_bytes <= self._chunk.now:
                answer = self._offer(offer, _Body(dataset, offer.dataset_bytes, pace))
            else:
                answer = self._offer(offer, None)
            while not answer.receipt:
                answer = self._next_chunk(answer, offer, dataset, pace)
        if answer.receipt.dataset_sha256 != offer.dataset_sha256 or (
            answer.receipt.sop_instance_uid != offer.sop_instance_uid
        ):
            raise LineDownError("the hub's receipt is for something else")
        return answer.receipt

    def report(self, figures: EdgeFigures, instances: Sequence[HeldInstance]) -> None:
        """Say how this edge is, and what it has newly received."""
        self._json(
            "POST",
            "report",
            {"figures": figures_body(figures), "instances": held_instances_body(instances)},
        )

    def studies(self, uids: Sequence[str], etag: str = "") -> "StudiesAnswer | None":
        """Return how far these studies are at the hub, None when nothing changed since `etag`."""
        query = "&".join(f"uid={quote(uid)}" for uid in uids)
        headers = {"If-None-Match": etag} if etag else {}
        response = self._line.request("GET", f"studies?{query}", headers=headers)
        if response.status == 304:
            return None
        try:
            found = tuple(read_progress(row) for row in told_in(response).get("studies", []))
        except (BadRequestError, AttributeError) as error:
            raise LineDownError("the hub's answer cannot be read") from error
        return StudiesAnswer(found, response.headers.get("ETag", ""))

    def compare(self, instances: Sequence[HeldInstance]) -> list[Difference]:
        """Return in what the hub differs from these instances; it notes them as well."""
        told = self._json("POST", "inventory", {"instances": held_instances_body(instances)})
        try:
            return [read_difference(row) for row in told.get("differences", [])]
        except (BadRequestError, AttributeError) as error:
            raise LineDownError("the hub's answer cannot be read") from error

    def prove(self, instances: Sequence[HeldInstance]) -> Proof:
        """Have the hub read these instances again, and return what it found."""
        body = {"instances": held_instances_body(instances), "prove": True}
        told = self._json("POST", "inventory", body)
        try:
            proved = told["proved"]
            differences = tuple(read_difference(row) for row in told["differences"])
            return Proof(frozenset(map(str, proved)), differences)
        except KeyError as error:
            raise HubNotReadyError("the hub is older than this gateway") from error
        except (BadRequestError, AttributeError, TypeError) as error:
            raise LineDownError("the hub's answer cannot be read") from error

    def _offer(self, offer: Offer, body: "_Body | None") -> "_UploadAnswer":
        headers = {
            protocol.LENGTH: str(offer.dataset_bytes),
            protocol.METADATA: protocol.write_metadata(offer),
        }
        if body is not None:
            headers |= {
                "Content-Type": protocol.CHUNK_MEDIA_TYPE,
                "Content-Length": str(offer.dataset_bytes),
            }
        return self._until_free("POST", "uploads", headers, body)

    def _next_chunk(
        self, answer: "_UploadAnswer", offer: Offer, dataset: BinaryIO, pace: Pace
    ) -> "_UploadAnswer":
        """Send the next chunk; after a break begin with what the hub says it holds."""
        dataset.seek(answer.offset)
        length = min(self._chunk.now, offer.dataset_bytes - answer.offset)
        headers = {
            "Content-Type": protocol.CHUNK_MEDIA_TYPE,
            "Content-Length": str(length),
            protocol.OFFSET: str(answer.offset),
            protocol.CHECKSUM: protocol.write_checksum(_digest(dataset, length)),
        }
        dataset.seek(answer.offset)
        started = time.monotonic()
        try:
            went_on = self._until_free(
                "PATCH", f"uploads/{answer.name}", headers, _Body(dataset, length, pace)
            )
        except (LineDownError, _GoOnError):
            self._chunk.broke()
            answer.broke()
            asked = self._offer(offer, None)
            return asked.after(answer)
        self._chunk.went(time.monotonic() - started)
        return _UploadAnswer(answer.name, went_on.offset, went_on.receipt)

    def _until_free(
        self, method: str, path: str, headers: Mapping[str, str], body: "_Body | None"
    ) -> "_UploadAnswer":
        """Ask again while the hub still works on an earlier request for the same upload."""
        deadline = time.monotonic() + self._limits.silence_s
        while True:
            response = self._line.request(method, path, headers=headers, body=body)
            if response.status != 423 or time.monotonic() > deadline:
                return _upload_answer(response)
            time.sleep(_BUSY_S)
            if body is not None:
                body.rewind()

    def _json(self, method: str, path: str, told: object) -> dict[str, Any]:
        body = json.dumps(told, ensure_ascii=False).encode()
        return told_in(
            self._line.request(
                method, path, headers={"Content-Type": "application/json"}, body=body
            )
        )


@dataclass(frozen=True)
class StudiesAnswer:
    """How far studies are at the hub, and the mark of this answer."""

    studies: tuple[StudyProgress, ...]
    etag: str


class _GoOnError(HubNotReadyError):
    """The hub kept nothing of a chunk, or holds another number of bytes: ask and go on."""


@dataclass
class _UploadAnswer:
    name: str
    offset: int
    receipt: HubReceipt | None = None
    breaks: int = 0

    def broke(self) -> None:
        """Count a break; too many at one place end this attempt, and the queue tries again."""
        self.breaks += 1
        if self.breaks >= _TRIES_OF_ONE_CHUNK:
            raise LineDownError("the line broke again and again")

    def after(self, earlier: "_UploadAnswer") -> "_UploadAnswer":
        """Keep the count of breaks while the hub's bytes did not grow."""
        self.breaks = earlier.breaks if self.offset <= earlier.offset else 0
        return self


class _Body:
    """A part of a dataset as http.client sends it: read in small pieces, at the pace allowed."""

    def __init__(self, dataset: BinaryIO, length: int, pace: Pace) -> None:
        self._dataset = dataset
        self._start = dataset.tell()
        self._left = self._length = length
        self._pace = pace

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, nothing at the end."""
        wanted = min(_PIECE_BYTES if size < 0 else min(size, _PIECE_BYTES), self._left)
        if wanted <= 0:
            return b""
        self._pace(wanted)
        piece = self._dataset.read(wanted)
        self._left -= len(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece

    def rewind(self) -> None:
        """Begin again."""
        self._dataset.seek(self._start)
        self._left = self._length


def _upload_answer(answer: Answer) -> _UploadAnswer:
    if answer.problem in _ASK_AGAIN:
        raise _GoOnError("ask where to go on")
    raise_for(answer)
    receipt = answer.headers.get(protocol.RECEIPT)
    try:
        return _UploadAnswer(
            name=answer.headers.get("Location", "").rsplit("/", 1)[-1],
            offset=protocol.read_number(answer.headers.get(protocol.OFFSET, ""), protocol.OFFSET),
            receipt=protocol.read_receipt(receipt) if receipt else None,
        )
    except BadRequestError as error:
        raise LineDownError("the answer is not the hub's") from error


def _digest(dataset: BinaryIO, length: int) -> bytes:
    digest = hashlib.sha256()
    while length and (piece := dataset.read(min(length, 1 << 20))):
        digest.update(piece)
        length -= len(piece)
    return digest.digest()
