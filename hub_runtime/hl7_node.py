"""The HL7 v2 node of a hub: domains, feed, lookup and audit trail wired to the MLLP listener."""

import threading
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from access_control.audit import AuditEvent, AuditTrail
from access_control.model import Purpose, Subject, SubjectKind
from hub_kernel.database import Database
from hub_kernel.settings import Settings
from patient_index.hl7v2.admission import peer_rules
from patient_index.hl7v2.exchange import ExchangeRecord, Hl7Parts
from patient_index.hl7v2.node import Hl7Node, NodeSettings
from patient_index.hl7v2.service import Hl7Service


@dataclass
class _Waiting:
    """A record whose exchange waits until it is durable."""

    record: ExchangeRecord
    done: bool = False
    failure: SQLAlchemyError | None = None


class ExchangeAudit:
    """Writes one audit record for each person that a message was about.

    Messages answered at the same time share a commit; each waits for the one that holds its record.
    """

    def __init__(self, database: Database, trail: AuditTrail) -> None:
        self._database = database
        self._trail = trail
        self._waiting: list[_Waiting] = []
        self._joining = threading.Lock()
        self._writing = threading.Lock()

    def __call__(self, record: ExchangeRecord) -> None:
        """Record the exchange; it is durable on return.

        Raises:
            SQLAlchemyError: it could not be written.
        """
        mine = _Waiting(record)
        with self._joining:
            self._waiting.append(mine)
        with self._writing:
            if not mine.done:
                self._write_all()
        if mine.failure is not None:
            raise mine.failure

    def _write_all(self) -> None:
        with self._joining:
            batch, self._waiting = self._waiting, []
        try:
            with self._database.unit_of_work() as work:
                for one in batch:
                    for global_id in one.record.global_ids or ("",):
                        self._trail.record(work.session, _event(one.record, global_id))
        except SQLAlchemyError as error:
            for one in batch:
                one.failure = error
        for one in batch:
            one.done = True


def node_settings(settings: Settings) -> NodeSettings:
    """Return `[hl7]` as the node wants it."""
    known = {field.name for field in fields(NodeSettings)}
    given: dict[str, Any] = settings.hl7.model_dump(include=known)
    return NodeSettings(**given)


def hl7_service(parts: Hl7Parts, settings: NodeSettings) -> Hl7Service:
    """Return what answers messages; its `refused` is the desk of refused messages."""
    return Hl7Service(parts, peers=peer_rules(settings.peers), most_answers=settings.query_limit)


def hl7_node(parts: Hl7Parts, settings: NodeSettings) -> Hl7Node:
    """Return the node, not yet listening."""
    return Hl7Node(settings, hl7_service(parts, settings))


def _event(record: ExchangeRecord, global_id: str) -> AuditEvent:
    by = record.replayed_by
    sender = record.sender.strip("|") or "unnamed"
    subject = (
        Subject(SubjectKind.USER, by, by) if by else Subject(SubjectKind.MACHINE, sender, sender)
    )
    return AuditEvent(
        action=_ACTIONS[record.action],
        outcome=record.outcome,
        subject=subject,
        resource_kind="patient",
        resource_id=global_id,
        address=record.address,
        detail=f"{record.transaction} {record.detail}",
        purpose=Purpose.TREATMENT,
    )


_ACTIONS = {"feed": "feed_patient", "query": "find_patient"}
