"""Legal holds; what stays of deleted studies; where versions keep their bytes.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None
expands = True

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def _moment() -> hub_kernel.database.UtcDateTime:
    return hub_kernel.database.UtcDateTime(timezone=True)


def _bytes_compared(length: int) -> sa.String:
    return sa.String(length=length).with_variant(
        sa.String(length=length, collation='C'), 'postgresql'
    )


def upgrade() -> None:
    """Bring the schema to this revision."""
    _holds()
    _deleted()
    op.add_column(
        'eir_version',
        sa.Column('document_key', sa.String(length=200), server_default='', nullable=False),
    )
    op.create_index(
        op.f('ix_eir_version_picture_storage_key'),
        'eir_version_picture',
        ['storage_key'],
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(
        op.f('ix_eir_version_picture_storage_key'),
        table_name='eir_version_picture',
    )
    op.drop_column('eir_version', 'document_key')
    for table in (
        'deleted_object',
        'deleted_instance',
        'deleted_study',
        'legal_hold_identifier',
        'legal_hold',
    ):
        op.drop_table(table)


def _holds() -> None:
    op.create_table(
        'legal_hold',
        sa.Column('hold_id', sa.Integer(), nullable=False),
        sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('global_id', sa.String(length=64), nullable=False),
        sa.Column('reason', sa.String(length=400), nullable=False),
        sa.Column('placed_by', sa.String(length=128), nullable=False),
        sa.Column('placed_at', _moment(), nullable=False),
        sa.Column('lifted_by', sa.String(length=128), server_default='', nullable=False),
        sa.Column('lifted_at', _moment(), nullable=True),
        sa.Column('lifted_reason', sa.String(length=400), server_default='', nullable=False),
        sa.PrimaryKeyConstraint('hold_id', name=op.f('pk_legal_hold')),
    )
    op.create_table(
        'legal_hold_identifier',
        sa.Column('hold_id', sa.Integer(), nullable=False),
        sa.Column('value', _bytes_compared(64), nullable=False),
        sa.Column('issuer_oid', sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ['hold_id'],
            ['legal_hold.hold_id'],
            name=op.f('fk_legal_hold_identifier_hold_id_legal_hold'),
        ),
        sa.PrimaryKeyConstraint(
            'hold_id', 'value', 'issuer_oid', name=op.f('pk_legal_hold_identifier')
        ),
    )
    for table, columns in (
        ('legal_hold', ['study_instance_uid']),
        ('legal_hold', ['global_id']),
        ('legal_hold_identifier', ['value', 'issuer_oid']),
    ):
        named = '_'.join(f'{table}_{column}' for column in columns)
        op.create_index(op.f(f'ix_{named}'), table, columns)


def _deleted() -> None:
    op.create_table(
        'deleted_study',
        sa.Column('id', _NUMBER, nullable=False),
        sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('site_id', sa.String(length=64), nullable=False),
        sa.Column('issuer_oid', sa.String(length=64), nullable=False),
        sa.Column('patient_id', sa.String(length=80), nullable=False),
        sa.Column('study_date', sa.Date(), nullable=True),
        sa.Column('modalities', sa.JSON(), nullable=False),
        sa.Column('received_at', _moment(), nullable=False),
        sa.Column('last_received_at', _moment(), nullable=False),
        sa.Column('instances', sa.Integer(), nullable=False),
        sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
        sa.Column('deleted_by', sa.String(length=128), nullable=False),
        sa.Column('reason', sa.String(length=400), nullable=False),
        sa.Column('deleted_at', _moment(), nullable=False),
        sa.Column('finished_at', _moment(), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_deleted_study')),
    )
    op.create_table(
        'deleted_instance',
        sa.Column('id', _NUMBER, nullable=False),
        sa.Column('deleted_study_id', sa.BigInteger(), nullable=False),
        sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
        sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
        sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ['deleted_study_id'],
            ['deleted_study.id'],
            name=op.f('fk_deleted_instance_deleted_study_id_deleted_study'),
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_deleted_instance')),
    )
    op.create_table(
        'deleted_object',
        sa.Column('id', _NUMBER, nullable=False),
        sa.Column('deleted_study_id', sa.BigInteger(), nullable=False),
        sa.Column('storage_key', _bytes_compared(200), nullable=False),
        sa.ForeignKeyConstraint(
            ['deleted_study_id'],
            ['deleted_study.id'],
            name=op.f('fk_deleted_object_deleted_study_id_deleted_study'),
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_deleted_object')),
    )
    for table, column in (
        ('deleted_study', 'study_instance_uid'),
        ('deleted_study', 'deleted_at'),
        ('deleted_study', 'finished_at'),
        ('deleted_instance', 'deleted_study_id'),
        ('deleted_instance', 'sop_instance_uid'),
        ('deleted_object', 'deleted_study_id'),
        ('deleted_object', 'storage_key'),
    ):
        op.create_index(op.f(f'ix_{table}_{column}'), table, [column])
