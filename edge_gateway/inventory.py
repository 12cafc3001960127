"""At the hub: what edges say they hold, beside what the hub holds; compared by UID and digest."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, and_, func, insert, select, update
from sqlalchemy.orm import Session

from edge_gateway.model import Comparison, Difference, DifferenceKind, HeldInstance, StudyProgress
from edge_gateway.tables import EDGE_INSTANCE
from hub_kernel.database import Database
from image_archive.model import Condition
from image_archive.tables import INSTANCE

ProgressOf = Callable[[Session, Collection[str]], Sequence[StudyProgress]]
"""How far studies are; a study the hub knows nothing of is left out."""

T = TypeVar("T")

_PAGE = 1000
_VALUES_PER_QUERY = 500
_SAME = and_(
    INSTANCE.c.sop_instance_uid == EDGE_INSTANCE.c.sop_instance_uid,
    INSTANCE.c.dataset_sha256 == EDGE_INSTANCE.c.dataset_sha256,
    INSTANCE.c.condition == Condition.INTACT.value,
)


class Inventory:
    """Every instance that edges have reported, and in what the hub differs from it."""

    def __init__(self, database: Database, progress_of: ProgressOf) -> None:
        self._database = database
        self._progress_of = progress_of

    def add(self, site_id: str, instances: Sequence[HeldInstance]) -> None:
        """Note what the edge of a site holds; what was noted before is brought up to date."""
        with self._database.unit_of_work() as work:
            session, now = work.session, work.clock.now()
            for some in _parts(instances):
                _put(session, site_id, {one.sop_instance_uid: one for one in some}, now)

    def compare(self, site_id: str, instances: Sequence[HeldInstance]) -> list[Difference]:
        """Return every difference about these instances and their studies, in their order.

        What is found is noted as well: an instance that has gone missing is awaited again.
        """
        wanted = {one.sop_instance_uid: one for one in instances}
        found: list[Difference] = []
        with self._database.unit_of_work() as work:
            session, now = work.session, work.clock.now()
            for some in _parts(wanted.values()):
                _note_arrivals(session, site_id, [one.sop_instance_uid for one in some], now)
                found += _instance_differences(session, some)
            missing = [one.sop_instance_uid for one in found]
            for part in _parts(missing):
                _await_again(session, site_id, part)
            studies = dict.fromkeys(one.study_instance_uid for one in instances)
            found += self._study_differences(session, site_id, studies)
        return found

    def compare_all(self, site_id: str, progress: Callable[[int, int], None]) -> Comparison:
        """Compare everything the edge of a site ever reported, a page at a time.

        `progress` is called with (instances compared, instances in all).
        """
        with self._database.read() as session:
            total = (
                session.scalar(select(func.count()).where(EDGE_INSTANCE.c.site_id == site_id)) or 0
            )
        compared, found, studies = 0, dict[Difference, None](), set[str]()
        for page in self._pages(site_id):
            found.update(dict.fromkeys(self.compare(site_id, page)))
            studies.update(one.study_instance_uid for one in page)
            compared += len(page)
            progress(compared, max(total, compared))
        return Comparison(compared, len(studies), tuple(found))

    def progress(self, site_id: str, study_uids: Collection[str]) -> list[StudyProgress]:
        """Return how far those of the studies are that the site has a part in."""
        with self._database.read() as session:
            reported = set(
                session.scalars(
                    select(EDGE_INSTANCE.c.study_instance_uid)
                    .where(
                        EDGE_INSTANCE.c.study_instance_uid.in_(study_uids),
                        EDGE_INSTANCE.c.site_id == site_id,
                    )
                    .distinct()
                )
            )
            return [
                one
                for one in self._progress_of(session, study_uids)
                if one.site_id == site_id or one.study_instance_uid in reported
            ]

    def sweep(self) -> int:
        """Note what has arrived since it was reported; return how many still are awaited."""
        with self._database.read() as session:
            awaited = session.execute(
                select(EDGE_INSTANCE.c.id, INSTANCE.c.id.label("there"))
                .outerjoin(INSTANCE, _SAME)
                .where(EDGE_INSTANCE.c.arrived_at.is_(None))
            ).all()
        arrived = [row.id for row in awaited if row.there is not None]
        for some in _parts(arrived):
            with self._database.unit_of_work() as work:
                work.session.execute(
                    update(EDGE_INSTANCE)
                    .where(EDGE_INSTANCE.c.id.in_(some))
                    .values(arrived_at=work.clock.now())
                )
        return len(awaited) - len(arrived)

    def _study_differences(
        self, session: Session, site_id: str, studies: Collection[str]
    ) -> Iterator[Difference]:
        for some in _parts(studies):
            for one in self._progress_of(session, some):
                if one.complete and not one.registered:
                    yield Difference(DifferenceKind.UNREGISTERED, one.study_instance_uid)
                if one.complete and not one.rendered:
                    yield Difference(DifferenceKind.NOT_RENDERED, one.study_instance_uid)

    def _pages(self, site_id: str) -> Iterator[list[HeldInstance]]:
        last = ""
        while True:
            with self._database.read() as session:
                rows = session.execute(
                    select(EDGE_INSTANCE)
                    .where(
                        EDGE_INSTANCE.c.site_id == site_id,
                        EDGE_INSTANCE.c.sop_instance_uid > last,
                    )
                    .order_by(EDGE_INSTANCE.c.sop_instance_uid)
                    .limit(_PAGE)
                ).all()
            if not rows:
                return
            yield [_held(row) for row in rows]
            last = rows[-1].sop_instance_uid


def _put(session: Session, site_id: str, wanted: dict[str, HeldInstance], now: datetime) -> None:
    mine = EDGE_INSTANCE.c.site_id == site_id
    known = session.execute(
        select(EDGE_INSTANCE.c.sop_instance_uid, EDGE_INSTANCE.c.dataset_sha256).where(
            mine, EDGE_INSTANCE.c.sop_instance_uid.in_(wanted)
        )
    ).all()
    for uid, digest in known:
        one = wanted[uid]
        if digest != one.dataset_sha256:
            session.execute(
                update(EDGE_INSTANCE)
                .where(mine, EDGE_INSTANCE.c.sop_instance_uid == uid)
                .values(**vars(one), reported_at=now, arrived_at=None)
            )
    seen = {row[0] for row in known}
    fresh = [
        {**vars(one), "site_id": site_id, "reported_at": now, "arrived_at": None}
        for uid, one in wanted.items()
        if uid not in seen
    ]
    if fresh:
        session.execute(insert(EDGE_INSTANCE), fresh)
    _note_arrivals(session, site_id, list(wanted), now)


def _note_arrivals(session: Session, site_id: str, uids: Sequence[str], now: datetime) -> None:
    """Set `arrived_at` of those the hub holds with the same bytes."""
    there = select(INSTANCE.c.id).where(_SAME).exists()
    session.execute(
        update(EDGE_INSTANCE)
        .where(
            EDGE_INSTANCE.c.site_id == site_id,
            EDGE_INSTANCE.c.sop_instance_uid.in_(uids),
            EDGE_INSTANCE.c.arrived_at.is_(None),
            there,
        )
        .values(arrived_at=now)
        .execution_options(synchronize_session=False)
    )


def _await_again(session: Session, site_id: str, uids: Sequence[str]) -> None:
    session.execute(
        update(EDGE_INSTANCE)
        .where(EDGE_INSTANCE.c.site_id == site_id, EDGE_INSTANCE.c.sop_instance_uid.in_(uids))
        .values(arrived_at=None)
    )


def _instance_differences(
    session: Session, instances: Iterable[HeldInstance]
) -> Iterator[Difference]:
    wanted = {one.sop_instance_uid: one for one in instances}
    rows = session.execute(
        select(INSTANCE.c.sop_instance_uid, INSTANCE.c.dataset_sha256, INSTANCE.c.condition).where(
            INSTANCE.c.sop_instance_uid.in_(wanted)
        )
    )
    there: dict[str, Any] = {row.sop_instance_uid: row for row in rows}
    for uid, one in wanted.items():
        kind = _kind(one, there.get(uid))
        if kind is not None:
            yield Difference(kind, one.study_instance_uid, uid)


def _kind(edge: HeldInstance, hub: Row[Any] | None) -> DifferenceKind | None:
    if hub is None:
        return DifferenceKind.MISSING_AT_HUB
    if hub.dataset_sha256 != edge.dataset_sha256:
        return DifferenceKind.OTHER_BYTES
    if hub.condition != Condition.INTACT.value:
        return DifferenceKind.DAMAGED_AT_HUB
    return None


def _held(row: Row[Any]) -> HeldInstance:
    return HeldInstance(
        sop_instance_uid=row.sop_instance_uid,
        study_instance_uid=row.study_instance_uid,
        dataset_sha256=row.dataset_sha256,
        dataset_bytes=row.dataset_bytes,
        received_at=row.received_at,
    )


def _parts(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield `values` in lists short enough for one query."""
    everything = list(values)
    for start in range(0, len(everything), _VALUES_PER_QUERY):
        yield everything[start : start + _VALUES_PER_QUERY]
