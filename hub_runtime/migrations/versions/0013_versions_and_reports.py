"""Versions: what chose and caused them, the jobs of their pictures; reports of studies."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    json = sa.JSON(none_as_null=True)
    for name, length in (
        ('selection', 80),
        ('cause', 40),
        ('cause_event_id', 36),
        ('global_id', 64),
    ):
        column = sa.Column(name, sa.String(length=length), server_default='', nullable=False)
        op.add_column('eir_version', column)
    op.add_column('eir_version', sa.Column('reports', json, nullable=True))
    op.add_column(
        'eir_version_picture', sa.Column('job', sa.Text(), server_default='', nullable=False)
    )
    time = hub_kernel.database.UtcDateTime(timezone=True)
    op.create_table(
        'eir_report',
        sa.Column('report_id', sa.String(length=36), nullable=False),
        sa.Column('source_key', sa.String(length=128), nullable=False),
        sa.Column('chain_key', sa.String(length=128), nullable=False),
        sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('waiting', sa.String(length=40), nullable=False),
        sa.Column('kind', sa.String(length=8), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('title', sa.String(length=200), nullable=False),
        sa.Column('author', sa.String(length=200), nullable=False),
        sa.Column('sender', sa.String(length=128), nullable=False),
        sa.Column('site_ids', sa.JSON(), nullable=False),
        sa.Column('accession_number', sa.String(length=64), nullable=False),
        sa.Column('patients', sa.JSON(), nullable=False),
        sa.Column('issued_at', time, nullable=True),
        sa.Column('received_at', time, nullable=False),
        sa.Column('matched_at', time, nullable=True),
        sa.Column('sha256', sa.String(length=64), nullable=False),
        sa.Column('lines', sa.JSON(), nullable=False),
        sa.Column('cut', sa.Boolean(), nullable=False),
        sa.Column('pdf_key', sa.String(length=200), nullable=False),
        sa.Column('pdf_sha256', sa.String(length=64), nullable=False),
        sa.Column('pdf_size', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('report_id', name=op.f('pk_eir_report')),
        sa.UniqueConstraint('source_key', name=op.f('uq_eir_report_source_key')),
    )
    op.create_index(op.f('ix_eir_report_study_instance_uid'), 'eir_report', ['study_instance_uid'])
    op.create_table(
        'eir_report_key',
        sa.Column('report_id', sa.String(length=36), nullable=False),
        sa.Column('key', sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ['report_id'],
            ['eir_report.report_id'],
            name=op.f('fk_eir_report_key_report_id_eir_report'),
        ),
        sa.PrimaryKeyConstraint('report_id', 'key', name=op.f('pk_eir_report_key')),
    )
    op.create_index(op.f('ix_eir_report_key_key'), 'eir_report_key', ['key'])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('eir_report_key')
    op.drop_table('eir_report')
    op.drop_column('eir_version_picture', 'job')
    for name in ('reports', 'global_id', 'cause_event_id', 'cause', 'selection'):
        op.drop_column('eir_version', name)
