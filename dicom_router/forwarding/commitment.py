"""Ask destinations to take over what they accepted: Storage Commitment as SCU (PS3.4 annex J).

Only what is reported as committed counts as done; what is reported as failed is sent again, and
what is not reported at all is asked for again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from dicom_router.commitment_messages import (
    CommitmentReport,
    CommitmentRequest,
    FailedReference,
    SopReference,
)
from dicom_router.errors import DicomRouterError
from dicom_router.forwarding.breaker import Breaker
from dicom_router.forwarding.ledger import item_of
from dicom_router.forwarding.model import BreakerState, Item, State, row_pause
from dicom_router.forwarding.tables import ITEM
from dicom_router.sending.errors import NoAcceptableContextError
from dicom_router.sending.model import Destination, SendLimits
from dicom_router.sending.storing import COMMITMENT, StoreAssociation
from hub_kernel.database import Database
from hub_kernel.identifiers import SystemUidFactory, UidFactory

log = logging.getLogger(__name__)

_MOST = 500
_ASK_AGAIN = timedelta(hours=1)
_REPORT_S = 5.0
# Asked later than this after "now": written before the clock was set back.
_CLOCK_TOLERANCE = timedelta(minutes=1)
NOT_OFFERED = "the destination does not offer storage commitment; set commitment = false"


@dataclass(frozen=True)
class Commitments:
    """The commitments of one destination."""

    database: Database
    destination: Destination
    limits: SendLimits = SendLimits()
    uids: UidFactory = SystemUidFactory()
    report_s: float = _REPORT_S

    def ask(self) -> None:
        """Ask for what was accepted and has not been asked for, or too long ago.

        The report is awaited for a moment; after that the destination opens an association of its
        own, and `heard` is called with what it says.
        """
        breaker = Breaker(self.database, self.destination.name)
        if breaker.state() in {BreakerState.OPEN, BreakerState.HELD}:
            return
        items, transaction_uid = self._begin()
        if not items:
            return
        references = tuple(SopReference(one.sop_class_uid, one.sop_instance_uid) for one in items)
        try:
            self._ask_for(CommitmentRequest(transaction_uid, references))
        except NoAcceptableContextError:
            self._update(
                transaction_uid, {"last_status": "no context", "last_comment": NOT_OFFERED}
            )
        except DicomRouterError as error:
            breaker.failed(f"storage commitment: {error}")
            self._update(transaction_uid, {"asked_at": None})

    def heard(self, report: CommitmentReport) -> int:
        """Take a report of the destination; return how many rows it settled or owed again."""
        committed = [one.sop_instance_uid for one in report.committed]
        settled = 0
        with self.database.unit_of_work() as work:
            for start in range(0, len(committed), _MOST):
                some = committed[start : start + _MOST]
                settled += self._commit(work.session, report.transaction_uid, some)
            for one in report.failed:
                settled += self._send_again(work.session, report.transaction_uid, one)
        log.info(
            "storage commitment reported",
            extra={
                "destination": self.destination.name,
                "committed": len(report.committed),
                "failed": len(report.failed),
            },
        )
        return settled

    def _ask_for(self, request: CommitmentRequest) -> None:
        with StoreAssociation.open(self.destination, [COMMITMENT], self.limits) as peer:
            answer = peer.request_commitment(request)
            if answer.status != 0x0000:
                refused = f"storage commitment was refused: {answer.comment}".rstrip(": ")
                status = f"0x{answer.status:04X}"
                self._update(
                    request.transaction_uid,
                    {"last_status": status, "last_comment": refused[:200]},
                )
                return
            report = peer.await_report(request.transaction_uid, self.report_s)
        if report is not None:
            self.heard(report)

    def _begin(self) -> tuple[Sequence[Item], str]:
        """Give what is due a transaction UID before anything is asked: the report may come soon."""
        now = self.database.clock.now()
        due = (
            ITEM.c.destination == self.destination.name,
            ITEM.c.state == State.ACCEPTED,
            or_(
                ITEM.c.asked_at.is_(None),
                ITEM.c.asked_at <= now - _ASK_AGAIN,
                ITEM.c.asked_at > now + _CLOCK_TOLERANCE,
            ),
        )
        with self.database.read() as session:
            if session.scalar(select(ITEM.c.id).where(*due).limit(1)) is None:
                return [], ""
        transaction_uid = self.uids.new_uid()
        with self.database.unit_of_work() as work:
            query = select(ITEM).where(*due).order_by(ITEM.c.id).limit(_MOST)
            rows = work.session.execute(query.with_for_update(skip_locked=True)).all()
            work.session.execute(
                update(ITEM)
                .where(ITEM.c.id.in_([row.id for row in rows]))
                .values(transaction_uid=transaction_uid, asked_at=now)
            )
        return [item_of(row) for row in rows], transaction_uid

    def _commit(self, session: Session, transaction_uid: str, uids: Sequence[str]) -> int:
        settled = session.execute(
            update(ITEM)
            .where(*self._of(transaction_uid), ITEM.c.sop_instance_uid.in_(uids))
            .values(state=State.COMMITTED, settled_at=self.database.clock.now())
            .returning(ITEM.c.id)
        ).all()
        return len(settled)

    def _send_again(self, session: Session, transaction_uid: str, failed: FailedReference) -> int:
        uid = failed.reference.sop_instance_uid
        query = select(ITEM).where(*self._of(transaction_uid), ITEM.c.sop_instance_uid == uid)
        row = session.execute(query).first()
        if row is None:
            return 0
        values = {
            "state": State.QUEUED,
            "due_at": self.database.clock.now() + row_pause(row.attempts),
            "last_status": f"0x{failed.reason:04X}",
            "last_comment": "the destination did not commit to it; it is sent again",
            "transaction_uid": "",
            "asked_at": None,
        }
        session.execute(update(ITEM).where(ITEM.c.id == row.id).values(**values))
        return 1

    def _of(self, transaction_uid: str) -> tuple[ColumnElement[bool], ...]:
        return (
            ITEM.c.destination == self.destination.name,
            ITEM.c.transaction_uid == transaction_uid,
            ITEM.c.state == State.ACCEPTED,
        )

    def _update(self, transaction_uid: str, values: dict[str, object]) -> None:
        with self.database.unit_of_work() as work:
            work.session.execute(update(ITEM).where(*self._of(transaction_uid)).values(**values))
