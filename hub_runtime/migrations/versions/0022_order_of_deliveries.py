"""An index in the order in which deliveries are claimed, for a backlog of any length.

Revision ID: 0022
Revises: 0021
"""

from alembic import op

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index(
        'ix_outbox_delivery_order', 'outbox_delivery', ['state', 'urgent', 'delivery_id']
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index('ix_outbox_delivery_order', 'outbox_delivery')
