"""DIMSE command sets, always in implicit VR little endian (PS3.7 6.3, annex E)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from dicom_router.answer import Answer
from dicom_router.errors import ProtocolViolationError
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid

_ELEMENT = struct.Struct("<HHI")
_AFFECTED_SOP_CLASS_UID = 0x0002
_REQUESTED_SOP_CLASS_UID = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_MOVE_DESTINATION = 0x0600
_PRIORITY = 0x0700
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_OFFENDING_ELEMENT = 0x0901
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_REQUESTED_SOP_INSTANCE_UID = 0x1001
_EVENT_TYPE_ID = 0x1002
_ACTION_TYPE_ID = 0x1008
_SUB_OPERATIONS = (0x1020, 0x1021, 0x1022, 0x1023)  # remaining, completed, failed, warning
_MOVE_ORIGINATOR_AE_TITLE = 0x1030
_MOVE_ORIGINATOR_MESSAGE_ID = 0x1031
_DATA_SET = 0x0001
_NO_DATA_SET = 0x0101
_MEDIUM = 0x0000
_RESPONSE = 0x8000
_UIDS = frozenset(
    {
        _AFFECTED_SOP_CLASS_UID,
        _REQUESTED_SOP_CLASS_UID,
        _AFFECTED_SOP_INSTANCE_UID,
        _REQUESTED_SOP_INSTANCE_UID,
    }
)


class CommandField(IntEnum):
    """The messages the node knows by name (PS3.7 table E.1-1)."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_ACTION_RQ = 0x0130
    C_CANCEL_RQ = 0x0FFF
    C_STORE_RSP = 0x8001
    N_EVENT_REPORT_RSP = 0x8100
    N_ACTION_RSP = 0x8130


class Command(NamedTuple):
    """A received command set. UIDs and texts are as sent: anything may be in them.

    The fields with a default are those of few commands: the status of a response, the destination
    of a C-MOVE, the requested SOP instance and the action or event type of the DIMSE-N services.
    """

    field: int
    message_id: int
    has_dataset: bool
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    status: int = 0
    error_comment: str = ""
    move_destination: str = ""
    requested_sop_class_uid: str = ""
    requested_sop_instance_uid: str = ""
    action_type_id: int = 0
    event_type_id: int = 0

    @property
    def is_response(self) -> bool:
        """Tell whether this answers a request of ours."""
        return bool(self.field & _RESPONSE)

    @property
    def wants_answer(self) -> bool:
        """Tell whether this is a request; responses and C-CANCEL get no answer of their own."""
        return not self.is_response and self.field != CommandField.C_CANCEL_RQ


def decode_command(data: bytes) -> Command:
    """Return the command set held by `data`.

    Raises:
        ProtocolViolationError: cut or foreign elements, or a field every message must have is
            missing: Command Field, Command Data Set Type, Message ID.
    """
    elements = _elements(data)
    field = _us(elements, _COMMAND_FIELD)
    answers_other = field & _RESPONSE or field == CommandField.C_CANCEL_RQ
    return Command(
        field=field,
        message_id=_us(elements, _MESSAGE_ID_BEING_RESPONDED_TO if answers_other else _MESSAGE_ID),
        has_dataset=_us(elements, _COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
        affected_sop_class_uid=_text(elements, _AFFECTED_SOP_CLASS_UID),
        affected_sop_instance_uid=_text(elements, _AFFECTED_SOP_INSTANCE_UID),
        status=_us(elements, _STATUS) if _STATUS in elements else 0,
        error_comment=_text(elements, _ERROR_COMMENT),
        move_destination=_text(elements, _MOVE_DESTINATION).strip(),
        requested_sop_class_uid=_text(elements, _REQUESTED_SOP_CLASS_UID),
        requested_sop_instance_uid=_text(elements, _REQUESTED_SOP_INSTANCE_UID),
        action_type_id=_us(elements, _ACTION_TYPE_ID) if _ACTION_TYPE_ID in elements else 0,
        event_type_id=_us(elements, _EVENT_TYPE_ID) if _EVENT_TYPE_ID in elements else 0,
    )


def encode_answer(command: Command, answer: Answer, *, has_dataset: bool = False) -> bytes:
    """Return the response command set to `command`.

    UIDs of the request are repeated only when they are UIDs.
    """
    elements: dict[int, int | str | bytes] = {
        _AFFECTED_SOP_CLASS_UID: command.affected_sop_class_uid or command.requested_sop_class_uid,
        _COMMAND_FIELD: command.field | _RESPONSE,
        _MESSAGE_ID_BEING_RESPONDED_TO: command.message_id,
        _COMMAND_DATA_SET_TYPE: _DATA_SET if has_dataset else _NO_DATA_SET,
        _STATUS: answer.status,
        _ERROR_COMMENT: answer.comment[:64],
        _OFFENDING_ELEMENT: b"".join(
            struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in answer.offending_tags
        ),
        _AFFECTED_SOP_INSTANCE_UID: (
            command.affected_sop_instance_uid or command.requested_sop_instance_uid
        ),
    }
    if answer.counts is not None:
        counted = zip(_SUB_OPERATIONS, answer.counts, strict=True)
        elements |= {element: count for element, count in counted if count is not None}
    return _encoded(elements)


@dataclass(frozen=True)
class MoveOriginator:
    """On whose behalf an instance is sent: who asked for it, and with which C-MOVE-RQ."""

    ae_title: str
    message_id: int


def encode_store_request(
    message_id: int,
    sop_class_uid: str,
    sop_instance_uid: str,
    originator: MoveOriginator | None = None,
) -> bytes:
    """Return a C-STORE-RQ; its dataset follows (PS3.7 9.3.1.1)."""
    elements: dict[int, int | str | bytes] = {
        _AFFECTED_SOP_CLASS_UID: sop_class_uid,
        _COMMAND_FIELD: CommandField.C_STORE_RQ,
        _MESSAGE_ID: message_id,
        _PRIORITY: _MEDIUM,
        _COMMAND_DATA_SET_TYPE: _DATA_SET,
        _AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
    }
    if originator is not None:
        elements[_MOVE_ORIGINATOR_AE_TITLE] = originator.ae_title
        elements[_MOVE_ORIGINATOR_MESSAGE_ID] = originator.message_id
    return _encoded(elements)


def encode_action_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, action_type_id: int
) -> bytes:
    """Return an N-ACTION-RQ; its dataset follows (PS3.7 10.3.4.1)."""
    return _encoded(
        {
            _REQUESTED_SOP_CLASS_UID: sop_class_uid,
            _COMMAND_FIELD: CommandField.N_ACTION_RQ,
            _MESSAGE_ID: message_id,
            _COMMAND_DATA_SET_TYPE: _DATA_SET,
            _REQUESTED_SOP_INSTANCE_UID: sop_instance_uid,
            _ACTION_TYPE_ID: action_type_id,
        }
    )


def encode_event_report_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type_id: int
) -> bytes:
    """Return an N-EVENT-REPORT-RQ; its dataset follows (PS3.7 10.3.1.1)."""
    return _encoded(
        {
            _AFFECTED_SOP_CLASS_UID: sop_class_uid,
            _COMMAND_FIELD: CommandField.N_EVENT_REPORT_RQ,
            _MESSAGE_ID: message_id,
            _COMMAND_DATA_SET_TYPE: _DATA_SET,
            _AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
            _EVENT_TYPE_ID: event_type_id,
        }
    )


def _encoded(elements: Mapping[int, int | str | bytes]) -> bytes:
    """Return a command set in ascending order; empty texts and what is no UID are left out."""
    body = b"".join(
        _ELEMENT.pack(0, element, len(coded)) + coded
        for element, value in sorted(elements.items())
        if (coded := _coded(element, value))
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def _coded(element: int, value: int | str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return struct.pack("<H", min(value, 0xFFFF))
    return _uid(value) if element in _UIDS else _padded(value, " ")


def _elements(data: bytes) -> dict[int, bytes]:
    elements = {}
    at = 0
    while at < len(data):
        if at + _ELEMENT.size > len(data):
            raise ProtocolViolationError("a command element is cut")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if group != 0 or at + length > len(data):
            raise ProtocolViolationError("a command set holds what is no command element")
        elements[element] = data[at : at + length]
        at += length
    return elements


def _us(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise ProtocolViolationError(
            f"command element (0000,{element:04X}) is missing or misshapen"
        )
    return int.from_bytes(value, "little")


def _text(elements: dict[int, bytes], element: int) -> str:
    value = elements.get(element)
    return value.decode("latin-1").rstrip(" \0") if value else ""


def _uid(text: str) -> bytes:
    try:
        return _padded(require_uid(text, "command UID"), "\0")
    except InvalidUidError:
        return b""


def _padded(text: str, padding: str) -> bytes:
    encoded = text.encode("ascii", "replace")
    return encoded + padding.encode() * (len(encoded) % 2)
