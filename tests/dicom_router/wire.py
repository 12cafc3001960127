"""DICOM upper layer bytes made by hand, so that a test can also say what no library would send."""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def context_item(context_id: int, abstract: str, transfer: Iterable[str]) -> bytes:
    syntaxes = b"".join(item(0x40, uid.encode()) for uid in transfer)
    return item(0x20, bytes((context_id, 0, 0, 0)) + item(0x30, abstract.encode()) + syntaxes)


@dataclass
class RequestParts:
    """An A-ASSOCIATE-RQ in parts, each of which a test may spoil."""

    calling: bytes = b"CT1"
    called: bytes = b"EIRHUB"
    contexts: list[bytes] = field(
        default_factory=lambda: [
            context_item(1, VERIFICATION, [IMPLICIT]),
            context_item(3, CT, [EXPLICIT]),
        ]
    )
    max_length: int = 16384
    version: int = 1
    application_context: str = APPLICATION_CONTEXT
    roles: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        user_information = item(0x51, struct.pack(">I", self.max_length)) + item(0x52, b"1.2.3.4")
        user_information += b"".join(self.roles)
        return pdu(
            ASSOCIATE_RQ,
            struct.pack(">HH", self.version, 0)
            + self.called.ljust(16)
            + self.calling.ljust(16)
            + bytes(32)
            + item(0x10, self.application_context.encode())
            + b"".join(self.contexts)
            + item(0x50, user_information),
        )


def associate_ac(contexts: dict[int, str], max_length: int = 16384) -> bytes:
    """An A-ASSOCIATE-AC that accepts each context identifier in the transfer syntax given."""
    accepted = b"".join(
        item(0x21, bytes((context_id, 0, 0, 0)) + item(0x40, syntax.encode()))
        for context_id, syntax in contexts.items()
    )
    user_information = item(0x51, struct.pack(">I", max_length)) + item(0x52, b"1.2.3.4")
    return pdu(
        ASSOCIATE_AC,
        struct.pack(">HH", 1, 0)
        + b"PEER".ljust(16) * 2
        + bytes(32)
        + item(0x10, APPLICATION_CONTEXT.encode())
        + accepted
        + item(0x50, user_information),
    )


def command_set(**elements: int | str) -> bytes:
    """A command set in implicit VR little endian; keywords as in PS3.7, numbers are US."""
    body = b""
    for keyword, element in _ELEMENTS.items():
        if keyword in elements:
            value = elements[keyword]
            coded = struct.pack("<H", value) if isinstance(value, int) else value.encode("latin-1")
            coded += b"\0" * (len(coded) % 2)
            body += struct.pack("<HHI", 0, element, len(coded)) + coded
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


_ELEMENTS = {
    "affected_sop_class_uid": 0x0002,
    "command_field": 0x0100,
    "message_id": 0x0110,
    "message_id_being_responded_to": 0x0120,
    "move_destination": 0x0600,
    "priority": 0x0700,
    "command_data_set_type": 0x0800,
    "status": 0x0900,
    "affected_sop_instance_uid": 0x1000,
}


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def p_data(context_id: int, control: int, data: bytes) -> bytes:
    return pdu(P_DATA, pdv(context_id, control, data))


def echo_rq(context_id: int = 1, message_id: int = 1) -> bytes:
    command = command_set(
        affected_sop_class_uid=VERIFICATION,
        command_field=0x0030,
        message_id=message_id,
        command_data_set_type=0x0101,
    )
    return p_data(context_id, 3, command)


def store_rq(
    sop_instance_uid: str, *, context_id: int = 3, sop_class_uid: str = CT, message_id: int = 1
) -> bytes:
    """The command of a C-STORE; its dataset follows in further PDVs."""
    command = command_set(
        affected_sop_class_uid=sop_class_uid,
        command_field=0x0001,
        message_id=message_id,
        priority=0,
        command_data_set_type=0,
        affected_sop_instance_uid=sop_instance_uid,
    )
    return p_data(context_id, 3, command)


@dataclass
class RawPeer:
    """A plain socket that speaks only when told to; `source` is the address it calls from."""

    port: int
    timeout_s: float = 60.0
    source: str = "127.0.0.1"

    def __enter__(self) -> "RawPeer":
        self.socket = socket.create_connection(
            ("127.0.0.1", self.port), self.timeout_s, source_address=(self.source, 0)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def pdu(self) -> tuple[int, bytes]:
        """The next PDU as (type, body); (0, b"") when the connection is closed or reset."""
        try:
            header = self._exactly(6)
            if len(header) < 6:
                return 0, b""
            kind, length = struct.unpack(">BxI", header)
            return kind, self._exactly(length)
        except ConnectionError:
            return 0, b""

    def associate(self, parts: RequestParts | None = None) -> tuple[int, bytes]:
        self.send((parts or RequestParts()).encode())
        return self.pdu()

    def answer(self) -> dict[int, bytes]:
        """The command set of the next P-DATA, its elements by number."""
        kind, body = self.pdu()
        assert kind == P_DATA, f"PDU type {kind}"
        return elements_of(body[6:])

    def status(self) -> int:
        return int.from_bytes(self.answer()[0x0900], "little")

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                break
            data += piece
        return data


def elements_of(command: bytes) -> dict[int, bytes]:
    elements = {}
    at = 0
    while at < len(command):
        _, element, length = struct.unpack_from("<HHI", command, at)
        elements[element] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return elements
