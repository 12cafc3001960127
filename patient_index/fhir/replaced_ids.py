"""Global IDs that are no longer used: who their identifiers belong to now (Patient.link)."""

from sqlalchemy import select

from hub_kernel.database import Database
from patient_index import queries
from patient_index.tables import LinkLog

_MOST = 8


def successors(database: Database, global_id: str) -> list[str]:
    """Return the global IDs that what once resolved to `global_id` resolves to now, in order.

    Nobody for an ID that was never issued; several where the identifiers went different ways.
    """
    links = queries.current_links()
    now = (
        select(links.c.global_id)
        .join(LinkLog, LinkLog.identifier_id == links.c.identifier_id)
        .where(LinkLog.global_id == global_id, links.c.global_id != global_id)
        .group_by(links.c.global_id)
        .order_by(links.c.global_id)
        .limit(_MOST)
    )
    with database.read() as session:
        return list(session.scalars(now))
