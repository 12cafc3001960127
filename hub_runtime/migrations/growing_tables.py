"""What migrations do to tables that grow without end, while hubs go on writing to them."""

from collections.abc import Sequence
from typing import Any

from alembic import op


def create_index_meanwhile(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Create an index on a table that was there before; on PostgreSQL nobody waits for it.

    It takes two looks at the whole table and waits for transactions that are older than it, as that
    of a backup. What the migration did before is committed, so call this last. An index that an
    interrupted run left half made is made again.
    """
    context = op.get_context()
    if context.dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    with context.autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
