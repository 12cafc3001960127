"""How the hub and a decoder child talk: JSON heads and raw bytes over a socket pair.

No pickle: what comes back from a child that has eaten hostile bytes is as untrusted as they are.
"""

import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eir_versions.jobs import Picture, PictureJob
from eir_versions.pixels import Window, WindowFunction

MAX_HEAD_BYTES = 1 << 16
MAX_BODY_BYTES = 1 << 30
_SENT_TOGETHER_BYTES = 1 << 16
MAX_DESCRIPTORS = 2
_LENGTHS = struct.Struct(">LQ")


class WireError(Exception):
    """The other side closed the connection or broke the protocol."""


@dataclass(frozen=True)
class InstanceFacts:
    """What selection rules need to know of an instance; absent values are None or empty.

    `regions` are those of an ultrasound picture (PS3.3 C.8.5.5), as (left, top, width, height).
    `shows_label` is true of a slide's label and overview.
    `suv_factor` turns modality values into SUVbw; where it is None, `suv_missing` says what lacks.
    """

    number_of_frames: int
    slice_thickness_mm: float | None
    burned_in_annotation: str
    body_part: str
    rows: int = 0
    columns: int = 0
    regions: tuple[tuple[int, int, int, int], ...] = ()
    suv_factor: float | None = None
    suv_missing: str = ""
    shows_label: bool = False
    protocol: str = ""


@dataclass(frozen=True)
class PresentedImages:
    """What a presentation state is for: frames by SOP Instance UID, none named meaning all.

    `created` is its creation date and time as text that sorts, empty where it does not say.
    """

    created: str
    frames: dict[str, tuple[int, ...]]

    def covers(self, sop_instance_uid: str, frame_number: int) -> bool:
        """Return whether it is for this frame."""
        named = self.frames.get(sop_instance_uid)
        return named is not None and (not named or frame_number in named)


@dataclass(frozen=True)
class StoredFrame:
    """The bytes of one frame as stored, and the transfer syntax they are in."""

    data: bytes
    transfer_syntax_uid: str


@dataclass(frozen=True)
class NativeFrame:
    """One frame decoded: little endian samples of Bits Allocated, interleaved, no padding.

    `photometric` is the interpretation the samples are in now (a decoder may have left YBR_RCT).
    """

    data: bytes
    photometric: str


@dataclass(frozen=True)
class FrameLayout:
    """How the frames of an instance are made; `frame_bits` is the size of a native one."""

    number_of_frames: int
    samples: int
    bits_allocated: int
    frame_bits: int
    floating: bool


@dataclass(frozen=True)
class Surroundings:
    """All of a dataset but its pixels, as another transfer syntax writes it; and where those are.

    `pixel_offset` counts from the first byte of the file, of a deflated one from that of the
    inflated dataset. `pixel_length` is None for encapsulated pixels; without pixels the tag is 0.
    """

    before: bytes
    after: bytes
    pixel_tag: int
    pixel_vr: str
    pixel_offset: int
    pixel_length: int | None


def send_message(
    connection: socket.socket,
    head: dict[str, Any],
    body: bytes = b"",
    fds: Sequence[int] = (),
) -> None:
    """Send one message; the descriptors `fds`, at most two, travel with its first bytes."""
    encoded = json.dumps(head, allow_nan=False).encode()
    # In one step where it is small: each step more wakes the other side once more.
    first = _LENGTHS.pack(len(encoded), len(body)) + encoded
    if len(body) <= _SENT_TOGETHER_BYTES:
        first, body = first + body, b""
    sent = socket.send_fds(connection, [first], list(fds)) if fds else 0
    connection.sendall(first[sent:])
    if body:
        connection.sendall(body)


def receive_message(connection: socket.socket) -> tuple[dict[str, Any], bytes, list[int]]:
    """Return the head, the body and the descriptors of one message.

    Raises:
        WireError: the connection ended or the message is malformed or too large.
        TimeoutError: the socket's timeout passed.
    """
    first, fds, _, _ = socket.recv_fds(connection, _LENGTHS.size, MAX_DESCRIPTORS)
    lengths = first + _exactly(connection, _LENGTHS.size - len(first)) if first else b""
    if not lengths:
        raise WireError("closed")
    head_length, body_length = _LENGTHS.unpack(lengths)
    if head_length > MAX_HEAD_BYTES or body_length > MAX_BODY_BYTES:
        raise WireError("message too large")
    try:
        head = json.loads(_exactly(connection, head_length))
    except ValueError as error:
        raise WireError("malformed head") from error
    if not isinstance(head, dict):
        raise WireError("malformed head")
    return head, _exactly(connection, body_length), list(fds)


def job_to_json(job: PictureJob) -> dict[str, Any]:
    """Return the job as a JSON object."""
    return vars(job) | {"window": job.window and vars(job.window)}


def job_from_json(fields: dict[str, Any]) -> PictureJob:
    """Return the job that `job_to_json` wrote."""
    window = fields["window"]
    box = fields["box"]
    return PictureJob(
        **{
            **fields,
            "window": window
            and Window(window["center"], window["width"], WindowFunction(window["function"])),
            "box": box and (box[0], box[1]),
            "watermark": tuple(fields["watermark"]),
            "masks": tuple((left, top, wide, high) for left, top, wide, high in fields["masks"]),
        }
    )


def picture_head(picture: Picture) -> dict[str, Any]:
    """Return all of a picture but its bytes as a JSON object."""
    return {name: value for name, value in vars(picture).items() if name != "data"}


def picture_of(head: dict[str, Any], data: bytes) -> Picture:
    """Return the picture of a head and its bytes.

    Raises:
        WireError: a field is missing or of the wrong type.
    """
    try:
        return Picture(
            data,
            str(head["media_type"]),
            int(head["width"]),
            int(head["height"]),
            None if head["quality"] is None else int(head["quality"]),
            _real(head["compression_ratio"]),
            _real(head["psnr_db"]),
            _real(head["ssim"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed picture") from error


def facts_of(head: dict[str, Any]) -> InstanceFacts:
    """Return the facts of a head.

    Raises:
        WireError: a field is missing or of the wrong type.
    """
    try:
        return InstanceFacts(
            int(head["number_of_frames"]),
            _real(head["slice_thickness_mm"]),
            str(head["burned_in_annotation"])[:16],
            str(head["body_part"])[:64],
            int(head["rows"]),
            int(head["columns"]),
            tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in head["regions"]),
            _real(head["suv_factor"]),
            str(head["suv_missing"])[:32],
            bool(head["shows_label"]),
            str(head["protocol"])[:64],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed facts") from error


def presented_images_of(head: dict[str, Any], data: bytes) -> PresentedImages:
    """Return what a presentation state is for; raises as `facts_of`."""
    try:
        found = json.loads(data)
        frames = {str(uid): tuple(int(number) for number in numbers) for uid, numbers in found}
        return PresentedImages(str(head["created"])[:64], frames)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError("malformed references") from error


def layout_of(head: dict[str, Any]) -> FrameLayout:
    """Return the layout of a head; raises as `facts_of`."""
    try:
        return FrameLayout(
            number_of_frames=int(head["number_of_frames"]),
            samples=int(head["samples"]),
            bits_allocated=int(head["bits_allocated"]),
            frame_bits=int(head["frame_bits"]),
            floating=bool(head["floating"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed layout") from error


def surroundings_head(found: Surroundings) -> dict[str, Any]:
    """Return all of it but the bytes as a JSON object."""
    known = {name: value for name, value in vars(found).items() if name not in {"before", "after"}}
    return known | {"before_bytes": len(found.before)}


def surroundings_of(head: dict[str, Any], data: bytes) -> Surroundings:
    """Return what a head and its bytes say; raises as `facts_of`."""
    try:
        cut = int(head["before_bytes"])
        length = head["pixel_length"]
        return Surroundings(
            data[:cut],
            data[cut:],
            int(head["pixel_tag"]),
            str(head["pixel_vr"])[:2],
            int(head["pixel_offset"]),
            None if length is None else int(length),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed surroundings") from error


def _real(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    raise TypeError("not a number")


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise WireError("closed")
        view = view[count:]
    return bytes(data)
