"""Sites with quotas, allowed SOP classes, priority and TLS; certificates of sites; daily usage."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    json = sa.JSON(none_as_null=True)
    for column in (
        sa.Column('allowed_sop_classes', json, server_default='[]', nullable=False),
        sa.Column('max_bytes_per_day', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('max_associations', sa.Integer(), server_default='0', nullable=False),
        sa.Column('priority', sa.String(length=16), server_default='normal', nullable=False),
        sa.Column('tls_only', sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column('site', column)
    for column in (
        sa.Column('site_id', sa.String(length=64), nullable=True),
        sa.Column('ae_titles', json, nullable=True),
        sa.Column('issued_here', sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column('machine_certificate', column)
    op.create_index('ix_machine_certificate_site_id', 'machine_certificate', ['site_id'])
    op.create_table(
        'site_usage',
        sa.Column('site_id', sa.String(length=64), nullable=False),
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('received_bytes', sa.BigInteger(), nullable=False),
        sa.Column('instances', sa.BigInteger(), nullable=False),
        sa.Column('refused', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('site_id', 'day', name=op.f('pk_site_usage')),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('site_usage')
    op.drop_index('ix_machine_certificate_site_id', 'machine_certificate')
    for name in ('issued_here', 'ae_titles', 'site_id'):
        op.drop_column('machine_certificate', name)
    for name in (
        'tls_only',
        'priority',
        'max_associations',
        'max_bytes_per_day',
        'allowed_sop_classes',
    ):
        op.drop_column('site', name)
