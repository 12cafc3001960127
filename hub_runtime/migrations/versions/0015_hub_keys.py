"""The fingerprints of the keys that every machine of a hub must hold."""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

# A hub of the version before goes on working beside this change (see hub_runtime/schema.py).
expands = True


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        'hub_key',
        sa.Column('name', sa.String(length=32), nullable=False),
        sa.Column('fingerprint', sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_hub_key')),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('hub_key')
