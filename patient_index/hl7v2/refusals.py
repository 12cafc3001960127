"""Refused messages: kept, shown, corrected, sent again, or dismissed, with who decided and why."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, undefer

from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError, NotFoundError
from patient_index.hl7v2.charsets import UTF_8_NAME
from patient_index.hl7v2.exchange import Peer
from patient_index.hl7v2.problems import Acknowledgement, RefusedMessageError
from patient_index.hl7v2.reading import header_charset
from patient_index.hl7v2.tables import DISMISSED, OPEN, REPLAYED, Hl7Refusal
from patient_index.hl7v2.writing import Asked

log = logging.getLogger(__name__)

_MOST_OPEN = 20_000
_MOST_BYTES = 1 << 30
_LONGEST_PAGE = 500
_CHARSET_FIELD = 17  # index of MSH-18 when the header is split at MSH-1


class UnknownRefusalError(NotFoundError):
    """No message of that number was refused."""


class SettledRefusalError(InvalidValueError):
    """The message was replayed or dismissed before; it is not decided twice."""


@dataclass(frozen=True)
class RefusedMessage:
    """One refused message.

    `text` is the message for a person to read and correct, one segment a line; empty in lists.
    """

    refusal_id: int
    received_at: datetime
    last_received_at: datetime
    times: int
    address: str
    sender: str
    message_type: str
    control_id: str
    rule: str
    code: int
    place: str
    english: str
    chinese: str
    status: str
    decided_by: str = ""
    decided_at: datetime | None = None
    decision: str = ""
    text: str = ""


@dataclass(frozen=True)
class Answered:
    """What became of one message: its answer, how it was acknowledged, and why it was refused."""

    raw: bytes
    acknowledgement: Acknowledgement
    global_ids: tuple[str, ...] = ()
    refusal: RefusedMessageError | None = None


@dataclass(frozen=True)
class ReplayOutcome:
    """What became of a corrected message; the words say why it was refused again, if it was."""

    accepted: bool
    acknowledgement: Acknowledgement
    global_ids: tuple[str, ...] = ()
    place: str = ""
    english: str = ""
    chinese: str = ""


class RefusedMessages:
    """The desk of refused messages; `answer` is the way a message takes that came by MLLP."""

    def __init__(
        self, database: Database, clock: Clock, answer: Callable[[bytes, Peer], Answered]
    ) -> None:
        self._database = database
        self._clock = clock
        self._answer = answer

    def open(self, limit: int = 100) -> list[RefusedMessage]:
        """Return the newest messages that wait for a person, at most 500, without their text."""
        return self.page(OPEN, limit=limit)

    def page(
        self, status: str = OPEN, *, limit: int = 100, before: int | None = None
    ) -> list[RefusedMessage]:
        """Return the newest messages of one status whose number is below `before`."""
        asked = (
            select(Hl7Refusal)
            .where(Hl7Refusal.status == status)
            .order_by(Hl7Refusal.id.desc())
            .limit(max(1, min(limit, _LONGEST_PAGE)))
        )
        if before is not None:
            asked = asked.where(Hl7Refusal.id < before)
        with self._database.read() as session:
            return [_shown(row) for row in session.scalars(asked)]

    def count(self) -> int:
        """Return how many messages wait for a person."""
        asked = select(func.count()).where(Hl7Refusal.status == OPEN)
        with self._database.read() as session:
            return session.scalar(asked) or 0

    def get(self, refusal_id: int) -> RefusedMessage:
        """Return one message with its text.

        Raises:
            UnknownRefusalError: there is no such message.
        """
        with self._database.read() as session:
            row = _row(session, refusal_id)
            return _shown(row, message_text(row.raw))

    def replay(self, refusal_id: int, corrected_text: str, by: str) -> ReplayOutcome:
        """Send the corrected message as if its sender had; settled when it is accepted.

        The message keeps its sender, control ID and address; the audit record names `by`. Refused
        again, it stays open as it first came. Replaying what was carried out does nothing twice.

        Raises:
            UnknownRefusalError, SettledRefusalError: there is nothing to replay.
        """
        with self._database.read() as session:
            row = _open_row(session, refusal_id)
            address = row.address
        answered = self._answer(message_bytes(corrected_text), Peer(address, replayed_by=by))
        refusal = answered.refusal
        if refusal is None:
            self._settle(refusal_id, REPLAYED, by, f"{answered.acknowledgement}")
            return ReplayOutcome(
                accepted=True,
                acknowledgement=answered.acknowledgement,
                global_ids=answered.global_ids,
            )
        return ReplayOutcome(
            accepted=False,
            acknowledgement=answered.acknowledgement,
            place=str(refusal.at),
            english=refusal.english,
            chinese=refusal.chinese,
        )

    def dismiss(self, refusal_id: int, by: str, reason: str) -> None:
        """Close a message that is not to be replayed.

        Raises:
            UnknownRefusalError, SettledRefusalError: there is nothing to dismiss.
            InvalidValueError: no reason is given.
        """
        if not reason.strip():
            raise InvalidValueError("dismissing a refused message needs a reason")
        self._settle(refusal_id, DISMISSED, by, reason)

    def keep(self, raw: bytes, asked: Asked, peer: Peer, refusal: RefusedMessageError) -> None:
        """Keep a refused message; the same bytes again only count up.

        With 20,000 messages or 1 GiB waiting nothing more is kept: the sender has been told, and a
        flood must not fill the disk.
        """
        try:
            with self._database.unit_of_work() as unit:
                self._keep(unit.session, raw, asked, (peer, refusal))
        except IntegrityError:
            log.debug("the same message was refused twice at the same moment")

    def _keep(
        self,
        session: Session,
        raw: bytes,
        asked: Asked,
        refused: tuple[Peer, RefusedMessageError],
    ) -> None:
        peer, refusal = refused
        now = self._clock.now()
        digest = hashlib.sha256(raw).hexdigest()
        known = session.scalar(select(Hl7Refusal).where(Hl7Refusal.digest == digest))
        if known is not None:
            known.times += 1
            known.last_received_at = now
            return
        if self._full(session, len(raw)):
            log.warning("too many refused messages wait: one more was not kept")
            return
        row = Hl7Refusal(
            digest=digest,
            received_at=now,
            last_received_at=now,
            times=1,
            address=peer.address[:64],
            sender=asked.sender_name[:128],
            message_type=f"{asked.message_type}^{asked.event}"[:32],
            control_id=asked.control_id[:200],
            raw=raw,
            size=len(raw),
            rule=refusal.rule_name,
            code=refusal.rule.code,
            place=str(refusal.at)[:64],
            english=refusal.english[:1000],
            chinese=refusal.chinese[:1000],
            status=OPEN,
            decided_by="",
            decision="",
        )
        session.add(row)

    def _full(self, session: Session, size: int) -> bool:
        asked = select(func.count(), func.sum(Hl7Refusal.size)).where(Hl7Refusal.status == OPEN)
        count, total = session.execute(asked).one()
        return count >= _MOST_OPEN or int(total or 0) + size > _MOST_BYTES

    def _settle(self, refusal_id: int, status: str, by: str, decision: str) -> None:
        with self._database.unit_of_work() as unit:
            row = _open_row(unit.session, refusal_id)
            row.status = status
            row.decided_by = by[:128]
            row.decided_at = self._clock.now()
            row.decision = decision[:400]


def message_text(raw: bytes) -> str:
    """Return a message for a person to read: one segment a line, in the set it declares."""
    lines = raw.replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r")
    charset = header_charset(lines[0])
    return "\n".join(charset.decode(line).text for line in lines if line)


def message_bytes(text: str) -> bytes:
    """Return a corrected message as bytes, in UTF-8, which its MSH-18 then says."""
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]
    if lines and not text.isascii():
        separator = lines[0][3:4] or "|"
        fields = lines[0].split(separator)
        fields += [""] * (_CHARSET_FIELD + 1 - len(fields))
        fields[_CHARSET_FIELD] = UTF_8_NAME
        lines[0] = separator.join(fields)
    return "\r".join((*lines, "")).encode("utf-8", "replace")


def _row(session: Session, refusal_id: int) -> Hl7Refusal:
    asked = (
        select(Hl7Refusal)
        .where(Hl7Refusal.id == refusal_id)
        .options(undefer(Hl7Refusal.raw))
        .with_for_update()
    )
    row = session.scalar(asked)
    if row is None:
        raise UnknownRefusalError("no such refused message")
    return row


def _open_row(session: Session, refusal_id: int) -> Hl7Refusal:
    row = _row(session, refusal_id)
    if row.status != OPEN:
        raise SettledRefusalError("this message was replayed or dismissed before")
    return row


def _shown(row: Hl7Refusal, text: str = "") -> RefusedMessage:
    return RefusedMessage(
        refusal_id=row.id,
        received_at=row.received_at,
        last_received_at=row.last_received_at,
        times=row.times,
        address=row.address,
        sender=row.sender,
        message_type=row.message_type,
        control_id=row.control_id,
        rule=row.rule,
        code=row.code,
        place=row.place,
        english=row.english,
        chinese=row.chinese,
        status=row.status,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision=row.decision,
        text=text,
    )
