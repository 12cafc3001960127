"""The queues of the review desk, as far as the subject may see them; the database sorts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patient_index import desk
from viewer_api.identity_desk import cases_of, may_see_case
from viewer_api.security import current_subject
from viewer_api.services import services

if TYPE_CHECKING:
    from hub_kernel.identifiers import AssigningAuthority
    from viewer_api.identity_desk import Case


@dataclass(frozen=True)
class QueuePage:
    """Some cases of a queue in its order, and how many the whole queue has for the subject."""

    cases: tuple[Case, ...]
    start: int
    total: int
    limit: int

    @property
    def next(self) -> int | None:
        """Where the next page starts; None at the end."""
        behind = self.start + self.limit
        return behind if behind < self.total else None

    @property
    def previous(self) -> int | None:
        """Where the page before starts; None at the beginning."""
        return max(0, self.start - self.limit) if self.start else None


def page_of(state: str, *, limit: int, start: int = 0) -> QueuePage:
    """Return one page of a queue: those that wait by risk, those decided latest first.

    `state` is one of `desk.State`.
    """
    queue = _queue(desk.State(state))
    with services().database.read() as session:
        total = desk.count(session, queue)
        # Whoever comes late to the last page, which was emptied meanwhile, gets what is last now.
        start = min(start, max(0, (total - 1) // limit * limit))
        cases = cases_of(session, desk.reviews(session, queue, limit=limit, offset=start))
    return QueuePage(tuple(filter(may_see_case, cases)), start, total, limit)


def following(review_id: int) -> tuple[int | None, int]:
    """Return the question that waits behind this one, at the end the first, and how many wait.

    The question itself is not counted.
    """
    queue = _queue(desk.State.WAITING)
    with services().database.read() as session:
        behind = desk.following(session, review_id, queue)
        others = desk.count(session, queue, but=review_id)
    return behind, others


def _queue(state: desk.State) -> desk.Queue:
    return desk.Queue(state, _issuers())


def _issuers() -> frozenset[AssigningAuthority] | None:
    sites = current_subject().sites
    if sites is None:
        return None
    known = services().sites.all()
    return frozenset(site.assigning_authority for site in known if site.site_id in sites)
