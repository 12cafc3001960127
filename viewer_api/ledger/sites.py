"""The ledgers of all sites in figures: last contact, what is under way, how far behind, late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from edge_gateway.tables import EDGE_INSTANCE
from viewer_api.ledger.lateness import is_silent
from viewer_api.ledger.studies import LedgerView, study_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from edge_gateway.model import EdgeContact

_MOST_LATE = 100


@dataclass(frozen=True)
class SiteLedger:
    """One site's ledger in figures. `lag` is the age of the oldest instance still awaited.

    `silent` is true when the site has an edge that should have spoken and did not.
    """

    site_id: str
    contact: EdgeContact | None
    awaited: int
    awaited_bytes: int
    lag: timedelta
    late: int
    silent: bool


def site_ledgers(
    session: Session, site_ids: Iterable[str], contacts: Mapping[str, EdgeContact], view: LedgerView
) -> dict[str, SiteLedger]:
    """Return the figures of each site; at most a hundred late studies are counted for one."""
    awaited = {
        row[0]: (row[1], int(row[2] or 0), row[3])
        for row in session.execute(
            select(
                EDGE_INSTANCE.c.site_id,
                func.count(),
                func.sum(EDGE_INSTANCE.c.dataset_bytes),
                func.min(EDGE_INSTANCE.c.received_at),
            )
            .where(EDGE_INSTANCE.c.arrived_at.is_(None))
            .group_by(EDGE_INSTANCE.c.site_id)
        )
    }
    ledgers = {}
    for site_id in site_ids:
        contact = contacts.get(site_id)
        count, size, oldest = awaited.get(site_id, (0, 0, None))
        late = LedgerView(view.since, view.now, _MOST_LATE, contact, late_only=True)
        ledgers[site_id] = SiteLedger(
            site_id=site_id,
            contact=contact,
            awaited=count,
            awaited_bytes=size,
            lag=_lag(oldest, view.now),
            late=len(study_lines(session, site_id, late)),
            silent=contact is not None and is_silent(contact, view.now),
        )
    return ledgers


def _lag(oldest: datetime | None, now: datetime) -> timedelta:
    return max(timedelta(0), now - oldest) if oldest else timedelta(0)
