"""Edges: what they report to the hub, and what the hub says of their studies."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table('edge_contact',
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('last_contact_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('figures', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('site_id', name=op.f('pk_edge_contact'))
    )
    op.create_table('edge_instance',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
    sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('reported_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('arrived_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_edge_instance'))
    )
    op.create_index('uq_edge_instance_site', 'edge_instance', ['site_id', 'sop_instance_uid'], unique=True)
    op.create_index('ix_edge_instance_study', 'edge_instance', ['study_instance_uid', 'site_id'], unique=False)
    op.create_index('ix_edge_instance_awaited', 'edge_instance', ['site_id', 'received_at'], unique=False,
        sqlite_where=sa.text('arrived_at IS NULL'), postgresql_where=sa.text('arrived_at IS NULL'))
    op.create_table('edge_study',
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('instances', sa.Integer(), nullable=False),
    sa.Column('complete', sa.Boolean(), nullable=False),
    sa.Column('registered', sa.Boolean(), nullable=False),
    sa.Column('rendered', sa.Boolean(), nullable=False),
    sa.Column('damaged', sa.Integer(), nullable=False),
    sa.Column('said_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('study_instance_uid', name=op.f('pk_edge_study'))
    )
    op.create_table('edge_mark',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.Column('noted_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_edge_mark'))
    )


def downgrade() -> None:
    """Take the change back."""
    for table in ('edge_mark', 'edge_study', 'edge_instance', 'edge_contact'):
        op.drop_table(table)
