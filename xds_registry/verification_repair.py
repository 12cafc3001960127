"""Have registered what a verification found missing: by the events that registered it first."""

from collections.abc import Iterable
from dataclasses import replace

from hub_kernel.events import ReportsFiled, StudyCompleted, new_event
from image_archive.model import StudyState
from xds_registry.verification import VerifiedParts
from xds_registry.verification_findings import COMPLETION_DRIFTS, REPORT_DRIFTS, Drift, DriftKind


def register_again(parts: VerifiedParts, drifts: Iterable[Drift]) -> int:
    """Publish once more what registers a study, of every study that needs it; return how many.

    Its completion where the manifest or versions are not registered as they should be, that its
    reports are on record where these are not. Safe to repeat: who registers and who renders does
    nothing for what is there.
    """
    found = list(drifts)
    filed = _subjects(found, REPORT_DRIFTS)
    for uid in filed:
        with parts.database.unit_of_work() as work:
            work.publish(new_event(ReportsFiled, work.clock, study_instance_uid=uid))
    completed = [uid for uid in _subjects(found, COMPLETION_DRIFTS) if _complete(parts, uid)]
    return len({*filed, *completed})


def _subjects(drifts: Iterable[Drift], kinds: frozenset[DriftKind]) -> list[str]:
    return list(dict.fromkeys(one.subject for one in drifts if one.kind in kinds))


def _complete(parts: VerifiedParts, uid: str) -> bool:
    """Publish the completion of a study as it was published; return whether it is complete."""
    study = parts.index.study(uid, with_rejected=True)
    if study is None or study.state is not StudyState.COMPLETE:
        return False
    with parts.database.unit_of_work() as work:
        completed = new_event(
            StudyCompleted,
            work.clock,
            study_instance_uid=study.study_instance_uid,
            site_id=study.site_id,
            generation=study.generation,
        )
        # The same moment gives the same manifest, byte for byte.
        at = study.completed_at or completed.occurred_at
        work.publish(replace(completed, occurred_at=at))
    return True
