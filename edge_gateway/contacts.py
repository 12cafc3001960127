"""At the hub: when each edge last spoke, and what it said of itself."""

from collections.abc import Mapping

from sqlalchemy import select

from edge_gateway.model import EdgeContact, EdgeFigures
from edge_gateway.report import figures_body, read_figures
from edge_gateway.tables import EdgeContactRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database


class Contacts:
    """The last contact of every edge."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def note(self, site_id: str, figures: EdgeFigures) -> None:
        """Remember that the edge of a site spoke now."""
        row = EdgeContactRow(
            site_id=site_id, last_contact_at=self._clock.now(), figures=figures_body(figures)
        )
        with self._database.unit_of_work() as work:
            work.session.merge(row)

    def all(self) -> Mapping[str, EdgeContact]:
        """Return the last contact of every edge that ever spoke, by site."""
        with self._database.read() as session:
            return {
                row.site_id: EdgeContact(
                    row.site_id, row.last_contact_at, read_figures({"figures": row.figures})
                )
                for row in session.scalars(select(EdgeContactRow))
            }
