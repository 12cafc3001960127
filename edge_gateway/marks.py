"""What an edge remembers of its hub over a restart: the last contact, what is wrong."""

from datetime import datetime

from edge_gateway.tables import EdgeMarkRow
from hub_kernel.database import Database

CONTACT, REPORT_REASON, UPLOAD_REASON, REPORTED_THROUGH, COMPARED, RELEASING = (
    "contact",
    "report_reason",
    "upload_reason",
    "reported_through",
    "compared",
    "releasing",
)


class Marks:
    """Named notes in the edge's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, value: str = "") -> None:
        """Note `value`, now."""
        with self._database.unit_of_work() as work:
            work.session.merge(EdgeMarkRow(name=name, value=value, noted_at=work.clock.now()))

    def change(self, name: str, value: str) -> None:
        """Note `value` unless that is what stands there already."""
        if self.get(name) != value:
            self.put(name, value)

    def get(self, name: str) -> str:
        """Return what was noted, empty for nothing."""
        with self._database.read() as session:
            row = session.get(EdgeMarkRow, name)
            return row.value if row else ""

    def noted_at(self, name: str) -> datetime | None:
        """Return when it was noted."""
        with self._database.read() as session:
            row = session.get(EdgeMarkRow, name)
            return row.noted_at if row else None
