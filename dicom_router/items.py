"""Items of the association PDUs: type, length, value, nested where PS3.8 9.3 nests them."""

import struct
from collections.abc import Iterator

from dicom_router.errors import AbortReason, ProtocolViolationError

ROLE_SELECTION = 0x54
EXTENDED = 0x56


def split_items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of the items that fill `data` exactly.

    Raises:
        ProtocolViolationError: an item is cut, or longer than what holds it.
    """
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise malformed("an item header is cut")
        kind, length = struct.unpack_from(">BxH", data, at)
        at += 4
        if at + length > len(data):
            raise malformed("an item is longer than the PDU")
        yield kind, data[at : at + length]
        at += length


def item(kind: int, value: bytes) -> bytes:
    """Return one item."""
    return struct.pack(">BxH", kind, len(value)) + value


def uid_item(kind: int, uid: str) -> bytes:
    """Return one item that holds a UID."""
    return item(kind, uid.encode("latin-1"))


def uid_text(value: bytes) -> str:
    """Return the UID an item holds, without the padding some peers add."""
    return value.decode("latin-1").strip(" \0")


def role_item(sop_class_uid: str, *, scu: bool, scp: bool) -> bytes:
    """Return one SCP/SCU Role Selection sub-item (PS3.7 D.3.3.4)."""
    uid = sop_class_uid.encode("latin-1")
    return item(ROLE_SELECTION, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def parse_role(value: bytes) -> tuple[str, tuple[bool, bool]]:
    """Return the SOP class and the (SCU, SCP) roles of a Role Selection sub-item.

    Raises:
        ProtocolViolationError: it is cut.
    """
    length = int.from_bytes(value[:2], "big")
    if len(value) < 4 or len(value) < length + 4:
        raise malformed("a role selection item is cut")
    scu, scp = value[2 + length], value[3 + length]
    return uid_text(value[2 : 2 + length]), (bool(scu), bool(scp))


def extended_item(sop_class_uid: str, information: bytes) -> bytes:
    """Return one SOP Class Extended Negotiation sub-item (PS3.7 D.3.3.5)."""
    uid = sop_class_uid.encode("latin-1")
    return item(EXTENDED, struct.pack(">H", len(uid)) + uid + information)


def parse_extended(value: bytes) -> tuple[str, bytes]:
    """Return (SOP class, application information) of an Extended Negotiation sub-item.

    Raises:
        ProtocolViolationError: it is cut.
    """
    length = int.from_bytes(value[:2], "big")
    if len(value) < 2 or len(value) < length + 2:
        raise malformed("an extended negotiation item is cut")
    return uid_text(value[2 : 2 + length]), value[2 + length :]


def malformed(message: str) -> ProtocolViolationError:
    """Return the error of a PDU that cannot be taken apart."""
    return ProtocolViolationError(message, AbortReason.INVALID_PDU_PARAMETER)
