"""A workstation that asks by C-FIND and adds next to nothing to what is measured.

The requestor of pynetdicom has two threads an association that look for work every millisecond.
Twenty-five of them, one a site, kept the interpreter of the benchmark so busy that it measured
itself: more than half of what was called the time of an answer.
"""

import itertools
import socket

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_router import pdus
from dicom_router.connection import Connection
from dicom_router.dimse_receiver import BoundedBuffer
from dicom_router.message_stream import Limits, MessageStream
from dicom_router.presentation import IMPLICIT_VR_LITTLE_ENDIAN, STUDY_ROOT_FIND
from dicom_router.sending.handshake import associate_rq, parse_acceptance
from dicom_router.sending.model import Destination, Proposal

_PATIENCE_S = 60.0
_MAX_LENGTH = 65_536
_MAX_ANSWER_BYTES = 1024 * 1024
_C_FIND_RQ, _MEDIUM, _DATA_SET = 0x0020, 0x0000, 0x0001
_PENDING = frozenset({0xFF00, 0xFF01})


class Workstation:
    """One association with the hub at `port`, used by one thread."""

    def __init__(self, port: int, ae_title: str) -> None:
        hub = Destination("hub", "EIRHUB", "127.0.0.1", port, ae_title)
        proposals = [Proposal(STUDY_ROOT_FIND, (IMPLICIT_VR_LITTLE_ENDIAN,))]
        self._connection = Connection(socket.create_connection((hub.host, port)), hub.host)
        self._connection.send(associate_rq(hub, proposals, _MAX_LENGTH), _PATIENCE_S)
        self._connection.pace(_PATIENCE_S)
        kind, length = pdus.HEADER.unpack(self._connection.receive_exactly(pdus.HEADER.size))
        assert kind == pdus.PduType.ASSOCIATE_AC, kind
        accepted = parse_acceptance(self._connection.receive_exactly(length), proposals)
        self._context = accepted.contexts[0]
        longest = pdus.clamped_length(accepted.max_length)
        self._stream = MessageStream(
            self._connection,
            accepted.contexts,
            lambda _command, _context: BoundedBuffer(_MAX_ANSWER_BYTES),
            Limits(_PATIENCE_S, longest, _MAX_LENGTH),
        )
        self._numbers = itertools.count(1)

    def find(self, identifier: Dataset) -> list[int]:
        """Ask, and return the status of every response, the last one too."""
        command = _find_request(next(self._numbers))
        self._stream.send(self._context.context_id, command, [_encoded(identifier)])
        statuses: list[int] = []
        while not statuses or statuses[-1] in _PENDING:
            statuses.append(self._stream.receive(_PATIENCE_S).command.status)
        return statuses

    def close(self) -> None:
        """Release the association, without waiting for the answer."""
        self._connection.send(pdus.RELEASE_RQ, _PATIENCE_S)
        self._connection.close()


def _find_request(message_id: int) -> bytes:
    command = Dataset()
    command.AffectedSOPClassUID = STUDY_ROOT_FIND
    command.CommandField = _C_FIND_RQ
    command.MessageID = message_id
    command.Priority = _MEDIUM
    command.CommandDataSetType = _DATA_SET
    length = Dataset()
    length.CommandGroupLength = len(_encoded(command))
    return _encoded(length) + _encoded(command)


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = buffer.is_little_endian = True
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
