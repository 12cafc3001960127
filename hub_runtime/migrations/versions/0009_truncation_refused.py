"""Let append-only tables that were made before refuse TRUNCATE on PostgreSQL too."""

from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

_UNGUARDED = """
SELECT c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE t.tgname = c.relname || '_no_change' AND NOT EXISTS (
  SELECT 1 FROM pg_trigger AS other
  WHERE other.tgrelid = c.oid AND other.tgname = c.relname || '_no_truncate')
ORDER BY c.relname
"""


def upgrade() -> None:
    """Apply the change."""
    connection = op.get_bind()
    if connection.dialect.name != 'postgresql':
        return
    for table in connection.exec_driver_sql(_UNGUARDED).scalars().all():
        connection.exec_driver_sql(
            f'CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} '
            f'FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()'
        )
