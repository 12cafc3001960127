"""The PDUs the node writes itself (PS3.8 9.3): A-ASSOCIATE-AC and -RJ, A-RELEASE-RP, A-ABORT."""

import struct
from enum import IntEnum

from dicom_router.association_request import APPLICATION_CONTEXT_NAME, AssociationRequest
from dicom_router.errors import AbortReason, AssociationRefusedError
from dicom_router.items import extended_item, item, role_item, uid_item
from dicom_router.presentation import Agreed
from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

HEADER = struct.Struct(">BxI")
PDV_HEADER = struct.Struct(">IBB")
_LAST_COMMAND_FRAGMENT = 0x03
_SHORTEST_PEER_LENGTH = 1024
_LONGEST_PEER_LENGTH = 131_072


class PduType(IntEnum):
    """The seven PDUs of PS3.8 table 9-11 and following."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


RELEASE_RQ = HEADER.pack(PduType.RELEASE_RQ, 4) + bytes(4)
RELEASE_RP = HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)
USER_ABORT = HEADER.pack(PduType.ABORT, 4) + bytes(4)


def associate_ac(request: AssociationRequest, agreed: Agreed, max_length: int) -> bytes:
    """Return the A-ASSOCIATE-AC for `request`; `max_length` is the longest P-DATA-TF we take."""
    fixed = struct.pack(">HH", 1, 0) + request.raw[10:74]  # titles and reserved bytes, echoed
    results = b"".join(
        item(0x21, bytes((c.context_id, 0, c.outcome, 0)) + uid_item(0x40, c.transfer_syntax))
        for c in agreed.contexts
    )
    user_information = item(
        0x50,
        item(0x51, struct.pack(">I", max_length))
        + uid_item(0x52, IMPLEMENTATION_CLASS_UID)
        + b"".join(role_item(uid, scu=scu, scp=scp) for uid, (scu, scp) in agreed.roles.items())
        + item(0x55, IMPLEMENTATION_VERSION_NAME.encode())
        + b"".join(extended_item(uid, known) for uid, known in agreed.extended.items()),
    )
    body = fixed + uid_item(0x10, APPLICATION_CONTEXT_NAME) + results + user_information
    return HEADER.pack(PduType.ASSOCIATE_AC, len(body)) + body


def associate_rj(refusal: AssociationRefusedError) -> bytes:
    """Return the A-ASSOCIATE-RJ that tells the peer why."""
    body = bytes((0, refusal.result, refusal.source, refusal.reason))
    return HEADER.pack(PduType.ASSOCIATE_RJ, 4) + body


def abort(reason: AbortReason) -> bytes:
    """Return an A-ABORT whose source is the service provider."""
    return HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, 2, reason))


def clamped_length(max_length: int) -> int:
    """The longest P-DATA-TF to send: what the peer says, within what can be kept (0: no limit)."""
    if not max_length:
        return _LONGEST_PEER_LENGTH
    return min(max(max_length, _SHORTEST_PEER_LENGTH), _LONGEST_PEER_LENGTH)


def command_p_data(context_id: int, command: bytes, max_length: int) -> bytes:
    """Return the P-DATA-TF PDUs carrying a command set, none longer than `max_length` bytes."""
    room = max_length - PDV_HEADER.size
    pieces = [command[at : at + room] for at in range(0, len(command), room)]
    return b"".join(
        HEADER.pack(PduType.P_DATA_TF, len(piece) + PDV_HEADER.size)
        + PDV_HEADER.pack(len(piece) + 2, context_id, _command_control(number, len(pieces)))
        + piece
        for number, piece in enumerate(pieces, 1)
    )


def _command_control(number: int, count: int) -> int:
    return _LAST_COMMAND_FRAGMENT if number == count else 0x01
