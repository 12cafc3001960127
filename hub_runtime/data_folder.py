"""Whose the data folder is: only the account that the hub runs under can work on it."""

import os
import pwd
from pathlib import Path

from hub_kernel.errors import ConfigurationError


def refuse_foreign_folder(data: Path) -> None:
    """Do nothing if this account may use what is in `data`, or there is nothing yet.

    Raises:
        ConfigurationError: it may not; says whose the folder is.
    """
    for path, needed in (
        (data, os.R_OK | os.W_OK | os.X_OK),
        (data / "secrets", os.R_OK | os.W_OK | os.X_OK),
        (data / "eirhub.sqlite", os.R_OK | os.W_OK),
    ):
        try:
            owner = _name(path.stat().st_uid)
        except OSError:  # not there yet; what cannot be made is said when it is made
            continue
        if not os.access(path, needed):
            raise ConfigurationError(
                f"hub.data_dir: {path} is not for the account {_name(os.geteuid())}; run this as "
                f"the one that the hub runs under: sudo -u {owner} eirhub ..."
            )


def _name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)
