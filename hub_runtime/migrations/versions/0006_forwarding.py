"""The ledger of forwarding, and what is known of each destination."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table('forwarding_destination',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('due_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('held', sa.Boolean(), nullable=False),
    sa.Column('held_by', sa.String(length=200), nullable=False),
    sa.Column('last_error', sa.String(length=200), nullable=False),
    sa.Column('last_error_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('last_success_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('sent_count', sa.BigInteger(), nullable=False),
    sa.Column('sent_bytes', sa.BigInteger(), nullable=False),
    sa.Column('bytes_per_s', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_forwarding_destination'))
    )
    op.create_table('forwarding_item',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('destination', sa.String(length=64), nullable=False),
    sa.Column('sop_class_uid', sa.String(length=64), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('transfer_syntax_uid', sa.String(length=64), nullable=False),
    sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
    sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
    sa.Column('rule', sa.String(length=64), nullable=False),
    sa.Column('wanted_syntax', sa.String(length=32), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('schedule', sa.String(length=80), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('due_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('last_status', sa.String(length=64), nullable=False),
    sa.Column('last_comment', sa.String(length=200), nullable=False),
    sa.Column('sent_syntax_uid', sa.String(length=64), nullable=False),
    sa.Column('lease_owner', sa.String(length=200), nullable=False),
    sa.Column('leased_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('lease_until', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('queued_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('last_attempt_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('settled_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('transaction_uid', sa.String(length=64), nullable=False),
    sa.Column('asked_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_forwarding_item'))
    )
    op.create_index('ix_forwarding_item_promise', 'forwarding_item', ['sop_instance_uid', 'destination'], unique=True)
    op.create_index(op.f('ix_forwarding_item_study_instance_uid'), 'forwarding_item', ['study_instance_uid'], unique=False)
    op.create_index('ix_forwarding_item_turn', 'forwarding_item', ['destination', 'state', 'priority', 'id'], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.drop_index('ix_forwarding_item_turn', table_name='forwarding_item')
    op.drop_index(op.f('ix_forwarding_item_study_instance_uid'), table_name='forwarding_item')
    op.drop_index('ix_forwarding_item_promise', table_name='forwarding_item')
    op.drop_table('forwarding_item')
    op.drop_table('forwarding_destination')
