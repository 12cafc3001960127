"""What queries ask of the archive: rejected instances, time zones, requests, bits allocated."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

NUMBERS = {
    "study": ("rejected_series", "rejected_instances"),
    "series": ("rejected_instances",),
    "instance": ("bits_allocated",),
}
TEXTS = {
    "study": {"timezone_offset": 5},
    "series": {"performed_start_time": 28, "scheduled_step_id": 64, "requested_procedure_id": 64},
    "instance": {"rejected": 16},
}


def upgrade() -> None:
    """Apply the change."""
    op.add_column("series", sa.Column("performed_start_date", sa.Date(), nullable=True))
    for table, names in NUMBERS.items():
        for name in names:
            number = sa.Column(name, sa.Integer(), server_default="0", nullable=False)
            op.add_column(table, number)
    for table, lengths in TEXTS.items():
        for name, length in lengths.items():
            text = sa.Column(name, sa.String(length=length), server_default="", nullable=False)
            op.add_column(table, text)
