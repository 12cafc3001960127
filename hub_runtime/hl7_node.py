"""The HL7 v2 node of a hub: domains, feed, lookup and audit trail wired to the MLLP listener."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from access_control.atna_query import hl7_parameters
from access_control.audit import AuditEvent, AuditTrail
from access_control.consent import Consents
from access_control.model import Action, Purpose, Resource, Subject, SubjectKind
from access_control.policy import decide
from access_control.sites import SiteDirectory
from hub_kernel.database import Database
from hub_kernel.settings import Settings
from patient_index.domains import DomainDirectory
from patient_index.hl7v2.admission import peer_rules, refuse_unguarded
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

    def __call__(self, record: ExchangeRecord, session: Session | None = None) -> None:
        """Record the exchange: as part of the transaction of `session`, else durable on return.

        Raises:
            SQLAlchemyError: it could not be written.
        """
        if session is not None:
            self._write(record, session)
            return
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
                    self._write(one.record, work.session)
        except SQLAlchemyError as error:
            for one in batch:
                one.failure = error
        for one in batch:
            one.done = True

    def _write(self, record: ExchangeRecord, session: Session) -> None:
        for global_id in record.global_ids or ("",):
            self._trail.record(session, _event(record, global_id))


class SenderRights:
    """Whom a sender may find: everybody in the region, save who has refused it.

    A sender asks for the sites in whose domains it issues numbers, as a site that queries the whole
    region does; one that speaks for several keeps what the others may. A sender of no site asks for
    itself, and hears nothing of who refuses everybody.
    """

    def __init__(self, consents: Consents, sites: SiteDirectory, domains: DomainDirectory) -> None:
        self._consents = consents
        self._sites = sites
        self._domains = domains

    def __call__(self, sender: str, global_ids: Collection[str]) -> frozenset[str]:
        """Return which of these persons the sender may find."""
        if not global_ids or not self._consents.somebody_refuses():
            return frozenset(global_ids)
        asking = self._subjects(sender)
        return frozenset(one for one in global_ids if self._may_find(asking, one))

    def _subjects(self, sender: str) -> list[Subject]:
        mine = {domain.oid for domain in self._domains.all() if sender in domain.senders}
        sites = [one for one in self._sites.all() if one.assigning_authority.oid in mine]
        names = [(site.site_id, site.name) for site in sites] or [(sender, sender)]
        return [Subject(SubjectKind.SITE, *name, sites=None) for name in names]

    def _may_find(self, asking: Iterable[Subject], global_id: str) -> bool:
        refusals = self._consents.refusals_of(global_id)
        person = Resource("patient", global_id, refusals=refusals)
        return any(
            decide(subject, Action.QUERY, person, Purpose.TREATMENT).allowed for subject in asking
        )


def node_settings(settings: Settings) -> NodeSettings:
    """Return `[hl7]` as the node wants it."""
    known = {field.name for field in fields(NodeSettings)}
    given: dict[str, Any] = settings.hl7.model_dump(include=known)
    return NodeSettings(**given)


def hl7_service(parts: Hl7Parts, settings: NodeSettings) -> Hl7Service:
    """Return what answers messages; its `refused` is the desk of refused messages."""
    return Hl7Service(
        parts,
        peers=peer_rules(settings.peers),
        any_address=settings.any_address,
        most_answers=settings.query_limit,
    )


def hl7_node(parts: Hl7Parts, settings: NodeSettings) -> Hl7Node:
    """Return the node, not yet listening.

    Raises:
        ConfigurationError: other machines reach it, and nothing says who may connect.
    """
    refuse_unguarded(settings.bind, settings.peers, any_address=settings.any_address)
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
        query=_query(record),
    )


def _query(record: ExchangeRecord) -> str:
    """Return QPD-3 without anybody's name; what a PIX query asks with is an identifier."""
    asked = record.asked
    if asked is None:
        return ""
    if record.transaction == "ITI-21":
        return hl7_parameters(asked.parameters, asked.repetition, asked.component)
    return asked.parameters


_ACTIONS = {"feed": "feed_patient", "query": "find_patient", "report": "receive_report"}
