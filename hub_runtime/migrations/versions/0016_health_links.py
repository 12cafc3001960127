"""Shared links: wrong passcodes in a link's whole life, and whom a health app names as opener."""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    """Apply the change."""
    count = sa.Column('failures_in_all', sa.BigInteger(), server_default='0', nullable=False)
    op.add_column('shared_link_attempt', count)
    name = sa.Column('recipient', sa.String(length=64), server_default='', nullable=False)
    op.add_column('shared_link_visit', name)


def downgrade() -> None:
    """Take the change back."""
    op.drop_column('shared_link_visit', 'recipient')
    op.drop_column('shared_link_attempt', 'failures_in_all')
