"""DIMSE command sets, always in implicit VR little endian (PS3.7 6.3, annex E)."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from dicom_router.answer import Answer
from dicom_router.errors import ProtocolViolationError
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid

_ELEMENT = struct.Struct("<HHI")
_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_NO_DATA_SET = 0x0101
_RESPONSE = 0x8000


class CommandField(IntEnum):
    """The requests the node knows by name (PS3.7 table E.1-1)."""

    C_STORE_RQ = 0x0001
    C_FIND_RQ = 0x0020
    C_ECHO_RQ = 0x0030
    C_CANCEL_RQ = 0x0FFF


@dataclass(frozen=True)
class Command:
    """A received command set. UIDs are as sent: anything may be in them."""

    field: int
    message_id: int
    has_dataset: bool
    affected_sop_class_uid: str
    affected_sop_instance_uid: str

    @property
    def wants_answer(self) -> bool:
        """Tell whether this is a request; responses and C-CANCEL get no answer of their own."""
        return not self.field & _RESPONSE and self.field != CommandField.C_CANCEL_RQ


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
    )


def encode_answer(command: Command, answer: Answer) -> bytes:
    """Return the response command set to `command`.

    UIDs of the request are repeated only when they are UIDs.
    """
    elements = (
        (_AFFECTED_SOP_CLASS_UID, _uid(command.affected_sop_class_uid)),
        (_COMMAND_FIELD, _number(command.field | _RESPONSE)),
        (_MESSAGE_ID_BEING_RESPONDED_TO, _number(command.message_id)),
        (_COMMAND_DATA_SET_TYPE, _number(_NO_DATA_SET)),
        (_STATUS, _number(answer.status)),
        (_ERROR_COMMENT, _padded(answer.comment[:64], " ")),
        (_AFFECTED_SOP_INSTANCE_UID, _uid(command.affected_sop_instance_uid)),
    )
    body = b"".join(
        _ELEMENT.pack(0, element, len(value)) + value for element, value in elements if value
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


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
    return elements.get(element, b"").decode("latin-1").rstrip(" \0")


def _uid(text: str) -> bytes:
    try:
        return _padded(require_uid(text, "command UID"), "\0")
    except InvalidUidError:
        return b""


def _padded(text: str, padding: str) -> bytes:
    encoded = text.encode("ascii", "replace")
    return encoded + padding.encode() * (len(encoded) % 2)


def _number(value: int) -> bytes:
    return struct.pack("<H", value)
