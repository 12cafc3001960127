"""The desk for text in pixels: what is held, and what a person decides about it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from eir_versions.deidentification.boxes import Box, TextBox
from eir_versions.deidentification.burned_in import (
    DECIDED,
    Case,
    CaseState,
    Cause,
    Verdict,
    boxes_from_json,
    boxes_to_json,
    lines_from_json,
)
from eir_versions.deidentification.gate import Draw, TextGate
from eir_versions.deidentification.tables import BurnedInCaseRow
from eir_versions.jobs import PNG, Picture, PictureJob
from eir_versions.recipes import BurnedIn
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.events import BurnedInDecided, new_event

_LONGEST_REASON = 400
_SHOWN_EDGE = 1600


@dataclass(frozen=True)
class Decision:
    """What somebody says about a case. `masks` is read for MASK alone; none means the proposed."""

    verdict: Verdict
    by: str
    reason: str
    masks: tuple[Box, ...] = ()


class BurnedInDesk:
    """Lists cases and carries decisions out; the public version follows by itself."""

    def __init__(self, database: Database, gate: TextGate, scan: BurnedIn, draw: Draw) -> None:
        self._database = database
        self._gate = gate
        self._scan = scan
        self._draw = draw

    @property
    def can_look(self) -> bool:
        """Say whether the recogniser is installed."""
        return self._gate.can_look

    def cases(
        self, state: CaseState, site_ids: frozenset[str] | None, *, limit: int = 50, offset: int = 0
    ) -> list[Case]:
        """Return the cases of a state at these sites (None: all), the latest first."""
        query = select(BurnedInCaseRow).where(BurnedInCaseRow.state == state)
        if site_ids is not None:
            query = query.where(BurnedInCaseRow.site_id.in_(site_ids))
        order = BurnedInCaseRow.found_at.desc(), BurnedInCaseRow.case_id
        with self._database.read() as session:
            rows = session.scalars(query.order_by(*order).limit(limit).offset(offset))
            return [_case(row) for row in rows]

    def total(self, state: CaseState, site_ids: frozenset[str] | None) -> int:
        """Return how many there are."""
        query = select(func.count()).select_from(BurnedInCaseRow)
        query = query.where(BurnedInCaseRow.state == state)
        if site_ids is not None:
            query = query.where(BurnedInCaseRow.site_id.in_(site_ids))
        with self._database.read() as session:
            return session.scalar(query) or 0

    def case(self, case_id: str) -> Case:
        """Return one case.

        Raises:
            NotFoundError: there is none of this id.
        """
        with self._database.read() as session:
            return _case(_of(session, case_id))

    def picture(self, case: Case, masks: Sequence[Box] = ()) -> Picture:
        """Return the frame as it is, or with `masks` blackened.

        Raises:
            UnrenderableInstanceError: it cannot be drawn.
        """
        return self._draw(case.sop_instance_uid, self._job(case, masks, _SHOWN_EDGE))

    def left_under(self, case: Case, masks: Sequence[Box]) -> tuple[TextBox, ...]:
        """Return the text that is still found when `masks` are blackened; raises as `picture`."""
        if not self._gate.can_look:
            return ()
        drawn = self._draw(case.sop_instance_uid, self._job(case, masks, self._scan.edge))
        return self._gate.text_in_picture(drawn, self._scan)

    def decide(self, case: Case, decision: Decision, on_record: Callable[[Session], None]) -> Case:
        """Carry a decision out, with its record and its event in one transaction.

        Raises:
            InvalidValueError: no reason, nothing to mask, or text is still found beside the masks.
            NotFoundError: there is no such case.
        """
        masks = self._checked_masks(case, decision)
        with self._database.unit_of_work() as work:
            row = _of(work.session, case.case_id)
            row.state = DECIDED[decision.verdict]
            row.masks = boxes_to_json(masks)
            row.decided_by, row.reason = decision.by[:128], decision.reason.strip()
            row.decided_at = work.clock.now()
            on_record(work.session)
            work.publish(
                new_event(BurnedInDecided, work.clock, study_instance_uid=row.study_instance_uid)
            )
            return _case(row)

    def _checked_masks(self, case: Case, decision: Decision) -> tuple[Box, ...]:
        reason = decision.reason.strip()
        if not reason or len(reason) > _LONGEST_REASON or not reason.isprintable():
            raise InvalidValueError(f"reason: 1 to {_LONGEST_REASON} printable characters")
        if decision.verdict is not Verdict.MASK:
            return ()
        masks = decision.masks or case.proposed
        if not masks:
            raise InvalidValueError("there is nothing to mask; say which rectangles")
        if self.left_under(case, masks):
            raise InvalidValueError("text is still found beside what is masked")
        return masks

    @staticmethod
    def _job(case: Case, masks: Sequence[Box], edge: int) -> PictureJob:
        hidden = tuple((box.left, box.top, box.width, box.height) for box in masks)
        return PictureJob(
            case.frame_number, box=(edge, edge), media_type=PNG, aspect=False, masks=hidden
        )


def _of(session: Session, case_id: str) -> BurnedInCaseRow:
    try:
        row = session.get(BurnedInCaseRow, str(uuid.UUID(case_id)))
    except ValueError:
        row = None
    if row is None:
        raise NotFoundError("no such case")
    return row


def _case(row: BurnedInCaseRow) -> Case:
    return Case(
        case_id=row.case_id,
        sop_instance_uid=row.sop_instance_uid,
        frame_number=row.frame_number,
        study_instance_uid=row.study_instance_uid,
        site_id=row.site_id,
        modality=row.modality,
        cause=Cause(row.cause),
        state=CaseState(row.state),
        rows=row.rows,
        columns=row.columns,
        lines=lines_from_json(row.lines),
        proposed=boxes_from_json(row.proposed),
        masks=boxes_from_json(row.masks),
        found_at=row.found_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        reason=row.reason,
    )
