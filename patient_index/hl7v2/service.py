"""One message in, one answer out: read, admit, route, acknowledge, record (HL7 v2.5 2.9.2).

Original acknowledgement mode. AA: done and durable. AE: understood, but not possible. AR: not
taken on at all. A refused feed message is kept for a person to correct and replay.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from patient_index.hl7v2.admission import Admission, PeerRule
from patient_index.hl7v2.exchange import (
    AskedQuery,
    Asking,
    Done,
    ExchangeRecord,
    Hl7Parts,
    Peer,
    detail_of,
)
from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.query import repeat_query
from patient_index.hl7v2.quiet import FloodGate
from patient_index.hl7v2.reading import Hl7Message, read_message
from patient_index.hl7v2.refusals import Answered, RefusedMessages
from patient_index.hl7v2.transactions.iti08_feed_patient_identity import (
    merge_patients,
    register_patient,
    update_patient,
)
from patient_index.hl7v2.transactions.iti09_query_identifiers import query_identifiers
from patient_index.hl7v2.transactions.iti21_query_demographics import (
    cancel_query,
    query_demographics,
)
from patient_index.hl7v2.transactions.iti64_notify_link_change import change_patient_link
from patient_index.hl7v2.transactions.oru_r01_observation_result import take_result
from patient_index.hl7v2.writing import AnswerWriter, Asked, asked_by, asked_by_damaged

log = logging.getLogger(__name__)

Handler = Callable[[Hl7Message, Asking, AnswerWriter], Done]

VERSIONS = ("2.3.1", "2.4", "2.5", "2.5.1")
PROCESSING_IDS = ("P",)
_AT_ONCE = 16
_LONGEST_QUERY = 4000
_QUESTIONS = frozenset({"QBP", "QCN"})
_ANONYMOUS = frozenset(
    {"not-hl7", "sender", "peer", "too-long", "unterminated", "busy", "frame-in-frame"}
)


@dataclass(frozen=True)
class Route:
    """What one trigger event leads to; `answer` is MSH-9 of the answer."""

    transaction: str
    action: Literal["feed", "query", "report"]
    answer: tuple[str, ...]
    handle: Handler


def _feed(event: str, handle: Handler) -> Route:
    return Route("ITI-8", "feed", ("ACK", event, "ACK"), handle)


ROUTES: Mapping[tuple[str, str], Route] = {
    ("ADT", "A01"): _feed("A01", register_patient),
    ("ADT", "A04"): _feed("A04", register_patient),
    ("ADT", "A05"): _feed("A05", register_patient),
    ("ADT", "A28"): _feed("A28", register_patient),
    ("ADT", "A08"): _feed("A08", update_patient),
    ("ADT", "A31"): _feed("A31", update_patient),
    ("ADT", "A40"): _feed("A40", merge_patients),
    ("ADT", "A43"): Route("ITI-64", "feed", ("ACK", "A43", "ACK"), change_patient_link),
    ("ORU", "R01"): Route("ORU^R01", "report", ("ACK", "R01", "ACK"), take_result),
    ("QBP", "Q23"): Route("ITI-9", "query", ("RSP", "K23", "RSP_K23"), query_identifiers),
    ("QBP", "Q22"): Route("ITI-21", "query", ("RSP", "K22", "RSP_K21"), query_demographics),
    ("QCN", "J01"): Route("ITI-21", "query", ("ACK", "J01", "ACK"), cancel_query),
}
"""Every trigger event that is understood (MSH-9.1, MSH-9.2)."""


class Hl7Service:
    """Answers HL7 v2 messages; safe to use from many threads.

    `peers` say where a sender may come from, `any_address` that those without a rule may come from
    beyond loopback; `most_answers` bounds a page of a query.
    """

    def __init__(
        self,
        parts: Hl7Parts,
        *,
        peers: tuple[PeerRule, ...] = (),
        any_address: bool = False,
        most_answers: int = 100,
    ) -> None:
        self._parts = parts
        self._admission = Admission(parts.domains, peers, any_address=any_address)
        self._most_answers = most_answers
        self._flood = FloodGate()
        # A message taken apart costs a hundred times its bytes: not too many of them at once.
        self._gate = threading.BoundedSemaphore(_AT_ONCE)
        self.refused = RefusedMessages(parts.database, parts.clock, self.answer)

    def answer(self, raw: bytes, peer: Peer) -> Answered:
        """Return the answer to one message; every message gets one. Never raises.

        A refused feed message is kept, unless it is a correction that a person sends.
        """
        with self._gate:
            return self._answer(raw, peer)

    def refuse(self, raw: bytes, peer: Peer, refusal: RefusedMessageError) -> Answered:
        """Return the answer to something that is no whole message, and record it."""
        asked = asked_by_damaged(raw)
        return self._refused(asked, peer, refusal)

    def _answer(self, raw: bytes, peer: Peer) -> Answered:
        asked, message = asked_by_damaged(raw), None
        try:
            message = read_message(raw)
            asked = asked_by(message)
            return self._carried_out(message, asked, peer)
        except RefusedMessageError as refusal:
            self._keep(raw, asked, peer, refusal)
            return self._refused(asked, peer, refusal, message)
        except Exception:  # the outermost edge of a message: its sender must hear something
            # What exactly failed is the engineer's business; parameters are hidden by the database.
            log.exception("an HL7 message could not be answered")
            failure = RefusedMessageError("internal", Location("MSH"))
            self._keep(raw, asked, peer, failure)
            return self._refused(asked, peer, failure, message)

    def _carried_out(self, message: Hl7Message, asked: Asked, peer: Peer) -> Answered:
        _check_header(message)
        route = _route(asked)
        self._admission.admit(asked.sender_name, peer)
        asking = Asking(
            self._parts,
            asked,
            peer,
            message_key(message, asked),
            route.transaction,
            route.action,
            self._most_answers,
            _query(message),
        )
        writer = AnswerWriter(asked, self._parts.clock.now())
        done = route.handle(message, asking, writer)
        if not done.recorded:
            asking.record(done)
        return Answered(writer.encoded(route.answer), "AA", done.global_ids)

    def _refused(
        self,
        asked: Asked,
        peer: Peer,
        refusal: RefusedMessageError,
        message: Hl7Message | None = None,
    ) -> Answered:
        route = ROUTES.get((asked.message_type, asked.event))
        self._record_refusal(route, asked, peer, refusal)
        writer = AnswerWriter(_answerable(asked), self._parts.clock.now())
        code = refusal.rule.acknowledgement
        writer.acknowledge(code, refusal.english)
        writer.error(refusal)
        qpd = message.first("QPD") if message is not None else None
        if route is not None and route.action == "query" and qpd is not None:
            repeat_query(writer, qpd, "AE" if code == "AE" else "AR")
        event = asked.event if asked.event.isalnum() else ""
        answer = route.answer if route is not None else ("ACK", event, "ACK" if event else "")
        return Answered(writer.encoded(answer), code, refusal=refusal)

    def _record_refusal(
        self, route: Route | None, asked: Asked, peer: Peer, refusal: RefusedMessageError
    ) -> None:
        unwritten: int | None = 0
        if refusal.rule_name in _ANONYMOUS:
            unwritten = self._flood.passes((peer.address, refusal.rule_name))
        if unwritten is None:
            return
        more = f"; {unwritten} more like it before" if unwritten else ""
        record = ExchangeRecord(
            transaction=route.transaction if route else "MLLP",
            action=route.action if route else "feed",
            outcome="failure" if refusal.rule_name == "internal" else "refused",
            sender=asked.sender_name,
            address=peer.address,
            detail=detail_of(asked, f"{refusal.rule_name} at {refusal.at}{more}"),
            global_ids=refusal.concerning,
            replayed_by=peer.replayed_by,
        )
        try:
            self._parts.audit(record)
        except SQLAlchemyError:
            log.exception("an audit record could not be written")
        log.warning(
            "an HL7 message was refused",
            extra={"reason": str(refusal), "address": peer.address},
        )

    def _keep(self, raw: bytes, asked: Asked, peer: Peer, refusal: RefusedMessageError) -> None:
        """Keep what a feed said; a query can be asked again by whoever wanted to know."""
        question = asked.message_type in _QUESTIONS or refusal.rule_name == "not-hl7"
        if question or peer.replayed_by:
            return
        try:
            self.refused.keep(raw, asked, peer, refusal)
        except SQLAlchemyError:
            log.exception("a refused message could not be kept")


def message_key(message: Hl7Message, asked: Asked) -> str:
    """Return what makes a message the same message: sender, control ID and what it says.

    MSH-7 does not count: many senders write the time of sending again. A counter that starts over
    gives other messages the same control ID; their content tells them apart.
    """
    header = message.header
    said = [header.raw(number) for number in (3, 4, 9, 11, 12)]
    said += [str(segment) for segment in message.segments[1:]]
    parts = "\r".join((asked.sender_name, asked.control_id, *said))
    return "hl7:" + hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _query(message: Hl7Message) -> AskedQuery | None:
    qpd = message.first("QPD")
    if qpd is None:
        return None
    parted = qpd.delimiters
    return AskedQuery(qpd.raw(3)[:_LONGEST_QUERY], parted.repetition, parted.component)


def _check_header(message: Hl7Message) -> None:
    msh = message.header
    for number, component in ((9, 1), (9, 2), (10, 1), (12, 1)):
        if not msh.text(number, component):
            at = msh.place(number, component if number == 9 else 0)
            raise RefusedMessageError("header-field-missing", at)
    if msh.text(12) not in VERSIONS:
        allowed = ", ".join(VERSIONS)
        raise RefusedMessageError("version", msh.place(12), came=msh.text(12), allowed=allowed)
    processing_id = msh.text(11).upper()
    if processing_id not in PROCESSING_IDS:
        allowed = ", ".join(PROCESSING_IDS)
        raise RefusedMessageError(
            "processing-id", msh.place(11), came=processing_id, allowed=allowed
        )


def _route(asked: Asked) -> Route:
    route = ROUTES.get((asked.message_type, asked.event))
    if route is not None:
        return route
    events = sorted(event for kind, event in ROUTES if kind == asked.message_type)
    if events:
        at, allowed = Location("MSH", 9, 2), ", ".join(events)
        raise RefusedMessageError("event", at, came=asked.event, allowed=allowed)
    allowed = ", ".join(sorted({kind for kind, _ in ROUTES}))
    at = Location("MSH", 9, 1)
    raise RefusedMessageError("message-type", at, came=asked.message_type, allowed=allowed)


def _answerable(asked: Asked) -> Asked:
    """What an answer may repeat: a version that we do not speak is answered in one that we do."""
    version = asked.version if asked.version in VERSIONS else "2.5"
    processing_id = asked.processing_id if asked.processing_id in {"P", "T", "D"} else "P"
    return replace(asked, version=version, processing_id=processing_id)
