"""The hub's tables in a new SQLite file, copied from one that this process has made already.

Making a hundred tables and their triggers takes longer than most tests that need them.
"""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from hub_kernel.database import Base, Database


def create_tables(database: Database) -> None:
    """Give `database`, which has not been connected to, every table of the imported packages."""
    url = database.engine.url
    if url.get_backend_name() != "sqlite" or not url.database or Path(url.database).exists():
        database.create_all()
        return
    shutil.copyfile(_template(frozenset(Base.metadata.tables)), url.database)


@functools.cache
def _template(_tables: frozenset[str]) -> Path:
    """Return a file with the tables known now; a module imported later may bring more."""
    folder = Path(tempfile.mkdtemp(prefix="eirhub-tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Database(f"sqlite:///{folder / 'hub.sqlite'}")
    made.create_all()
    # The last connection writes what is in the log into the file.
    made.dispose()
    return folder / "hub.sqlite"
