"""How far Orthanc's change feed has been followed.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        'orthanc_position',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('number', sa.BigInteger(), nullable=False),
        sa.Column('kind', sa.String(length=40), nullable=False),
        sa.Column('resource_id', sa.String(length=64), nullable=False),
        sa.Column('changed_at', sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_orthanc_position')),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('orthanc_position')
