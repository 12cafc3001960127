"""Break-glass: who opened whose record in an emergency, why, and what the review found.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None
expands = True


def _moment() -> hub_kernel.database.UtcDateTime:
    return hub_kernel.database.UtcDateTime(timezone=True)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        'broken_glass',
        sa.Column('glass_id', sa.Integer(), nullable=False),
        sa.Column('user_id', sa.String(length=128), nullable=False),
        sa.Column('display', sa.String(length=128), nullable=False),
        sa.Column('global_id', sa.String(length=64), nullable=False),
        sa.Column('reason', sa.String(length=400), nullable=False),
        sa.Column('address', sa.String(length=64), nullable=False),
        sa.Column('opened_at', _moment(), nullable=False),
        sa.Column('ends_at', _moment(), nullable=False),
        sa.Column('closed_at', _moment(), nullable=True),
        sa.Column('closed_by', sa.String(length=128), server_default='', nullable=False),
        sa.Column('verdict', sa.String(length=16), server_default='', nullable=False),
        sa.Column('note', sa.String(length=400), server_default='', nullable=False),
        sa.Column('reviewed_by', sa.String(length=128), server_default='', nullable=False),
        sa.Column('reviewed_at', _moment(), nullable=True),
        sa.PrimaryKeyConstraint('glass_id', name=op.f('pk_broken_glass')),
    )
    for column in ('user_id', 'verdict'):
        op.create_index(op.f(f'ix_broken_glass_{column}'), 'broken_glass', [column])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('broken_glass')
