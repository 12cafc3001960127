"""Text in pixels: what was looked at and decided; and what was exported de-identified."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

_MOMENT = hub_kernel.database.UtcDateTime(timezone=True)


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        'burned_in_case',
        sa.Column('case_id', sa.String(length=36), nullable=False),
        sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('frame_number', sa.Integer(), nullable=False),
        sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
        sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('site_id', sa.String(length=64), nullable=False),
        sa.Column('modality', sa.String(length=16), nullable=False),
        sa.Column('cause', sa.String(length=16), nullable=False),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('scanner', sa.String(length=64), nullable=False),
        sa.Column('rows', sa.Integer(), nullable=False),
        sa.Column('columns', sa.Integer(), nullable=False),
        sa.Column('lines', sa.Text(), nullable=False),
        sa.Column('proposed', sa.Text(), nullable=False),
        sa.Column('masks', sa.Text(), nullable=False),
        sa.Column('found_at', _MOMENT, nullable=False),
        sa.Column('decided_by', sa.String(length=128), nullable=False),
        sa.Column('decided_at', _MOMENT, nullable=True),
        sa.Column('reason', sa.String(length=400), nullable=False),
        sa.PrimaryKeyConstraint('case_id', name=op.f('pk_burned_in_case')),
    )
    op.create_index(
        'uq_burned_in_frame',
        'burned_in_case',
        ['sop_instance_uid', 'frame_number', 'dataset_sha256'],
        unique=True,
    )
    op.create_index('ix_burned_in_state', 'burned_in_case', ['state', 'found_at'])
    op.create_index(
        op.f('ix_burned_in_case_study_instance_uid'), 'burned_in_case', ['study_instance_uid']
    )
    op.create_table(
        'deidentified_export',
        sa.Column('export_id', sa.String(length=36), nullable=False),
        sa.Column('project', sa.String(length=32), nullable=False),
        sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('subject_id', sa.String(length=64), nullable=False),
        sa.Column('options', sa.String(length=255), nullable=False),
        sa.Column('edition', sa.String(length=32), nullable=False),
        sa.Column('instances', sa.Integer(), nullable=False),
        sa.Column('left_out', sa.Text(), nullable=False),
        sa.Column('content_sha256', sa.String(length=64), nullable=False),
        sa.Column('exported_by', sa.String(length=128), nullable=False),
        sa.Column('exported_at', _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint('export_id', name=op.f('pk_deidentified_export')),
    )
    op.create_index(
        'ix_deidentified_export_project', 'deidentified_export', ['project', 'exported_at']
    )
    op.create_index(
        op.f('ix_deidentified_export_study_instance_uid'),
        'deidentified_export',
        ['study_instance_uid'],
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('deidentified_export')
    op.drop_table('burned_in_case')
