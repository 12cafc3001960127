"""The archive's own Part 10 file head: preamble, meta information, receipt (DICOM PS3.10 7.1).

The preamble is zeros whatever was sent. The receipt (who sent it, when) stands in the Private
Information, so that a lost index can be rebuilt from the files alone. Its seal, the length and hash
of the dataset, is written last: a file that was torn on its way in does not match its seal.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority
from image_archive.elements import Element, Encoding, Wanted, walk
from image_archive.errors import UnreadableInstanceError
from image_archive.model import IncomingHeader, InstanceOrigin

PREAMBLE_BYTES = 128
IMPLEMENTATION_CLASS_UID = "2.25.190146791043182537444806132384909598529"
IMPLEMENTATION_VERSION_NAME = "EIRHUB"
RECEIPT_CREATOR_UID = "2.25.190146791043182537444806132384909598530"
# No honest meta information is longer; ours is below 1 KiB.
LARGEST_META_BYTES = 65_536

_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2sHI")
_EXPLICIT = Encoding()
_GROUP_LENGTH_END = PREAMBLE_BYTES + 4 + 12
_SEAL_CHARACTERS = 64 + 1 + 20
_UNSEALED = " " * _SEAL_CHARACTERS
_KEPT = Wanted(
    frozenset(
        {0x00020002, 0x00020003, 0x00020010, 0x00020016, 0x00020017, 0x00020018, 0x00020100,
         0x00020102}
    )
)  # fmt: skip


@dataclass(frozen=True)
class FileMeta:
    """What a Part 10 file says about the dataset that starts at `dataset_offset`.

    `origin` and `received_at` are there only in files the archive wrote, `seal` only in those that
    it received whole.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int
    origin: InstanceOrigin | None
    received_at: datetime | None
    seal: bytes | None = None


def write_file_meta(header: IncomingHeader, received_at: datetime) -> bytes:
    """Return preamble, prefix and file meta information for a dataset received with `header`."""
    origin = header.origin
    body = b"".join(
        (
            _LONG.pack(0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _short(0x0002, b"UI", header.sop_class_uid),
            _short(0x0003, b"UI", header.sop_instance_uid),
            _short(0x0010, b"UI", header.transfer_syntax_uid),
            _parties(origin),
            _private_information(origin, received_at),
        )
    )
    group_length = _SHORT.pack(0x0002, 0x0000, b"UL", 4) + len(body).to_bytes(4, "little")
    return b"\0" * PREAMBLE_BYTES + b"DICM" + group_length + body


def seal_offset(meta: bytes) -> int:
    """Return where in `meta`, written by `write_file_meta`, the seal belongs."""
    return meta.rindex(_UNSEALED.encode())


def seal(dataset_sha256: str, dataset_bytes: int) -> bytes:
    """Return the seal of a dataset; it replaces as many bytes."""
    return f"{dataset_sha256} {dataset_bytes:020}".encode()


def read_file_meta(head: bytes) -> FileMeta:
    """Read the head of a Part 10 file, one the archive wrote or any other.

    `head` holds at least the first 64 KiB of the file, or all of it.

    Raises:
        UnreadableInstanceError: it is no Part 10 file, or names no transfer syntax.
    """
    start, end = PREAMBLE_BYTES + 4, dataset_offset(head)
    meta = walk(head[start:end], end - start, _EXPLICIT, _KEPT).top
    receipt = _receipt(meta)
    return FileMeta(
        sop_class_uid=_text(meta, 0x00020002),
        sop_instance_uid=_text(meta, 0x00020003),
        transfer_syntax_uid=_text(meta, 0x00020010) or _missing_syntax(),
        dataset_offset=end,
        origin=receipt[0] if receipt else None,
        received_at=receipt[1] if receipt else None,
        seal=receipt[2] if receipt else None,
    )


def dataset_offset(head: bytes) -> int:
    """Return where the dataset of a Part 10 file begins; `head` as in `read_file_meta`.

    Raises:
        UnreadableInstanceError: it is no Part 10 file.
    """
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        raise UnreadableInstanceError("not a DICOM file: the prefix DICM is missing")
    return _end_of_group(head, PREAMBLE_BYTES + 4)


def _missing_syntax() -> str:
    raise UnreadableInstanceError("file meta information: no Transfer Syntax UID")


def _short(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")[:64]
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return _SHORT.pack(0x0002, element, vr, len(value)) + value


@lru_cache(maxsize=256)
def _parties(origin: InstanceOrigin) -> bytes:
    """Return who wrote the file and who sent it, which all instances of a sender share."""
    return b"".join(
        (
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _short(0x0016, b"AE", origin.calling_ae_title),
            _short(0x0017, b"AE", origin.calling_ae_title),
            _short(0x0018, b"AE", origin.called_ae_title),
            _short(0x0100, b"UI", RECEIPT_CREATOR_UID),
        )
    )


def _private_information(origin: InstanceOrigin, received_at: datetime) -> bytes:
    """The receipt as JSON. The peer's address is left out: files are handed to readers."""
    text = f'{_sender(origin)}"received_at": "{received_at.isoformat()}", "seal": "{_UNSEALED}"}}'
    value = text.encode() + b" " * (len(text) % 2)
    return _LONG.pack(0x0002, 0x0102, b"OB", 0, len(value)) + value


@lru_cache(maxsize=256)
def _sender(origin: InstanceOrigin) -> str:
    """Return the beginning of a receipt, which all instances of a sender share."""
    said = {
        "site_id": origin.site_id,
        "namespace": origin.issuer.namespace,
        "oid": origin.issuer.oid,
        "charset_habit": origin.charset_habit,
    }
    return json.dumps(said)[:-1] + ", "


def _end_of_group(head: bytes, start: int) -> int:
    """Find where group 0002 ends: by its length, or element by element where that is missing."""
    if head[start : start + 8] == _SHORT.pack(0x0002, 0x0000, b"UL", 4):
        length = int.from_bytes(head[start + 8 : start + 12], "little")
        if length <= LARGEST_META_BYTES and _GROUP_LENGTH_END + length <= len(head):
            return _GROUP_LENGTH_END + length
        raise UnreadableInstanceError("file meta information: the group length is impossible")
    position = start
    while head[position : position + 2] == b"\x02\x00" and position + 12 <= len(head):
        vr, length = _SHORT.unpack_from(head, position)[2:]
        if vr in {b"OB", b"UN", b"UT"}:
            length = int.from_bytes(head[position + 8 : position + 12], "little") + 4
        position += 8 + length
    if position > len(head):
        raise UnreadableInstanceError("file meta information is cut off")
    return position


def _text(meta: dict[int, Element], tag: int) -> str:
    element = meta.get(tag)
    return element.value.strip(b" \0").decode("ascii", "replace") if element else ""


def _receipt(meta: dict[int, Element]) -> tuple[InstanceOrigin, datetime, bytes | None] | None:
    """Return the receipt the archive wrote, None in files of others."""
    if _text(meta, 0x00020100) != RECEIPT_CREATOR_UID or 0x00020102 not in meta:
        return None
    try:
        receipt = json.loads(meta[0x00020102].value)
        received_at = datetime.fromisoformat(receipt["received_at"]).astimezone(UTC)
        origin = InstanceOrigin(
            site_id=str(receipt["site_id"]),
            issuer=AssigningAuthority(str(receipt["namespace"]), str(receipt["oid"])),
            calling_ae_title=_text(meta, 0x00020017),
            called_ae_title=_text(meta, 0x00020018),
            source_address="",
            charset_habit=str(receipt["charset_habit"]),
        )
        sealed = str(receipt.get("seal", "")).strip().encode() or None
    except (KeyError, TypeError, ValueError, OverflowError, InvalidValueError) as error:
        raise UnreadableInstanceError("file meta information: the receipt is damaged") from error
    return origin, received_at, sealed
