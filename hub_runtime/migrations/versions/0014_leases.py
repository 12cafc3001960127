"""Leases, and what an engine with a broker asks of the outbox.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    time = hub_kernel.database.UtcDateTime(timezone=True)
    op.create_table(
        'lease',
        sa.Column('name', sa.String(length=120), nullable=False),
        sa.Column('holder', sa.String(length=200), nullable=False),
        sa.Column('until', time, nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_lease')),
    )
    op.add_column(
        'outbox_delivery',
        sa.Column('urgent', sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column('outbox_delivery', sa.Column('handed_at', time, nullable=True))


def downgrade() -> None:
    """Take the change back."""
    op.drop_column('outbox_delivery', 'handed_at')
    op.drop_column('outbox_delivery', 'urgent')
    op.drop_table('lease')
