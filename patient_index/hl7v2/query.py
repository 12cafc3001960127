"""What all queries by parameter share: QPD, RCP, QAK (HL7 v2.5 chapter 5)."""

import base64
import binascii
import hashlib
import json

from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.reading import Hl7Message, Segment
from patient_index.hl7v2.writing import AnswerWriter

_RECORDS = "RD"
_LONGEST_POINTER = 2_000


def add_query_answer(writer: AnswerWriter, qpd: Segment, status: str) -> None:
    """Add MSA, QAK and the repeated QPD of a query that could be answered."""
    writer.acknowledge("AA")
    repeat_query(writer, qpd, status)


def repeat_query(writer: AnswerWriter, qpd: Segment, status: str) -> None:
    """Add QAK (`status` is OK, NF, AE or AR) and the QPD as it was asked."""
    writer.add("QAK", {1: writer.value(qpd.text(2)), 2: status, 3: qpd.raw(1)})
    writer.add_raw(str(qpd))


def require_immediate(message: Hl7Message) -> None:
    """Refuse a deferred answer (RCP-1); a missing RCP means an immediate one.

    Raises:
        RefusedMessageError: something else is asked for.
    """
    rcp = message.first("RCP")
    if rcp is not None and rcp.text(1).upper() not in {"", "I"}:
        raise RefusedMessageError("query-mode", rcp.place(1), came=rcp.text(1), allowed="I")


def quantity(message: Hl7Message, most: int) -> int:
    """Return how many records are wanted at once (RCP-2), at most `most`.

    Raises:
        RefusedMessageError: the quantity is no number above 0, or counts anything but records.
    """
    rcp = message.first("RCP")
    text = rcp.text(2) if rcp is not None else ""
    if rcp is None or not text:
        return most
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0):
        raise RefusedMessageError("invalid-value", rcp.place(2, 1), came=text, allowed=">= 1")
    unit = rcp.text(2, 2).upper()
    if unit not in {"", _RECORDS}:
        raise RefusedMessageError("query-mode", rcp.place(2, 2), came=unit, allowed=_RECORDS)
    return min(int(text[:9]), most)


def pointer_to(qpd: Segment, cursor: str) -> str:
    """Return what DSC-1 carries: where the next page begins, and of which query."""
    packed = json.dumps([_digest(qpd), cursor], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode("ascii")


def cursor_of(message: Hl7Message, qpd: Segment) -> str | None:
    """Return where to go on (DSC-1); None at the beginning.

    Raises:
        RefusedMessageError: the pointer was not given for this query.
    """
    dsc = message.first("DSC")
    pointer = dsc.text(1) if dsc is not None else ""
    if dsc is None or not pointer:
        return None
    try:
        packed = base64.urlsafe_b64decode(pointer[:_LONGEST_POINTER].encode("ascii"))
        digest, cursor = json.loads(packed)
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise foreign_pointer(dsc.place(1)) from error
    if digest != _digest(qpd) or not isinstance(cursor, str):
        raise foreign_pointer(dsc.place(1))
    return cursor


def foreign_pointer(at: Location) -> RefusedMessageError:
    """Return the refusal of a continuation pointer that does not belong to the query."""
    return RefusedMessageError("continuation", at)


def _digest(qpd: Segment) -> str:
    """Of what is asked; the tag may be another for each page."""
    asked = "\n".join((qpd.raw(3), qpd.raw(8)))
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16]
