"""What takes untrusted bytes apart, each as one function of bytes for any fuzzer to drive.

A target raises nothing on any input: the errors that its function documents are its answer, any
other one is a finding. `SEEDS` are honest inputs to begin with.
"""

import io
import json
import struct
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from dicom_router.association_request import parse_association_request
from dicom_router.commands import decode_command, encode_answer
from dicom_router.commitment_messages import decode_report, decode_request
from dicom_router.datasets import decode_dataset
from dicom_router.dimse_receiver import BoundedBuffer, DimseReceiver
from dicom_router.errors import (
    AssociationRefusedError,
    ProtocolViolationError,
    QueryRefusedError,
    UnreadableRequestError,
)
from dicom_router.identifiers import read_identifier
from dicom_router.presentation import STUDY_ROOT_FIND, ContextOutcome, NegotiatedContext
from dicom_router.statuses import SUCCESS
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import AssigningAuthority
from image_archive.deflated import inflate
from image_archive.elements import encoding_of
from image_archive.errors import UnreadableInstanceError
from image_archive.file_meta import read_file_meta, write_file_meta
from image_archive.model import IncomingHeader, InstanceOrigin
from image_archive.reading import VALUE_ERRORS, DatasetSource, read_dataset, read_header
from tests.dicom_router.wire import (
    EXPLICIT,
    IMPLICIT,
    RequestParts,
    echo_rq,
    pdv,
    store_rq,
)
from tests.hostile.datasets import (
    CT,
    DEFLATED,
    Raw,
    deflated,
    fragments,
    nested,
    slice_of,
    text,
)
from viewer_api.dicomweb.json_model import Expression, dataset_to_json
from viewer_api.dicomweb.stored_frames import fragments_by_frame
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.errors import UnusableBytesError

BIG_ENDIAN = "1.2.840.10008.1.2.2"
SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, "1.2.840.10008.1.2.4.90")
_ORIGIN = InstanceOrigin("site", AssigningAuthority("SITE", "1.2.3"), "CT1", "EIRHUB", "127.0.0.1")
_CONTEXTS = {
    1: NegotiatedContext(1, "1.2.840.10008.1.1", IMPLICIT, ContextOutcome.ACCEPTED),
    3: NegotiatedContext(3, CT, EXPLICIT, ContextOutcome.ACCEPTED),
}


def header(data: bytes) -> None:
    """The gate of the archive; the first byte chooses the transfer syntax."""
    syntax, dataset = _split(data)
    _passes(dataset, syntax)


def stored(data: bytes) -> None:
    """What the gate lets through is read by every later reader, as pydicom and as JSON."""
    syntax, dataset = _split(data)
    if not _passes(dataset, syntax):
        return
    incoming = IncomingHeader(CT, "1.2.3", syntax, _ORIGIN)
    file = write_file_meta(incoming, datetime(2026, 11, 22, tzinfo=UTC)) + dataset
    for stop in (True, False):
        with suppress(UnreadableInstanceError):
            read_dataset(io.BytesIO(file), stop_before_pixels=stop)
    try:
        found = read_object(io.BytesIO(file), syntax)
    except UnusableBytesError:
        return
    expression = Expression("/x/bulkdata", big_endian=found.is_big_endian)
    json.dumps(dataset_to_json(found.dataset, expression), allow_nan=False).encode()
    with suppress(UnusableBytesError):
        fragments_by_frame(found)


def file_meta(data: bytes) -> None:
    with suppress(UnreadableInstanceError):
        read_file_meta(data)


def inflated(data: bytes) -> None:
    with suppress(UnreadableInstanceError):
        inflate(data)


def association_request(data: bytes) -> None:
    with suppress(ProtocolViolationError, AssociationRefusedError):
        parse_association_request(data)


def command(data: bytes) -> None:
    """A command set that can be read can be answered, and the answer read."""
    with suppress(ProtocolViolationError):
        answer = encode_answer(decode_command(data), SUCCESS)
        decode_command(answer)


def dimse(data: bytes) -> None:
    """A stream of PDVs, as both lanes hand them on."""
    receiver = DimseReceiver(_CONTEXTS, lambda *_: BoundedBuffer(1 << 16))
    at = 0
    with suppress(ProtocolViolationError):
        while at + 6 <= len(data):
            length, context_id, control = struct.unpack_from(">IBB", data, at)
            piece = data[at + 6 : at + 4 + min(length, 1 << 16)]
            receiver.begin(context_id, control)
            receiver.data(memoryview(piece))
            receiver.end()
            at += 6 + len(piece)
    receiver.abandon()


def identifier(data: bytes) -> None:
    """A C-FIND identifier, taken as the handler takes it."""
    syntax, dataset = _split(data)
    with suppress(QueryRefusedError, *VALUE_ERRORS):
        found = read_identifier(decode_dataset(dataset, syntax), STUDY_ROOT_FIND)
        assert all(isinstance(value, str) for value in found.matches.values())


def commitment(data: bytes) -> None:
    """An N-ACTION or N-EVENT-REPORT of storage commitment."""
    syntax, dataset = _split(data)
    for decode in (decode_request, decode_report):
        with suppress(UnreadableRequestError):
            decode(dataset, syntax)


def _split(data: bytes) -> tuple[str, bytes]:
    return SYNTAXES[data[0] % len(SYNTAXES)] if data else EXPLICIT, data[1:]


def _passes(dataset: bytes, syntax: str) -> bool:
    """Whether the archive takes the dataset; from its first bytes as from all of it."""
    encoding_of(syntax)
    head = dataset[: max(64, len(dataset) // 2)]
    source = DatasetSource(head, len(dataset), lambda: nullcontext(memoryview(dataset)))
    try:
        found = read_header(source, syntax, "GB18030")
    except (UnreadableInstanceError, InvalidUidError):
        return False
    assert 1 <= len(found.sop_instance_uid) <= 64
    return True


_SLICE = slice_of("1.2.3.4")
_CODED = slice_of("1.2.3.4", changes=(fragments(b"\xff\x4f\xff\x51" + bytes(60)),))
_NESTED = slice_of("1.2.3.4", changes=(nested(5), text(0x00100010, b"PN", "王^小东", "gbk")))
_UNKNOWN = slice_of("1.2.3.4", changes=(Raw(0x00291010, b"UN", b"\1\2\3\4"),))
_IMPLICIT = b"".join(
    struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
    for tag, value in (
        (0x00080016, CT.encode() + b"\0"), (0x00080018, b"1.2.3.4.1\0"),
        (0x00100010, b"Wang^XiaoDong "), (0x0020000D, b"1.2.3.4\0"), (0x0020000E, b"1.2.3.4.5\0"),
        (0x00280010, b"\x08\0"), (0x00280011, b"\x08\0"), (0x7FE00010, bytes(64)),
    )
)  # fmt: skip
_DATASETS = tuple(
    bytes((SYNTAXES.index(syntax),)) + data
    for syntax, data in (
        (EXPLICIT, _SLICE), (EXPLICIT, _NESTED), (EXPLICIT, _UNKNOWN), (IMPLICIT, _IMPLICIT),
        (DEFLATED, deflated(_SLICE)), (SYNTAXES[4], _CODED),
    )
)  # fmt: skip
_QUERY = b"".join(
    one.encode()
    for one in (
        text(0x00080005, b"CS", "GB18030"), text(0x00080020, b"DA", "20260101-"),
        text(0x00080052, b"CS", "STUDY"), text(0x00100010, b"PN", "WANG*"),
        text(0x0020000D, b"UI", "1.2\\1.3"),
    )
)  # fmt: skip
_REQUEST_ACTION = (
    text(0x00081195, b"UI", "1.2.3").encode()
    + Raw(
        0x00081199,
        b"SQ",
        struct.pack("<HHI", 0xFFFE, 0xE000, 46)
        + text(0x00081150, b"UI", CT).encode()
        + text(0x00081155, b"UI", "1.2").encode(),
    ).encode()
)

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        header, stored, file_meta, inflated, association_request, command, dimse, identifier,
        commitment,
    )
}  # fmt: skip
SEEDS: dict[str, tuple[bytes, ...]] = {
    "header": _DATASETS,
    "stored": _DATASETS,
    "file_meta": (
        write_file_meta(
            IncomingHeader(CT, "1.2.3", EXPLICIT, _ORIGIN), datetime(2026, 11, 22, tzinfo=UTC)
        ),
    ),
    "inflated": (deflated(_SLICE), deflated(bytes(10_000))),
    "association_request": (RequestParts().encode(),),
    "command": (echo_rq()[12:], store_rq("1.2.3")[12:]),
    "dimse": (
        echo_rq()[6:] + store_rq("1.2.3")[6:] + pdv(3, 0, _SLICE[:50]) + pdv(3, 2, _SLICE[50:]),
    ),
    "identifier": (b"\0" + _QUERY,),
    "commitment": (b"\0" + _REQUEST_ACTION,),
}
