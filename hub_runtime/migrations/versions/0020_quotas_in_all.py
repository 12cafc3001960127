"""Quotas of instances, and of all that is held of a site; counters of what is held.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None
expands = True

_QUOTAS = ('max_instances_per_day', 'max_bytes', 'max_instances')


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name in _QUOTAS:
        op.add_column('site', sa.Column(name, sa.BigInteger(), server_default='0', nullable=False))
    op.create_table(
        'site_holding',
        sa.Column('site_id', sa.String(length=64), nullable=False),
        sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
        sa.Column('instances', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('site_id', name=op.f('pk_site_holding')),
    )
    op.create_table(
        'site_holding_position',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('counted_to', sa.BigInteger(), nullable=False),
        sa.Column('seen_to', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_site_holding_position')),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('site_holding_position')
    op.drop_table('site_holding')
    for name in _QUOTAS:
        op.drop_column('site', name)
