"""Take the presentation data values of a P-DATA-TF apart; name what has no place (PS3.8 9.3.5)."""

from collections.abc import Callable

from dicom_router import pdus
from dicom_router.connection import Connection
from dicom_router.errors import AbortReason, ProtocolViolationError
from dicom_router.pdu_stream import PduStream
from dicom_router.pdus import PduType


def take_p_data(
    connection: Connection,
    stream: PduStream,
    length: int,
    own_max_length: int,
    take_fragment: Callable[[int, int, int], None],
) -> None:
    """Hand each fragment of the P-DATA-TF of `length` bytes that comes now to `take_fragment`.

    It is called with the presentation context, the control header and how many bytes it must take.

    Raises:
        ProtocolViolationError: longer than agreed, or a value does not fit; else as `Connection`.
    """
    if length > own_max_length:
        raise ProtocolViolationError(
            "a P-DATA-TF longer than agreed", AbortReason.INVALID_PDU_PARAMETER
        )
    connection.begin_message()
    while length:
        if length < pdus.PDV_HEADER.size:
            raise _bad_pdv()
        header = stream.take(pdus.PDV_HEADER.size)
        pdv_length, context_id, control = pdus.PDV_HEADER.unpack(header)
        if pdv_length < 2 or pdv_length + 4 > length:
            raise _bad_pdv()
        take_fragment(context_id, control, pdv_length - 2)
        length -= pdv_length + 4


def unexpected_pdu(kind: int) -> ProtocolViolationError:
    """Return the error of a PDU that has no place in an established association."""
    known = kind in set(PduType)
    return ProtocolViolationError(
        "a PDU that has no place in an established association" if known else "an unknown PDU",
        AbortReason.UNEXPECTED_PDU if known else AbortReason.UNRECOGNIZED_PDU,
    )


def _bad_pdv() -> ProtocolViolationError:
    """Return the error of a presentation data value that does not fit its PDU."""
    return ProtocolViolationError(
        "a presentation data value that does not fit its PDU", AbortReason.INVALID_PDU_PARAMETER
    )
