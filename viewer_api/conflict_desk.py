"""What pages and API of the conflict desk share: who may see which case, and deciding it.

Every look at a case is on record; every decision is on record in its own transaction. A case is
about the site that sent it and about the site whose study it contradicts: whoever decides must be
responsible for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import abort

from access_control.model import Action, Purpose, Resource
from hub_kernel.errors import InvalidValueError, NotFoundError
from image_archive.conflict_words import VERDICTS, CaseStatus, Decided, Verdict
from image_archive.conflicts import CaseQuery, waiting
from image_archive.model import QuarantineReason
from viewer_api.security import current_subject, permitted, record_access, refuse, require
from viewer_api.services import services

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from image_archive.conflict_words import Decision
    from image_archive.conflicts import ConflictCase, Parked

_LONGEST_REASON = 400
_REFUSED = (QuarantineReason.UNREADABLE,)


@dataclass(frozen=True)
class OpenCase:
    """One case with everything parked in it and every decision about it."""

    case_key: str
    reason: QuarantineReason
    parked: tuple[Parked, ...]
    decisions: tuple[Decision, ...]

    @property
    def waiting(self) -> tuple[Parked, ...]:
        """What of it nobody has decided about."""
        return tuple(waiting(self.parked))

    @property
    def shown(self) -> Parked:
        """The parked dataset that is laid beside the archived one."""
        return (self.waiting or self.parked)[0]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What can be decided now."""
        return VERDICTS[self.reason] if self.waiting else ()


def reasons_shown() -> tuple[QuarantineReason, ...]:
    """Return the kinds of cases the subject works on; engineers see what could not be read."""
    covered = _resource(_sites())
    if permitted(Action.RESOLVE_CONFLICT, covered, Purpose.OPERATIONS):
        return tuple(QuarantineReason)
    return _REFUSED if permitted(Action.INSPECT_REFUSED, covered, Purpose.OPERATIONS) else ()


def require_desk() -> tuple[QuarantineReason, ...]:
    """Return what the subject works on; the request ends with 404 where that is nothing."""
    reasons = reasons_shown()
    require(_action(reasons or tuple(QuarantineReason)), _resource(_sites()), Purpose.OPERATIONS)
    return reasons


def page_of(query: CaseQuery) -> tuple[list[ConflictCase], int]:
    """Return one page of cases, and how many there are in all."""
    return services().conflicts.cases.page(query), services().conflicts.cases.total(query)


def waiting_count() -> int:
    """Return how many cases wait for the subject; one query."""
    reasons = reasons_shown()
    if not reasons:
        return 0
    counts = services().conflicts.cases.counts(current_subject().sites)
    return sum(counts.get(reason, 0) for reason in reasons)


def case_of(case_key: str) -> OpenCase:
    """Return one case that the subject may see; looking at it is on record."""
    try:
        parked = tuple(services().conflicts.cases.parked(case_key[:64]))
    except NotFoundError:
        refuse(Action.RESOLVE_CONFLICT, _resource(frozenset()), detail="unknown")
    reason = parked[0].record.reason
    require(
        _action((reason,)),
        _resource(_sites_of(parked[0]), parked[0].record.study_instance_uid),
        Purpose.OPERATIONS,
        detail=f"conflict {case_key[:16]}",
    )
    decisions = tuple(services().conflicts.cases.decisions(case_key))
    return OpenCase(case_key, reason, parked, decisions)


def decide(case: OpenCase, verdict: str, reason: str, patient_id: str) -> Decision:
    """Decide a case, with its record in the same transaction.

    Raises:
        InvalidValueError: the verdict, reason or patient ID does not fit, or it is decided already.
        UnreadableInstanceError: bytes that are to go live cannot be read.
    """
    if verdict not in {known.value for known in Verdict}:
        raise InvalidValueError(f"verdict: one of {', '.join(Verdict)}")
    given = reason.strip()
    if not given or len(given) > _LONGEST_REASON or not given.isprintable():
        raise InvalidValueError(f"reason: 1 to {_LONGEST_REASON} printable characters")
    decided = Decided(current_subject().subject_id, given, patient_id.strip())
    return services().conflicts.decide(
        case.case_key,
        Verdict(verdict),
        decided,
        lambda session: _on_record(case, f"{verdict}: {given}", session),
    )


def undo(case: OpenCase, decision_id: int) -> None:
    """Take a decision about this case back.

    Raises:
        InvalidValueError: it cannot be taken back.
    """
    if decision_id not in {known.decision_id for known in case.decisions}:
        raise InvalidValueError("no such decision about this case")
    services().conflicts.undo(
        decision_id,
        current_subject().subject_id,
        lambda session: _on_record(case, f"decision {decision_id} taken back", session),
    )


def parked_of(case: OpenCase, row_id: int) -> Parked:
    """Return one parked dataset of a case whose bytes are still there, else 404."""
    there = [one for one in case.parked if one.status is not CaseStatus.DISCARDED]
    found = [one for one in there if one.row_id == row_id]
    if not found:
        abort(404)
    return found[0]


def on_record(case: OpenCase, detail: str) -> None:
    """Write down that the subject did something with a case that changes nothing."""
    _on_record(case, detail, None)


def _on_record(case: OpenCase, detail: str, session: Session | None) -> None:
    resource = _resource(frozenset(), case.shown.record.study_instance_uid)
    words = f"conflict {case.case_key[:16]} ({case.reason}): {detail}"
    record_access(str(_action((case.reason,))), "success", resource, detail=words, session=session)


def _action(reasons: tuple[QuarantineReason, ...]) -> Action:
    return Action.INSPECT_REFUSED if reasons == _REFUSED else Action.RESOLVE_CONFLICT


def _resource(site_ids: frozenset[str], study_uid: str = "") -> Resource:
    return Resource("study", resource_id=study_uid, site_ids=site_ids)


def _sites() -> frozenset[str]:
    """The sites a list is about: those of the subject, so that everybody sees their own."""
    sites = current_subject().sites
    return frozenset(site.site_id for site in services().sites.all()) if sites is None else sites


def _sites_of(one: Parked) -> frozenset[str]:
    """The site that sent it, and the site of the study that it contradicts."""
    study = services().index.study(one.record.study_instance_uid)
    return frozenset({one.record.site_id, *([study.site_id] if study else [])})
