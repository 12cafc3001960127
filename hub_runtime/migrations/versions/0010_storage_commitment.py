"""Storage commitment: what was asked and has not been reported yet."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    json = sa.JSON(none_as_null=True)
    op.create_table(
        'commitment_transaction',
        sa.Column(
            'id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False
        ),
        sa.Column('transaction_uid', sa.String(length=64), nullable=False),
        sa.Column('site_id', sa.String(length=64), nullable=False),
        sa.Column('calling_ae_title', sa.String(length=16), nullable=False),
        sa.Column('asked_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column('asked', json, nullable=False),
        sa.Column('found', json, nullable=False),
        sa.Column('due_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('last_error', sa.String(length=200), nullable=False),
        sa.Column('lease_owner', sa.String(length=200), nullable=False),
        sa.Column('lease_until', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
        sa.Column('reported_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_commitment_transaction')),
    )
    op.create_index(
        'ix_commitment_transaction_turn', 'commitment_transaction', ['reported_at', 'due_at']
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index('ix_commitment_transaction_turn', 'commitment_transaction')
    op.drop_table('commitment_transaction')
