"""The file that says: a restore to this data folder is under way."""

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings

MARKER = "restoring.json"


def refuse_half_restored(settings: Settings) -> None:
    """Refuse to work with a data folder that a restore has not finished.

    Raises:
        ConfigurationError: it is one.
    """
    if (settings.hub.data_dir / MARKER).exists():
        raise ConfigurationError(
            f"{settings.hub.data_dir} is half restored: run eirhub restore (or import) again to "
            "finish it"
        )
