"""Find the files that ship with the hub: recipes, affinity domain, the demo's region.

In a checkout they lie in `config/` beside the packages; an installed hub has them under
`share/eirhub/config` of its environment.
"""

import sys
import sysconfig
from pathlib import Path

from hub_kernel.errors import ConfigurationError

_CHECKOUT = Path(__file__).resolve().parent.parent / "config"


def shipped_config(name: str) -> Path:
    """Return the path of a file or folder that ships with the hub.

    Raises:
        ConfigurationError: the installation is incomplete.
    """
    places = (_CHECKOUT, *(root / "share" / "eirhub" / "config" for root in _roots()))
    for place in places:
        if (place / name).exists():
            return place / name
    raise ConfigurationError(f"{name} is missing from this installation; install the hub again")


def _roots() -> tuple[Path, ...]:
    """Where `pip install` puts data files: the environment, or the user's own scheme."""
    user = sysconfig.get_path("data", f"{sysconfig.get_preferred_scheme('user')}")
    return (Path(sys.prefix), Path(sysconfig.get_path("data")), Path(user))
