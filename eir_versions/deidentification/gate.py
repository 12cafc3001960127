"""The gate between pixels and the public: no frame with text passes but by a person's decision."""

import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from eir_versions import reasons
from eir_versions.deidentification.boxes import Box, TextBox, outside
from eir_versions.deidentification.burned_in import (
    CaseState,
    Cause,
    FrameFacts,
    boxes_from_json,
    boxes_to_json,
    lines_to_json,
    proposed_masks,
    scan_suffices,
    stated_cause,
    telling,
)
from eir_versions.deidentification.tables import BurnedInCaseRow
from eir_versions.deidentification.text_finder import TextFinder
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import PNG, Picture, PictureJob
from eir_versions.recipes import BurnedIn, Exclusion
from hub_kernel.database import Database

_DECIDED = (CaseState.CLEARED, CaseState.MASKED, CaseState.KEPT)
Draw = Callable[[str, PictureJob], Picture]


@dataclass(frozen=True)
class Rules:
    """What a recipe says about text in pixels."""

    exclusion: Exclusion
    scan: BurnedIn


class TextGate:
    """Looks, remembers what it saw, and lets through what may pass."""

    def __init__(self, database: Database, finder: TextFinder) -> None:
        self._database = database
        self._finder = finder

    def digest(self, study_instance_uid: str) -> str:
        """Return what decides about the study's frames: decisions, and what looks for text."""
        query = (
            select(BurnedInCaseRow)
            .where(
                BurnedInCaseRow.study_instance_uid == study_instance_uid,
                BurnedInCaseRow.state.in_(_DECIDED),
            )
            .order_by(BurnedInCaseRow.case_id)
        )
        with self._database.read() as session:
            said = [[row.case_id, row.state, row.masks] for row in session.scalars(query)]
        return hashlib.sha256(json.dumps([self._finder.name, said]).encode()).hexdigest()

    def masks(self, facts: FrameFacts, rules: Rules, draw: Draw) -> tuple[Box, ...]:
        """Return what is to be blackened in the frame before it may be shown; mostly nothing.

        Raises:
            UnrenderableInstanceError: burned_in_text, while it is held; or it cannot be drawn.
        """
        known = self._known(facts)
        if known is not None:
            return self._as_known(known)
        cause = stated_cause(facts, rules.exclusion)
        if not self._finder.available:
            if cause is Cause.NONE or facts.burned_in_annotation == "NO":
                return ()
            self._remember(facts, cause, ())
            raise UnrenderableInstanceError(reasons.BURNED_IN_TEXT)
        lines, failed = self._looked(facts, rules.scan, draw)
        found = telling(lines, rules.scan)
        if not found and not failed and scan_suffices(facts, cause, rules.exclusion, rules.scan):
            self._remember(facts, Cause.NONE, ())
            return ()
        why = Cause.TEXT if found else Cause.FAILED if failed else cause
        self._remember(facts, why, found)
        raise UnrenderableInstanceError(reasons.BURNED_IN_TEXT)

    def export_masks(
        self, facts: FrameFacts, rules: Rules, draw: Draw, *, clean: bool
    ) -> tuple[Box, ...]:
        """Return what to blacken in a frame that leaves de-identified; what people decided holds.

        With `clean` the frame is looked at and what is read is blackened.

        Raises:
            UnrenderableInstanceError: burned_in_text, where it may carry text that nothing hides.
        """
        known = self._known(facts)
        if known is not None and known[0] in _DECIDED:
            return self._as_known(known)
        cause = stated_cause(facts, rules.exclusion)
        if not clean:
            if cause is not Cause.NONE:
                raise UnrenderableInstanceError(reasons.BURNED_IN_TEXT)
            return ()
        lines = self.text_in(facts, rules.scan, draw)
        if lines:
            return proposed_masks(lines, outside(facts.regions, facts.columns, facts.rows))
        if not scan_suffices(facts, cause, rules.exclusion, rules.scan):
            raise UnrenderableInstanceError(reasons.BURNED_IN_TEXT)
        return ()

    def text_in(self, facts: FrameFacts, scan: BurnedIn, draw: Draw) -> tuple[TextBox, ...]:
        """Return the telling text of a frame, in its matrix.

        Raises:
            UnrenderableInstanceError: it cannot be drawn or looked at.
        """
        job = PictureJob(
            facts.frame_number, box=(scan.edge, scan.edge), media_type=PNG, aspect=False
        )
        drawn = draw(facts.sop_instance_uid, job)
        lines = telling(self._finder.find(drawn.data), scan)
        across = facts.columns / max(drawn.width, 1)
        down = facts.rows / max(drawn.height, 1)
        return tuple(TextBox(one.box.scaled(across, down), one.text, one.score) for one in lines)

    def text_in_picture(self, picture: Picture, scan: BurnedIn) -> tuple[TextBox, ...]:
        """Return the telling text of an encoded picture, in its own pixels; raises as `text_in`."""
        return telling(self._finder.find(picture.data), scan)

    def stop(self) -> None:
        """End what looks for text."""
        self._finder.stop()

    @property
    def can_look(self) -> bool:
        """Say whether the recogniser is installed."""
        return self._finder.available

    def _looked(
        self, facts: FrameFacts, scan: BurnedIn, draw: Draw
    ) -> tuple[tuple[TextBox, ...], bool]:
        try:
            return self.text_in(facts, scan, draw), False
        except UnrenderableInstanceError:
            draw(facts.sop_instance_uid, PictureJob(facts.frame_number, box=(64, 64)))
            return (), True  # it can be drawn, so it was the looking that failed

    def _known(self, facts: FrameFacts) -> tuple[CaseState, tuple[Box, ...]] | None:
        """What was decided or seen before; a clean frame counts for the same recogniser alone."""
        with self._database.read() as session:
            row = _row(session, facts)
            if row is None:
                return None
            state = CaseState(row.state)
            same = row.scanner == self._finder.name
            if state not in _DECIDED and not same:
                return None
            return state, boxes_from_json(row.masks)

    def _as_known(self, known: tuple[CaseState, tuple[Box, ...]]) -> tuple[Box, ...]:
        state, masks = known
        if state in {CaseState.HELD, CaseState.KEPT}:
            raise UnrenderableInstanceError(reasons.BURNED_IN_TEXT)
        return masks if state is CaseState.MASKED else ()

    def _remember(self, facts: FrameFacts, cause: Cause, lines: Sequence[TextBox]) -> None:
        bands = outside(facts.regions, facts.columns, facts.rows)
        with self._database.unit_of_work() as work:
            row = _row(work.session, facts)
            if row is None:
                row = _new_row(facts)
                row.found_at = work.clock.now()
                work.session.add(row)
            elif row.state in _DECIDED:  # somebody was quicker than the scan
                return
            row.cause, row.scanner = cause, self._finder.name
            row.state = CaseState.HELD if cause is not Cause.NONE else CaseState.CLEAN
            row.lines = lines_to_json(lines)
            row.proposed = boxes_to_json(proposed_masks(lines, bands))


def _row(session: Session, facts: FrameFacts) -> BurnedInCaseRow | None:
    return session.scalars(
        select(BurnedInCaseRow).where(
            BurnedInCaseRow.sop_instance_uid == facts.sop_instance_uid,
            BurnedInCaseRow.frame_number == facts.frame_number,
            BurnedInCaseRow.dataset_sha256 == facts.dataset_sha256,
        )
    ).one_or_none()


def _new_row(facts: FrameFacts) -> BurnedInCaseRow:
    return BurnedInCaseRow(
        case_id=str(uuid.uuid4()),
        sop_instance_uid=facts.sop_instance_uid,
        frame_number=facts.frame_number,
        dataset_sha256=facts.dataset_sha256,
        study_instance_uid=facts.study_instance_uid,
        site_id=facts.site_id,
        modality=facts.modality,
        rows=facts.rows,
        columns=facts.columns,
        masks="[]",
        decided_by="",
        reason="",
    )
