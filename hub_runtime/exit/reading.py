"""Make a hub of a full export, on an empty host."""

from collections.abc import Callable
from pathlib import Path

from hub_kernel.settings import Settings
from hub_runtime.backup.restoring import Restored, restore
from hub_runtime.exit.folder import ExportFolder

Progress = Callable[[int, int], None]


def import_everything(
    folder: Path, settings: Settings, show: Callable[[str], Progress], passphrase: str = ""
) -> Restored:
    """Bring back the hub that `folder` is an export of; raises as `restore`.

    Every instance comes back as its original: what was compacted has its turn again.
    """
    return restore(ExportFolder(folder), settings, show, passphrase)
