"""An index on names as sent, for `Wang^Xiao*`."""

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_index(op.f("ix_study_key_as_sent"), "study", ["key_as_sent"])
