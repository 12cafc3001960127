"""Carry out one transaction: all of it with its audit records, or none of it and the refusal.

Here are the words the SOAP endpoints and the transactions share, and the one place that opens
snapshots and units of work for them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from lxml import etree
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from access_control.audit import AuditEvent, AuditTrail
from access_control.audit_message import AuditObject, Outcome
from access_control.errors import InvalidAuditEventError
from access_control.model import Subject
from hub_kernel.database import Database, UnitOfWork
from image_archive.errors import ArchiveBusyError, ArchiveError
from xds_registry import mtom
from xds_registry import vocabulary as v
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.group_commit import GroupCommit
from xds_registry.received_parts import ReceivedPart
from xds_registry.responses import registry_response, with_objects

REGISTRY_RESPONSE = f"{{{v.RS}}}RegistryResponse"
_QUERY_RESPONSE = f"{{{v.QUERY}}}AdhocQueryResponse"
_LONGEST_DETAIL = 400
# A uniqueId taken in the same moment is found out by the database; sent again, it is answered so.
_BUSY = (OperationalError, IntegrityError, PoolTimeoutError)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One authenticated request, and the snapshot it is answered from.

    `work` is set for transactions that write: `session` is then its session. `attachments` are the
    documents that came with the request, by content id. `endpoint` and `path` are as in Asked.
    """

    body: etree._Element
    session: Session
    subject: Subject
    work: UnitOfWork | None = None
    attachments: Mapping[str, ReceivedPart] = field(default_factory=dict)
    endpoint: str = ""
    path: str = ""


@dataclass(frozen=True)
class AuditFact:
    """What one audit record says beside who and where from; `resource_id` may be empty.

    `resource_kind` overrides the word of the endpoint; `query` and `objects` are as in AuditEvent.
    """

    outcome: Outcome
    resource_id: str
    detail: str = ""
    resource_kind: str = ""
    query: str = ""
    objects: tuple[AuditObject, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a transaction answers; `attachments` None is plain SOAP, else MTOM, even when empty.

    `refusals` are set when everything was rolled back because of them. `objects` are registry
    objects as text, which stand in the empty RegistryObjectList of `payload` when it is sent:
    parsing them only to write them again would be half the cost of a query.
    """

    payload: etree._Element
    facts: tuple[AuditFact, ...]
    attachments: tuple[mtom.Attachment, ...] | None = None
    refusals: tuple[XdsRefusalError, ...] = ()
    objects: str = ""

    def whole(self) -> "Answer":
        """Return the same answer with its objects as elements in its payload."""
        return replace(self, payload=with_objects(self.payload, self.objects), objects="")


@dataclass(frozen=True)
class Transaction:
    """One row of an endpoint's route table: the payload's tag, the actions, and who answers.

    `run` of one that `writes` raises XdsRefusalError to have everything rolled back; the answer is
    then a `response_tag` of status Failure. `takes_documents` lets attachments in: they are durable
    before `run` is called. What is refused of a `correctable` one is kept for the desk of refused
    submissions. `audit_action` overrides the word of the endpoint in audit records; `code` is what
    IHE calls the transaction ("ITI-41").
    """

    request_tag: str
    action: str
    answer_action: str
    run: Callable[[Call], Answer]
    writes: bool = False
    response_tag: str = REGISTRY_RESPONSE
    takes_documents: bool = False
    correctable: bool = False
    audit_action: str = ""
    code: str = ""


@dataclass(frozen=True)
class EndpointName:
    """How an endpoint is called: its path, its WSDL, and its words in audit records.

    `busy` and `no_room` are the codes it answers with when only the moment is wrong.
    """

    path: str
    wsdl: str
    audit_action: str
    resource_kind: str
    busy: ErrorCode = ErrorCode.REGISTRY_BUSY
    no_room: ErrorCode = ErrorCode.REGISTRY_OUT_OF_RESOURCES


@dataclass(frozen=True)
class Asked:
    """One request as it came: the payload, who sent it and where from, and its documents.

    `replayed_by` names the person who corrected and sent it again, or is empty; `on_success` then
    becomes true in the same transaction. `endpoint` is the address of the endpoint as readers use
    it, `path` what of the address asked at stands below it.
    """

    body: etree._Element
    subject: Subject
    address: str
    attachments: Mapping[str, ReceivedPart] = field(default_factory=dict)
    replayed_by: str = ""
    on_success: Callable[[Session], None] | None = None
    endpoint: str = ""
    path: str = ""


class DurableDocuments(Protocol):
    """What makes attachments durable before a transaction begins."""

    def make_durable(self, parts: Sequence[ReceivedPart]) -> None:
        """Make them durable, so that they are reclaimed if nothing comes to name them."""
        ...


class RefusedDesk(Protocol):
    """What keeps a refused submission, in the caller's transaction."""

    def keep(
        self,
        session: Session,
        transaction: Transaction,
        asked: Asked,
        refusals: Sequence[XdsRefusalError],
    ) -> None:
        """Keep it for a person to correct; with too many waiting it is not kept."""
        ...


@dataclass(frozen=True)
class TransactorParts:
    """What a transactor stands on; `documents` and `desk` where the endpoint has them."""

    database: Database
    audit: AuditTrail
    documents: DurableDocuments | None = None
    desk: RefusedDesk | None = None


class Transactor:
    """Carries out the transactions of one endpoint."""

    def __init__(self, name: EndpointName, parts: TransactorParts) -> None:
        self._name = name
        self._parts = parts
        # Who reads changes nothing but the audit trail, and shares its flush with who comes along.
        self._reads = GroupCommit[Sequence[AuditEvent], bool](self._append)

    def carry_out(self, transaction: Transaction, asked: Asked) -> Answer:
        """Return what goes back. Audit records are written before it is returned.

        Raises:
            SoapFaultError: the payload is none this transaction can answer; nothing was changed.
        """
        try:
            if transaction.writes:
                return self._written(transaction, asked)
            return self._read(transaction, asked)
        except XdsRefusalError as refusal:
            refusals = refusals_of(refusal)
        except ArchiveError as failure:
            return self.refuse_for_want_of_room(transaction, asked, failure)
        except _BUSY:
            log.warning("a transaction met a busy database", extra={"action": transaction.action})
            refusals = (XdsRefusalError(self._name.busy),)
        return self._refuse(transaction, asked, refusals)

    def refuse_for_want_of_room(
        self, transaction: Transaction, asked: Asked, failure: ArchiveError
    ) -> Answer:
        """Return the answer of a request whose documents the archive could not take."""
        busy = isinstance(failure, ArchiveBusyError)
        log.warning("the archive took no document", extra={"error": str(failure)})
        code = self._name.busy if busy else self._name.no_room
        return self._refuse(transaction, asked, (XdsRefusalError(code),))

    def _refuse(
        self, transaction: Transaction, asked: Asked, refusals: Sequence[XdsRefusalError]
    ) -> Answer:
        """Return the answer of a refused request; the refusal is audited, and kept to correct."""
        codes = " ".join(dict.fromkeys(str(one.code) for one in refusals))
        fact = AuditFact("failure", "", codes[:_LONGEST_DETAIL])
        desk = self._parts.desk if transaction.correctable and not asked.replayed_by else None
        for keeper in (desk, None):  # kept or not, it is audited
            try:
                with self._parts.database.unit_of_work() as work:
                    if keeper is not None:
                        keeper.keep(work.session, transaction, asked, refusals)
                    self.audit(work.session, transaction, asked, (fact,))
                break
            except DBAPIError:
                log.exception("a refusal was not recorded", extra={"action": transaction.action})
        payload = refused_payload(transaction.response_tag, refusals)
        return Answer(payload, (), refusals=tuple(refusals))

    def audit(
        self,
        session: Session,
        transaction: Transaction | None,
        asked: Asked,
        facts: Sequence[AuditFact],
    ) -> None:
        """Write audit records in the caller's transaction, as the last thing in it."""
        self._parts.audit.record_all(session, self._events(transaction, asked, facts))

    def _events(
        self, transaction: Transaction | None, asked: Asked, facts: Sequence[AuditFact]
    ) -> list[AuditEvent]:
        own, code = (transaction.audit_action, transaction.code) if transaction else ("", "")
        by = f"replayed by {asked.replayed_by}" if asked.replayed_by else ""
        return [
            AuditEvent(
                action=own or self._name.audit_action,
                outcome=fact.outcome,
                subject=asked.subject,
                resource_kind=fact.resource_kind or self._name.resource_kind,
                resource_id=fact.resource_id,
                address=asked.address,
                detail=" ".join(filter(None, (fact.detail, by))),
                transaction=code,
                query=fact.query,
                objects=fact.objects,
            )
            for fact in facts
        ]

    def _append(self, groups: Sequence[Sequence[AuditEvent]]) -> Sequence[bool | Exception]:
        """Make the records of several readers durable at once; what spoils that, alone."""
        try:
            with self._parts.database.writing() as connection:
                self._parts.audit.append(connection, chain.from_iterable(groups))
                connection.commit()
        except (DBAPIError, PoolTimeoutError, InvalidAuditEventError) as error:
            if len(groups) == 1:
                return [error]
            return [outcome for group in groups for outcome in self._append([group])]
        return [True] * len(groups)

    def _read(self, transaction: Transaction, asked: Asked) -> Answer:
        with self._parts.database.read() as session:
            answer = transaction.run(
                Call(asked.body, session, asked.subject, endpoint=asked.endpoint, path=asked.path)
            )
        events = self._events(transaction, asked, answer.facts)
        if events:
            self._reads.submit(events)
        return answer

    def _written(self, transaction: Transaction, asked: Asked) -> Answer:
        if transaction.takes_documents and self._parts.documents is not None:
            self._parts.documents.make_durable(list(asked.attachments.values()))
        # Metadata are read and judged by themselves before anything is asked of the registry.
        with self._parts.database.unit_of_work(late=True) as work:
            call = Call(
                asked.body,
                work.session,
                asked.subject,
                work,
                asked.attachments,
                asked.endpoint,
                asked.path,
            )
            answer = transaction.run(call)
            if asked.on_success is not None:
                asked.on_success(work.session)
            self.audit(work.session, transaction, asked, answer.facts)
        return answer


def refusals_of(refusal: XdsRefusalError) -> tuple[XdsRefusalError, ...]:
    """Return the refusals one error stands for: several, or itself."""
    several: Sequence[XdsRefusalError] = getattr(refusal, "refusals", ())
    return tuple(several) or (refusal,)


def refused_payload(tag: str, refusals: Sequence[XdsRefusalError]) -> etree._Element:
    """Return an answer `tag` that says Failure, as its schema has it."""
    if tag in {REGISTRY_RESPONSE, _QUERY_RESPONSE}:
        payload = registry_response(v.RESPONSE_FAILURE, refusals, tag)
        if tag == _QUERY_RESPONSE:
            etree.SubElement(payload, f"{{{v.RIM}}}RegistryObjectList")
        return payload
    payload = etree.Element(tag, nsmap={"xdsb": v.XDS_B})
    payload.append(registry_response(v.RESPONSE_FAILURE, refusals))
    return payload
