"""What each migration of a database was, noted beside it for hubs that are older than it.

During a rolling upgrade processes of two versions work on one database. The newer one has migrated
it; the older one finds a revision it does not know, and here whether that only *expanded* the
schema: new tables, new columns that are empty or have a default, new indexes. Then nothing it does
has changed. A migration says so itself (`expands = True`); one that says nothing does not.
"""

from collections.abc import Iterable

from alembic.script import Script
from sqlalchemy import Boolean, Column, Connection, MetaData, String, Table, insert, inspect, select

from hub_kernel.errors import ConfigurationError

# Beside Alembic's own table, and like that one no part of the hub's models.
_STEPS = Table(
    "schema_step",
    MetaData(),
    Column("revision", String(32), primary_key=True),
    Column("follows", String(32), nullable=False),
    Column("expands", Boolean, nullable=False),
)


def note_steps(connection: Connection, scripts: Iterable[Script]) -> None:
    """Write down what is not yet noted of the migrations this version knows."""
    _STEPS.create(connection, checkfirst=True)
    noted = set(connection.scalars(select(_STEPS.c.revision)))
    for script in scripts:
        if script.revision not in noted:
            connection.execute(
                insert(_STEPS).values(
                    revision=script.revision,
                    follows=script.down_revision or "",
                    expands=bool(getattr(script.module, "expands", False)),
                )
            )


def require_expanded_only(connection: Connection, current: str | None, known: str) -> None:
    """Return when all that lies between `known` and `current`, a later revision, expands.

    Raises:
        ConfigurationError: something was changed that a hub at `known` relies on, or may have been.
    """
    steps = {}
    if inspect(connection).has_table(_STEPS.name):
        steps = {row.revision: row for row in connection.execute(select(_STEPS))}
    at = current or ""
    while at != known:
        step = steps.pop(at, None)
        if step is None or not step.expands:
            raise ConfigurationError(
                f"the database is at revision {current}, which this version does not know; "
                "start the version of the hub that last used it, or a newer one"
            )
        at = step.follows


def is_not_of_steps(name: str | None, kind: str, _parents: object) -> bool:
    """Tell Alembic's comparison to leave the table of steps out."""
    return kind != "table" or name != _STEPS.name
