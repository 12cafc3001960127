"""ORU^R01: imaging reports as observation results (HL7 v2.5 7.3.1; tables 0085 and 0123).

Text of any OBX is taken in its order, and one PDF, base64 in an ED. A report is signed by F or C in
OBR-25 alone, and only while no OBX-11 says otherwise: what is preliminary in part is preliminary.
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime

from patient_index.hl7v2.exchange import Asking, Done
from patient_index.hl7v2.identifiers import Authorities, patient_identifiers
from patient_index.hl7v2.problems import RefusedMessageError
from patient_index.hl7v2.reading import Hl7Message, Repetition, Segment
from patient_index.hl7v2.results import ReceivedResult
from patient_index.hl7v2.values import read_time_stamp
from patient_index.hl7v2.writing import AnswerWriter

STATUSES = frozenset("OISAPCRFXWYZ")
"""Table 0123 as far as it is sent, and W of table 0085: the result was wrong."""

_OBX_STATUSES = frozenset("CDFINOPRSUWX")
_SIGNED = frozenset("FC")
_DROPPED = frozenset("DWX")  # deleted, wrong, cannot be obtained: not part of the report any more
_TEXTS = frozenset({"TX", "FT", "ST", "CE", "CWE", "NM", "DT", "TS", "TM", "SN", "CF"})
_STUDY_UID = frozenset({"113014", "0020000D", "110180"})
_MOST_PARAGRAPHS = 2_000
_LONGEST = 200


def take_result(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """Put the report of the message on record; AA once it is durable, matched or waiting.

    Raises:
        RefusedMessageError: it names no patient, order or status, or encloses what is no PDF.
    """
    sink = asking.parts.results
    if sink is None:
        raise RefusedMessageError("message-type", message.header.place(9, 1), came="ORU")
    result = _result(message, asking)
    found = {asking.parts.patients.resolve(one) for one in result.patients}
    concerning = tuple(sorted(one for one in found if one))
    sink(result, lambda session, words: asking.record(Done(concerning, words), session))
    writer.acknowledge("AA")
    return Done(concerning, recorded=True)


def _result(message: Hl7Message, asking: Asking) -> ReceivedResult:
    pid, obr = message.required("PID"), message.required("OBR")
    if len(message.all("OBR")) > 1 or len(message.all("PID")) > 1:
        raise RefusedMessageError("too-intricate", message.all("OBR")[-1].place(), allowed="1 OBR")
    authorities = Authorities(asking.parts.domains, asking.sender)
    observations = message.all("OBX")
    standing = [obx for obx in observations if obx.text(11).upper() not in _DROPPED]
    title = obr.text(4, 2) or obr.text(4, 5) or obr.text(4)
    order_key = obr.text(3) or obr.text(2)
    accessions = tuple(_accessions(obr, message.first("ORC")))
    if not order_key and not accessions:
        raise RefusedMessageError("field-missing", obr.place(3))
    return ReceivedResult(
        message_key=asking.message_key,
        sender=asking.sender,
        order_key=f"{order_key or accessions[0]}:{obr.text(4)}",
        status=_status(obr, observations),
        title=title[:_LONGEST],
        author=_author(obr),
        issued_at=_issued_at(obr, message.header),
        study_instance_uid=_study_uid(message),
        accession_numbers=accessions,
        patients=tuple(one.identifier for one in patient_identifiers(pid, 3, authorities)),
        paragraphs=tuple(_paragraphs(standing))[:_MOST_PARAGRAPHS],
        pdf=_pdf(standing),
    )


def _status(obr: Segment, observations: tuple[Segment, ...]) -> str:
    """Return the letter that holds: OBR-25, or the most cautious of the OBX-11 in its place."""
    stated = obr.text(25).upper()
    parts = {obx.text(11).upper() for obx in observations} - {""}
    for status, allowed, place in (
        *((one, _OBX_STATUSES, observations[0].place(11)) for one in sorted(parts)),
        (stated or "F", STATUSES, obr.place(25)),
    ):
        if status not in allowed:
            raise RefusedMessageError("invalid-value", place, came=status, allowed="0123, 0085")
    if not stated and not parts:
        raise RefusedMessageError("field-missing", obr.place(25))
    if stated in {"X", "W"} or (parts and parts <= _DROPPED):
        return "X"
    if parts - _SIGNED - _DROPPED or (stated and stated not in _SIGNED):
        return "P"
    return stated or ("C" if "C" in parts else "F")


def _accessions(obr: Segment, orc: Segment | None) -> Iterator[str]:
    """The accession number as RIS send it: OBR-18 (IHE RAD), then filler and placer number."""
    found = [obr.text(18), obr.text(3), obr.text(20), obr.text(2)]
    if orc is not None:
        found += [orc.text(3), orc.text(2)]
    yield from dict.fromkeys(one[:64] for one in found if one and one.isprintable())


def _study_uid(message: Hl7Message) -> str:
    """The Study Instance UID of ZDS-1 (IHE RAD TF-2 4.4), or of an OBX that says it."""
    zds = message.first("ZDS")
    named = [zds.text(1)] if zds else []
    named += [obx.text(5) for obx in message.all("OBX") if obx.text(3) in _STUDY_UID]
    return next((uid for uid in named if 0 < len(uid) <= 64 and set(uid) <= set("0123456789.")), "")


def _author(obr: Segment) -> str:
    """Return the principal result interpreter (OBR-32, NDL or plain)."""
    found = obr.repetitions(32)
    if not found:
        return ""
    name = [found[0].text(1, 2), found[0].text(1, 3)]
    plain = [found[0].text(2), found[0].text(3)]
    said = "".join(name) or "".join(plain) or found[0].text(1)
    return said[:_LONGEST]


def _issued_at(obr: Segment, header: Segment) -> datetime | None:
    """Return when the result was reported (OBR-22), else when the message was made.

    A time without a zone is in that of MSH-7 (HL7 v2.5 2.A.77), naive where that names none either.
    """
    sent = read_time_stamp(header.text(7))
    stamps = (read_time_stamp(obr.text(22)), sent)
    moments = (stamp.moment(sent.zone if sent else None) for stamp in stamps if stamp)
    return next((moment for moment in moments if moment is not None), None)


def _paragraphs(observations: list[Segment]) -> Iterator[tuple[str, str]]:
    before = ""
    for obx in observations:
        if obx.text(2).upper() not in _TEXTS or obx.text(3) in _STUDY_UID:
            continue
        name = obx.text(3, 2) or obx.text(3)
        text = "\n".join(filter(None, (_value(obx, one) for one in obx.repetitions(5))))
        if text:
            yield ("" if name == before else name[:_LONGEST]), text
            before = name


def _value(obx: Segment, repetition: Repetition) -> str:
    kind = obx.text(2).upper()
    text = repetition.text(2) or repetition.text(1) if kind in {"CE", "CWE"} else repetition.text(1)
    unit = obx.text(6) if kind in {"NM", "SN"} else ""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = ("".join(one for one in line if one.isprintable()) for line in lines)
    return " ".join(filter(None, ("\n".join(kept).strip(), unit)))


def _pdf(observations: list[Segment]) -> bytes | None:
    for obx in observations:
        value = obx.repetitions(5)
        if obx.text(2).upper() != "ED" or not value:
            continue
        if "PDF" not in {value[0].text(2).upper(), value[0].text(3).upper()}:
            continue
        try:
            data = base64.b64decode("".join(value[0].text(5).split()), validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if not data.startswith(b"%PDF-"):
            raise RefusedMessageError("invalid-value", obx.place(5, 5), allowed="Base64 PDF")
        return data
    return None
