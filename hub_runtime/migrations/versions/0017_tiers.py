"""Tiers: which instances have a copy in the far tier."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    """Apply the change."""
    number = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    op.create_table(
        'tier_copy',
        sa.Column('instance_row_id', number, autoincrement=False, nullable=False),
        sa.Column('state', sa.String(length=8), nullable=False),
        sa.Column('far_bytes', sa.BigInteger(), nullable=False),
        sa.Column('changed_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ['instance_row_id'],
            ['instance.id'],
            name=op.f('fk_tier_copy_instance_row_id_instance'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint('instance_row_id', name=op.f('pk_tier_copy')),
    )
    op.create_index(op.f('ix_tier_copy_state_tier_copy_changed_at'), 'tier_copy', ['state', 'changed_at'])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('tier_copy')
