"""Whether the order behind a study was urgent.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column(
        'study', sa.Column('emergency', sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column('study', 'emergency')
