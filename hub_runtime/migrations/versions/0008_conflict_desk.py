"""The conflict desk: cases of what is parked, and what people decided about them."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

_MOMENT = hub_kernel.database.UtcDateTime(timezone=True)


def upgrade() -> None:
    """Apply the change; what was parked before is a case of its own each."""
    for column in (
        sa.Column('case_key', sa.String(length=64), server_default='', nullable=False),
        sa.Column('issuer_oid', sa.String(length=64), server_default='', nullable=False),
        sa.Column('patient_id', sa.String(length=80), server_default='', nullable=False),
        sa.Column('status', sa.String(length=16), server_default='open', nullable=False),
        sa.Column('times', sa.Integer(), server_default='1', nullable=False),
        sa.Column('last_received_at', _MOMENT, nullable=True),
        sa.Column('decision_id', sa.Integer(), nullable=True),
    ):
        op.add_column('quarantine', column)
    op.execute("UPDATE quarantine SET case_key = 'earlier-' || id")
    op.create_index('ix_quarantine_status_quarantine_case_key', 'quarantine', ['status', 'case_key'])
    row_id = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    op.create_table(
        'conflict_decision',
        sa.Column('id', row_id, nullable=False),
        sa.Column('case_key', sa.String(length=64), nullable=False),
        sa.Column('verdict', sa.String(length=16), nullable=False),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('patient_id', sa.String(length=64), nullable=False),
        sa.Column('decided_by', sa.String(length=128), nullable=False),
        sa.Column('decided_at', _MOMENT, nullable=False),
        sa.Column('reason', sa.String(length=400), nullable=False),
        sa.Column('undone_by', sa.String(length=128), server_default='', nullable=False),
        sa.Column('undone_at', _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_conflict_decision')),
    )
    op.create_index('ix_conflict_decision_case_key', 'conflict_decision', ['case_key'])
    op.create_index('ix_conflict_decision_state', 'conflict_decision', ['state'])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('conflict_decision')
    op.drop_index('ix_quarantine_status_quarantine_case_key', 'quarantine')
    for name in (
        'decision_id',
        'last_received_at',
        'times',
        'status',
        'patient_id',
        'issuer_oid',
        'case_key',
    ):
        op.drop_column('quarantine', name)
