"""Refused submissions: kept, shown, corrected, sent again or set aside, with who decided and why.

What a township could not get in is not lost: its metadata and its documents wait here for a while.
Whoever corrects it sends it the same way as its sender did, with the sender's rights; the audit
record names both. A flood cannot fill the disk: with too much waiting nothing more is kept.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from lxml import etree
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, undefer

from access_control.model import Action, Purpose, Resource
from access_control.policy import decide
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError, NotFoundError
from image_archive.backend import ArchiveBackend
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.mtom import BadMultipartError
from xds_registry.mtom_reading import refuse_foreign_includes
from xds_registry.received_parts import ReceivedPart, kept_part
from xds_registry.refused_words import (
    Reason,
    RefusedDocument,
    RefusedSubmission,
    digest_of,
    reasons_json,
    reasons_of,
    sender_json,
    sender_of,
    shown,
)
from xds_registry.repository_intake import DocumentIntake
from xds_registry.safe_xml import HostileXmlError, parse_xml
from xds_registry.soap import SoapFaultError
from xds_registry.tables_refused import (
    DISMISSED,
    OPEN,
    REPLAYED,
    RefusedDocumentRow,
    RefusedSubmissionRow,
)
from xds_registry.transacting import Answer, Asked, Transaction

_LONGEST_PAGE = 500
_LONGEST_PAYLOAD = 4 * 1024 * 1024
_PURGED_AT_ONCE = 200
# Nothing to correct: the same sent again later may well be taken.
_PASSING = frozenset(
    {
        ErrorCode.REGISTRY_BUSY,
        ErrorCode.REPOSITORY_BUSY,
        ErrorCode.REGISTRY_OUT_OF_RESOURCES,
        ErrorCode.REPOSITORY_OUT_OF_RESOURCES,
    }
)

CarryOut = Callable[[str, Asked], Answer]
"""Carries out a request by its action (`SoapEndpoint.carry_out`)."""

log = logging.getLogger(__name__)


class UnknownRefusalError(NotFoundError):
    """No submission of that number was refused, or it has expired."""


class SettledRefusalError(InvalidValueError):
    """The submission was carried out or set aside before; it is not decided twice."""


@dataclass(frozen=True)
class DeskLimits:
    """What waits at most: submissions, bytes of them with their documents, and for how long."""

    submissions: int = 5_000
    total_bytes: int = 4 * 1024 * 1024 * 1024
    days: int = 30


@dataclass(frozen=True)
class ReplayOutcome:
    """What became of a corrected submission: accepted, or why it was refused again."""

    accepted: bool
    reasons: tuple[Reason, ...] = ()


class RefusedSubmissions:
    """The desk of refused submissions."""

    def __init__(
        self,
        database: Database,
        backend: ArchiveBackend,
        intake: DocumentIntake,
        limits: DeskLimits | None = None,
    ) -> None:
        self._database = database
        self._backend = backend
        self._intake = intake
        self._limits = limits or DeskLimits()
        self._ways: dict[str, CarryOut] = {}

    def replay_by(self, actions: Sequence[str], carry_out: CarryOut) -> None:
        """Say which way submissions with these actions take."""
        self._ways.update(dict.fromkeys(actions, carry_out))

    def page(
        self, status: str = OPEN, *, limit: int = 100, before: int | None = None
    ) -> list[RefusedSubmission]:
        """Return the newest submissions of one status whose number is below `before`."""
        asked = (
            select(RefusedSubmissionRow)
            .where(RefusedSubmissionRow.status == status)
            .order_by(RefusedSubmissionRow.id.desc())
            .limit(max(1, min(limit, _LONGEST_PAGE)))
        )
        if before is not None:
            asked = asked.where(RefusedSubmissionRow.id < before)
        with self._database.read() as session:
            return [shown(row) for row in session.scalars(asked)]

    def count(self) -> int:
        """Return how many submissions wait for a person."""
        asked = select(func.count()).where(RefusedSubmissionRow.status == OPEN)
        with self._database.read() as session:
            return session.scalar(asked) or 0

    def get(self, refusal_id: int) -> RefusedSubmission:
        """Return one submission with its XML and its documents.

        Raises:
            UnknownRefusalError: there is no such submission.
        """
        with self._database.read() as session:
            row = _row(session, refusal_id)
            return shown(row, row.payload, _documents(session, refusal_id))

    def replay(self, refusal_id: int, corrected_xml: str, by: str) -> ReplayOutcome:
        """Send the corrected submission as its sender did; settled in the step that takes it.

        Raises:
            UnknownRefusalError, SettledRefusalError: there is nothing to send again.
        """
        try:
            with self._database.read() as session:
                row = _open_row(session, refusal_id)
                documents = _documents(session, refusal_id)
                action, asked = row.action, self._corrected(row, documents, corrected_xml, by)
            answer = self._ways[action](action, asked)
        except (HostileXmlError, BadMultipartError) as error:
            return ReplayOutcome(accepted=False, reasons=(Reason.of_xml(str(error)),))
        except SoapFaultError as fault:
            return ReplayOutcome(accepted=False, reasons=(Reason(en=fault.en, zh=fault.zh),))
        return ReplayOutcome(accepted=not answer.refusals, reasons=reasons_of(answer.refusals))

    def dismiss(self, refusal_id: int, by: str, reason: str) -> None:
        """Close a submission that is not to be sent again; its documents are let go.

        Raises:
            UnknownRefusalError, SettledRefusalError: there is nothing to dismiss.
            InvalidValueError: no reason is given.
        """
        if not reason.strip():
            raise InvalidValueError("setting a refused submission aside needs a reason")
        with self._database.unit_of_work() as work:
            self._settle(work.session, refusal_id, DISMISSED, (by, reason))

    def purge(self) -> int:
        """Remove what has waited, or has been settled, for too long; return how many."""
        latest = self._database.clock.now() - timedelta(days=self._limits.days)
        with self._database.unit_of_work() as work:
            expired = work.session.scalars(
                select(RefusedSubmissionRow.id)
                .where(RefusedSubmissionRow.last_received_at < latest)
                .limit(_PURGED_AT_ONCE)
            ).all()
            for refusal_id in expired:
                self._let_documents_go(work.session, refusal_id)
            work.session.execute(
                delete(RefusedSubmissionRow).where(RefusedSubmissionRow.id.in_(expired))
            )
        return len(expired)

    def keep(
        self,
        session: Session,
        transaction: Transaction,
        asked: Asked,
        refusals: Sequence[XdsRefusalError],
    ) -> None:
        """Keep a refused submission in the caller's transaction; the same again only counts up.

        Not kept: what only came at a bad moment, what comes from a sender without any right to
        submit, and whatever comes while too much waits already.
        """
        if all(one.code in _PASSING for one in refusals) or not _may_submit(asked):
            return
        digest, now = digest_of(asked), self._database.clock.now()
        known = session.scalar(
            select(RefusedSubmissionRow).where(RefusedSubmissionRow.digest == digest)
        )
        if known is not None:
            known.times += 1
            known.last_received_at = now
            return
        payload = etree.tostring(asked.body, encoding="unicode")
        size = len(payload) + sum(part.size for part in asked.attachments.values())
        if len(payload) > _LONGEST_PAYLOAD or self._is_full(session, size):
            log.warning("too many refused submissions wait: one more was not kept")
            return
        row = RefusedSubmissionRow(
            digest=digest,
            action=transaction.action,
            received_at=now,
            last_received_at=now,
            address=asked.address[:64],
            sender_name=asked.subject.display[:128],
            sender=sender_json(asked.subject),
            codes=" ".join(dict.fromkeys(str(one.code) for one in refusals))[:400],
            errors=reasons_json(refusals),
            payload=payload,
            size=size,
            status=OPEN,
        )
        self._add(session, row, asked.attachments)

    def _add(
        self, session: Session, row: RefusedSubmissionRow, parts: Mapping[str, ReceivedPart]
    ) -> None:
        try:
            self._intake.claim(session, [part.storage_key for part in parts.values()])
        except XdsRefusalError:  # the archive did not take them
            return
        session.add(row)
        session.flush()
        for content_id, part in parts.items():
            session.add(
                RefusedDocumentRow(
                    submission_id=row.id,
                    content_id=content_id,
                    storage_key=part.storage_key,
                    media_type=part.media_type[:120],
                    size=part.size,
                    sha1=part.sha1,
                    sha256=part.sha256,
                )
            )

    def _corrected(
        self,
        row: RefusedSubmissionRow,
        documents: Sequence[RefusedDocument],
        corrected_xml: str,
        by: str,
    ) -> Asked:
        body = parse_xml(corrected_xml.encode())
        if body.tag != parse_xml(row.payload.encode()).tag:
            raise HostileXmlError("the outermost element must stay as it was")
        parts = {
            one.content_id: kept_part(self._backend, one.media_type, one.size, one.sha1, one.sha256)
            for one in documents
        }
        refuse_foreign_includes(body, parts)
        refusal_id = row.id
        return Asked(
            body,
            sender_of(row.sender),
            row.address,
            parts,
            replayed_by=by,
            on_success=lambda session: self._settle(session, refusal_id, REPLAYED, (by, "")),
        )

    def _settle(
        self, session: Session, refusal_id: int, status: str, decision: tuple[str, str]
    ) -> None:
        row = _open_row(session, refusal_id)
        row.status = status
        row.decided_by, row.decision = decision[0][:128], decision[1][:400]
        row.decided_at = self._database.clock.now()
        self._let_documents_go(session, refusal_id)

    def _let_documents_go(self, session: Session, refusal_id: int) -> None:
        keys = [one.storage_key for one in _documents(session, refusal_id)]
        session.execute(
            delete(RefusedDocumentRow).where(RefusedDocumentRow.submission_id == refusal_id)
        )
        self._intake.release(session, keys)

    def _is_full(self, session: Session, size: int) -> bool:
        asked = select(func.count(), func.sum(RefusedSubmissionRow.size)).where(
            RefusedSubmissionRow.status == OPEN
        )
        count, total = session.execute(asked).one()
        limits = self._limits
        return count >= limits.submissions or int(total or 0) + size > limits.total_bytes


def _may_submit(asked: Asked) -> bool:
    decision = decide(
        asked.subject, Action.SUBMIT_DOCUMENTS, Resource("patient"), Purpose.TREATMENT
    )
    return decision.rule != "no-right"


def _row(session: Session, refusal_id: int) -> RefusedSubmissionRow:
    row = session.scalar(
        select(RefusedSubmissionRow)
        .where(RefusedSubmissionRow.id == refusal_id)
        .options(undefer(RefusedSubmissionRow.payload))
        .with_for_update()
    )
    if row is None:
        raise UnknownRefusalError("no such refused submission")
    return row


def _open_row(session: Session, refusal_id: int) -> RefusedSubmissionRow:
    row = _row(session, refusal_id)
    if row.status != OPEN:
        raise SettledRefusalError("this submission was carried out or set aside before")
    return row


def _documents(session: Session, refusal_id: int) -> list[RefusedDocument]:
    rows = session.scalars(
        select(RefusedDocumentRow)
        .where(RefusedDocumentRow.submission_id == refusal_id)
        .order_by(RefusedDocumentRow.content_id)
    )
    return [
        RefusedDocument(
            row.content_id, row.media_type, row.size, row.sha1, row.sha256, row.storage_key
        )
        for row in rows
    ]
