"""Compaction: which instances have had their turn, and what became of each."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    number = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    op.create_table(
        'compaction',
        sa.Column('instance_row_id', number, autoincrement=False, nullable=False),
        sa.Column('outcome', sa.String(length=16), nullable=False),
        sa.Column('reason', sa.String(length=40), nullable=False),
        sa.Column('original_bytes', sa.BigInteger(), nullable=False),
        sa.Column('kept_bytes', sa.BigInteger(), nullable=False),
        sa.Column('done_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ['instance_row_id'],
            ['instance.id'],
            name=op.f('fk_compaction_instance_row_id_instance'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint('instance_row_id', name=op.f('pk_compaction')),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('compaction')
