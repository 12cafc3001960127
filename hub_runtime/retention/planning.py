"""What would be deleted now and what is kept though its term is over; nothing is changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from access_control.legal_holds import is_held
from dicom_router.forwarding.model import State
from dicom_router.forwarding.tables import ForwardingItemRow
from hub_kernel.settings_retention import RetentionSettings
from hub_runtime.hub import Hub
from image_archive.deletion import why_needed
from image_archive.retention import DueStudy, Retention, RetentionPolicy, RetentionRule

_SENT = (State.SENT.value, State.COMMITTED.value)


class Kept(StrEnum):
    """Why a study is kept though its term is over."""

    HELD = "held"
    OWED = "owed to a destination"
    NEEDED = "still needed"


@dataclass(frozen=True)
class Amount:
    """Studies, their instances and the bytes of their datasets."""

    studies: int = 0
    instances: int = 0
    dataset_bytes: int = 0

    def and_one(self, due: DueStudy) -> "Amount":
        """Return this and one study more."""
        return Amount(
            self.studies + 1,
            self.instances + due.instances,
            self.dataset_bytes + due.dataset_bytes,
        )


@dataclass
class RetentionPlan:
    """The studies that may be deleted now; `kept` counts those that may not, by the reason."""

    due: list[DueStudy] = field(default_factory=list)
    kept: Counter[Kept] = field(default_factory=Counter)

    @property
    def total(self) -> Amount:
        """All that may be deleted."""
        return _sum(self.due)

    def by_site_and_year(self) -> Mapping[tuple[str, int], Amount]:
        """Return what may be deleted by site and by the year the studies were made in."""
        groups: dict[tuple[str, int], list[DueStudy]] = {}
        for one in self.due:
            groups.setdefault((one.site_id, one.study_date.year), []).append(one)
        return {key: _sum(groups[key]) for key in sorted(groups)}


def retention_of(hub: Hub) -> Retention:
    """Return what finds the studies of a hub that are past their term."""
    return Retention(
        hub.database, retention_policy(hub.settings.retention), hub.access.same_person.of_holders
    )


def retention_policy(wanted: RetentionSettings) -> RetentionPolicy:
    """Return the policy that the settings describe."""
    return RetentionPolicy(
        years=wanted.years,
        rules=tuple(RetentionRule(one.modalities, one.years) for one in wanted.rules),
        from_last_visit=wanted.from_last_visit,
        quiet_days=wanted.quiet_days,
    )


def retention_plan(hub: Hub, site_id: str | None = None) -> RetentionPlan:
    """Return what may be deleted now, of one site or of all.

    Raises:
        ClockDoubtedError: the hub's clock contradicts what it has received last.
    """
    hub.archive.settled()
    plan = RetentionPlan()
    for one in retention_of(hub).due(site_id):
        with hub.database.read() as session:
            kept = why_kept(session, one)
        if kept is None:
            plan.due.append(one)
        else:
            plan.kept[kept] += 1
    return plan


def why_kept(session: Session, due: DueStudy) -> Kept | None:
    """Return why a study that is past its term is kept; None where it may be deleted."""
    uid = due.study_instance_uid
    if is_held(session, uid, due.identifiers):
        return Kept.HELD
    owed = select(ForwardingItemRow.id).where(
        ForwardingItemRow.study_instance_uid == uid, ForwardingItemRow.state.not_in(_SENT)
    )
    if session.scalar(owed.limit(1)) is not None:
        return Kept.OWED
    return Kept.NEEDED if why_needed(session, uid) else None


def _sum(studies: Sequence[DueStudy]) -> Amount:
    found = Amount()
    for one in studies:
        found = found.and_one(one)
    return found
