"""What is past its term: years by modality, counted from the person's last examination.

The law counts so (《医疗机构管理条例实施细则》 art. 53, 《电子病历应用管理规范》: at least 15 years
for outpatients and 30 for inpatients). Both when a study was made and when it was received must be
past, so that one wrong date alone deletes nothing; a study without a date is kept.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.pairs import is_any_of
from image_archive.errors import ClockDoubtedError
from image_archive.model import StudyState
from image_archive.tables import INSTANCE, SERIES, STUDY

_PER_PAGE = 200
_AHEAD = timedelta(minutes=5)

SamePerson = Callable[
    [Collection[PatientIdentifier]], Mapping[PatientIdentifier, Collection[PatientIdentifier]]
]
"""Returns, for each identifier, every identifier of its holder."""


@dataclass(frozen=True)
class RetentionRule:
    """Years that studies with one of these modalities are kept; 0 is for ever."""

    modalities: tuple[str, ...]
    years: int


@dataclass(frozen=True)
class RetentionPolicy:
    """How long studies are kept: by the rules for their modalities, else `years`; 0 is for ever.

    With `from_last_visit` the term begins with the person's latest study, else with each study's
    own. `quiet_days` is how old the hub's newest study may be before its clock is doubted.
    """

    years: int = 0
    rules: tuple[RetentionRule, ...] = ()
    from_last_visit: bool = True
    quiet_days: int = 31

    @property
    def shortest(self) -> int:
        """The fewest years that anything is kept; 0 where everything is for ever."""
        return min((one for one in (self.years, *(r.years for r in self.rules)) if one), default=0)

    def years_of(self, modalities: Collection[str]) -> int:
        """Return the years of a study: the longest of its modalities, 0 for ever."""
        found = [self._years(one) for one in modalities] or [self.years]
        return 0 if 0 in found else max(found)

    def _years(self, modality: str) -> int:
        rule = next((one for one in self.rules if modality in one.modalities), None)
        return self.years if rule is None else rule.years


@dataclass(frozen=True)
class DueStudy:
    """One study past its term; `last_visit` is what the term is counted from."""

    study_instance_uid: str
    site_id: str
    patient: PatientIdentifier
    identifiers: tuple[PatientIdentifier, ...]
    study_date: date
    last_visit: date
    years: int
    instances: int
    dataset_bytes: int


class Retention:
    """Finds what is past its term; deletes nothing."""

    def __init__(
        self, database: Database, policy: RetentionPolicy, same_person: SamePerson
    ) -> None:
        self._database = database
        self._policy = policy
        self._same_person = same_person

    def due(self, site_id: str | None = None) -> Iterator[DueStudy]:
        """Yield every study past its term, the oldest row first.

        Raises:
            ClockDoubtedError: the hub's clock contradicts what it has received last.
        """
        if not self._policy.shortest:
            return
        now = self._database.clock.now()
        last = 0
        with self._database.read() as session:
            require_plausible_clock(session, now, self._policy.quiet_days)
        while page := self._page(now, last, site_id):
            last = page[-1].id
            yield from self._past(page, now)

    def still_due(self, study_instance_uid: str) -> DueStudy | None:
        """Return one study if it is past its term now; for one that `due` has yielded.

        The clock is not doubted again.
        """
        now = self._database.clock.now()
        with self._database.read() as session:
            rows = session.execute(
                _studies(self._oldest(now)).where(STUDY.c.study_instance_uid == study_instance_uid)
            ).all()
        return next(iter(self._past(rows, now)), None)

    def _oldest(self, now: datetime) -> date:
        return _earlier(now.date(), self._policy.shortest)

    def _page(self, now: datetime, last: int, site_id: str | None) -> Sequence[Any]:
        wanted = _studies(self._oldest(now)).where(STUDY.c.id > last)
        if site_id is not None:
            wanted = wanted.where(STUDY.c.site_id == site_id)
        with self._database.read() as session:
            return session.execute(wanted.order_by(STUDY.c.id).limit(_PER_PAGE)).all()

    def _past(self, rows: Sequence[Any], now: datetime) -> list[DueStudy]:
        """Return those of `rows` whose term is over, with the size of each."""
        patients = {row.id: _patient(row) for row in rows}
        known = self._same_person(set(patients.values()))
        everybody = {row.id: tuple(known.get(patients[row.id], ())) or (patients[row.id],)
                     for row in rows}  # fmt: skip
        with self._database.read() as session:
            visits = self._last_visits(session, everybody.values())
            sizes = _sizes(session, [row.id for row in rows])
        found = []
        for row in rows:
            own = max(row.study_date, row.last_received_at.date())
            last_visit = max([own, *(visits[key] for key in map(_key, everybody[row.id])
                                     if key in visits)])  # fmt: skip
            years = self._policy.years_of(row.modalities)
            if years and last_visit <= _earlier(now.date(), years):
                count, size = sizes.get(row.id, (0, 0))
                found.append(
                    DueStudy(
                        study_instance_uid=row.study_instance_uid,
                        site_id=row.site_id,
                        patient=patients[row.id],
                        identifiers=everybody[row.id],
                        study_date=row.study_date,
                        last_visit=last_visit,
                        years=years,
                        instances=count,
                        dataset_bytes=size,
                    )
                )
        return found

    def _last_visits(
        self, session: Session, people: Collection[tuple[PatientIdentifier, ...]]
    ) -> Mapping[tuple[str, str], date]:
        """Return when each number was seen last; nothing where each study counts for itself."""
        if not self._policy.from_last_visit:
            return {}
        keys = sorted({_key(one) for group in people for one in group})
        found: dict[tuple[str, str], date] = {}
        for start in range(0, len(keys), _PER_PAGE):
            rows = session.execute(
                select(
                    STUDY.c.patient_id,
                    STUDY.c.issuer_oid,
                    func.max(STUDY.c.study_date).label("made"),
                    func.max(STUDY.c.last_received_at).label("received"),
                )
                .where(
                    is_any_of(
                        STUDY.c.patient_id, STUDY.c.issuer_oid, keys[start : start + _PER_PAGE]
                    )
                )
                .group_by(STUDY.c.patient_id, STUDY.c.issuer_oid)
            )
            for row in rows:
                dates = [row.received.date(), *([row.made] if row.made else [])]
                found[row.patient_id, row.issuer_oid] = max(dates)
        return found


def require_plausible_clock(session: Session, now: datetime, quiet_days: int) -> None:
    """Return when the clock agrees with what the hub received last and with the devices' own dates.

    Raises:
        ClockDoubtedError: it does not; a clock that is years ahead would delete what is new.
    """
    received = session.scalar(select(func.max(STUDY.c.last_received_at)))
    if received is None:
        return
    if received > now + _AHEAD:
        raise ClockDoubtedError(
            f"the hub's clock says {now:%Y-%m-%d %H:%M}, but it has received something on "
            f"{received:%Y-%m-%d %H:%M}: nothing is deleted until the clock is right"
        )
    # The date is the devices': a hub whose own clock jumped goes on receiving studies of the day.
    tomorrow = now.date() + timedelta(days=1)
    made = session.scalar(
        select(func.max(STUDY.c.study_date)).where(STUDY.c.study_date <= tomorrow)
    )
    oldest = now.date() - timedelta(days=quiet_days)
    if received.date() < oldest or made is None or made < oldest:
        raise ClockDoubtedError(
            f"the hub's clock says {now:%Y-%m-%d}, but its newest study is of "
            f"{made or 'no known date'}, received on {received:%Y-%m-%d}: nothing is deleted; if "
            "the clock is right and the hub was quiet for so long, raise retention.quiet_days"
        )


def _studies(oldest: date) -> Any:
    """Select what can be past its term at all."""
    return select(STUDY).where(
        STUDY.c.study_date <= oldest,
        STUDY.c.last_received_at
        < datetime.combine(oldest + timedelta(days=1), time.min, tzinfo=UTC),
        STUDY.c.state == StudyState.COMPLETE.value,
    )


def _sizes(session: Session, study_row_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
    rows = session.execute(
        select(SERIES.c.study_row_id, func.count(), func.sum(INSTANCE.c.dataset_bytes))
        .join(INSTANCE, INSTANCE.c.series_row_id == SERIES.c.id)
        .where(SERIES.c.study_row_id.in_(study_row_ids))
        .group_by(SERIES.c.study_row_id)
    )
    return {row[0]: (row[1], int(row[2] or 0)) for row in rows}


def _patient(row: Any) -> PatientIdentifier:
    return PatientIdentifier(
        row.patient_id, AssigningAuthority(row.issuer_namespace, row.issuer_oid)
    )


def _key(identifier: PatientIdentifier) -> tuple[str, str]:
    return identifier.value, identifier.issuer.oid


def _earlier(day: date, years: int) -> date:
    """Return the day that many years before; of 29 February, the 28th where there is none."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)
