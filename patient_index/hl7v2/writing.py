"""Write answers: segments from values, headers that answer headers (HL7 v2.5 2.14, 2.9.2)."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from patient_index.hl7v2.charsets import MessageCharset, encode_answer
from patient_index.hl7v2.escapes import STANDARD, Delimiters, escaped
from patient_index.hl7v2.problems import (
    ERROR_CODES,
    Acknowledgement,
    Location,
    RefusedMessageError,
)
from patient_index.hl7v2.reading import Hl7Message, Segment, header_values

_OWN_NAME = "EIRHUB"
_LONGEST = 199
_TABLE = "HL70357"
_DETAILED_TYPE_SINCE = "2.4"


@dataclass(frozen=True)
class Asked:
    """What an answer repeats of the message it answers: names as components, not yet escaped."""

    sender: tuple[str, ...] = ()
    sending_facility: tuple[str, ...] = ()
    receiver: tuple[str, ...] = ()
    receiving_facility: tuple[str, ...] = ()
    message_type: str = ""
    event: str = ""
    control_id: str = ""
    processing_id: str = "P"
    version: str = "2.5"
    delimiters: Delimiters = STANDARD
    charset: MessageCharset = MessageCharset()

    @property
    def sender_name(self) -> str:
        """The sender as the settings name it: "MSH-3|MSH-4"."""
        return f"{_first(self.sender)}|{_first(self.sending_facility)}"


def asked_by(message: Hl7Message) -> Asked:
    """Return what an answer to `message` repeats."""
    msh = message.header
    return Asked(
        sender=_hd(msh, 3),
        sending_facility=_hd(msh, 4),
        receiver=_hd(msh, 5),
        receiving_facility=_hd(msh, 6),
        message_type=msh.text(9, 1).upper(),
        event=msh.text(9, 2).upper(),
        control_id=msh.text(10),
        processing_id=msh.text(11).upper(),
        version=msh.text(12),
        delimiters=msh.delimiters,
        charset=message.charset,
    )


def asked_by_damaged(raw: bytes) -> Asked:
    """Return what can be made out of a message that cannot be read. Never raises."""
    values = header_values(raw)
    kind, _, event = values.get(9, "").partition("^")

    def hd(number: int) -> tuple[str, ...]:
        return tuple(values.get(number, "").split("^")[:3])

    return Asked(
        sender=hd(3),
        sending_facility=hd(4),
        receiver=hd(5),
        receiving_facility=hd(6),
        message_type=kind.upper(),
        event=event.partition("^")[0].upper(),
        control_id=values.get(10, ""),
    )


class AnswerWriter:
    """Writes one answer in the delimiters and, where it can, in the character set of the asker."""

    def __init__(self, asked: Asked, now: datetime) -> None:
        self._asked = asked
        self.delimiters = asked.delimiters
        self._now = now
        self._segments: list[str] = []

    def add(self, name: str, fields: Mapping[int, str]) -> None:
        """Add a segment; the fields, by number, are already encoded."""
        values = [fields.get(number, "") for number in range(1, max(fields, default=0) + 1)]
        segment = self.delimiters.field.join((name, *values))
        self._segments.append(segment.rstrip(self.delimiters.field))

    def add_raw(self, segment: str) -> None:
        """Add a segment that is already encoded, such as the repeated QPD."""
        self._segments.append(segment)

    def acknowledge(self, code: Acknowledgement, words: str = "") -> None:
        """Add the MSA."""
        self.add("MSA", {1: code, 2: self.value(self._asked.control_id), 3: self.value(words)})

    def error(self, refusal: RefusedMessageError, severity: str = "E") -> None:
        """Add the ERR that names place, code and, in two languages, what to do.

        Before 2.5 there is only ERR-1; the later fields are added for everybody, since they say
        more and readers of older versions pass over fields they do not know.
        """
        rule = refusal.rule
        meaning = ERROR_CODES[rule.code]
        fields = {
            2: self.place(refusal.at),
            3: self.components(str(rule.code), meaning, _TABLE),
            4: severity,
            5: self.components(refusal.rule_name, rule.english),
            7: self.value(refusal.english),
            8: self.value(f"{refusal.chinese} / {refusal.english}"),
        }
        if self._asked.version < "2.5":
            code = self.delimiters.subcomponent.join(map(self.value, (str(rule.code), meaning)))
            at = refusal.at
            place = (at.segment, str(at.sequence), str(at.field or ""))
            fields[1] = self.delimiters.component.join((*place, code))
        self.add("ERR", fields)

    def encoded(self, message_type: tuple[str, ...]) -> bytes:
        """Return the whole answer, its MSH first."""
        body = "\r".join((self._header(message_type, ""), *self._segments)) + "\r"
        raw, charset = encode_answer(body, self._asked.charset)
        if not charset:
            return raw
        # The header is ASCII or part of what was just encoded: name the set and encode again.
        named = "\r".join((self._header(message_type, charset), *self._segments)) + "\r"
        return encode_answer(named, self._asked.charset)[0]

    def value(self, text: str) -> str:
        """Return one value, escaped."""
        return escaped(text, self.delimiters)

    def components(self, *texts: str) -> str:
        """Return components, escaped, without empty ones at the end."""
        joined = self.delimiters.component.join(map(self.value, texts))
        return joined.rstrip(self.delimiters.component)

    def repetitions(self, values: Iterable[str]) -> str:
        """Return already encoded values as repetitions of one field."""
        return self.delimiters.repetition.join(values)

    def place(self, at: Location) -> str:
        """Return a location as ERL: segment, its sequence, field, repetition, component."""
        parts = [at.segment, str(at.sequence)]
        if at.field:
            parts += [str(at.field), str(at.repetition)]
        if at.field and at.component:
            parts.append(str(at.component))
        return self.delimiters.component.join(parts)

    def _header(self, message_type: tuple[str, ...], charset: str) -> str:
        asked, marks = self._asked, self.delimiters
        structure = asked.version >= _DETAILED_TYPE_SINCE
        kept = message_type if structure else message_type[:2]
        fields = (
            "MSH",
            marks.encoding_characters,
            self.components(*(asked.receiver if any(asked.receiver) else (_OWN_NAME,))),
            self.components(*asked.receiving_facility),
            self.components(*asked.sender),
            self.components(*asked.sending_facility),
            self._now.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000"),
            "",
            self.components(*kept),
            uuid.uuid4().hex[:20],
            self.value(asked.processing_id or "P"),
            self.value(asked.version),
            *("",) * 5,
            self.value(charset),
        )
        return marks.field.join(fields).rstrip(marks.field)


def _hd(msh: Segment, number: int) -> tuple[str, ...]:
    return tuple(msh.text(number, component)[:_LONGEST] for component in (1, 2, 3))


def _first(parts: tuple[str, ...]) -> str:
    """The namespace of an HD, or the universal ID of one that has none."""
    return next((part for part in parts[:2] if part), "")
