"""Make a hub of a full export, on an empty host."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import delete

from hub_kernel.database import Database
from hub_kernel.settings import Settings
from hub_runtime.backup.restoring import Restored, restore
from hub_runtime.exit.folder import ExportFolder
from image_archive.compaction import MASTER
from image_archive.tables import COMPACTION

Progress = Callable[[int, int], None]


def import_everything(
    folder: Path, settings: Settings, show: Callable[[str], Progress], passphrase: str = ""
) -> Restored:
    """Bring back the hub that `folder` is an export of; raises as `restore`.

    Every instance comes back as its original: what was compacted has its turn again.
    """
    back = restore(ExportFolder(folder), settings, show, passphrase)
    database = Database(settings.database_url)
    with database.unit_of_work() as work:
        work.session.execute(delete(COMPACTION).where(COMPACTION.c.outcome == MASTER))
    database.dispose()
    return back
