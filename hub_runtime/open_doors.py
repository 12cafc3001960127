"""Trial settings open the hub to everybody: only while nobody beyond this machine can come in."""

import ipaddress
import logging

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings

log = logging.getLogger(__name__)


def refuse_open_doors(settings: Settings) -> None:
    """Let trial settings pass only while every listener is on loopback, and say so loudly.

    Raises:
        ConfigurationError: a door is open beyond this machine.
    """
    open_doors = {
        "router.accept_unknown_ae": settings.router.accept_unknown_ae,
        "access.machine_authentication": settings.access.machine_authentication == "none",
    }
    for name in (name for name, is_open in open_doors.items() if is_open):
        for key, bind in _listeners(settings):
            if not _is_loopback(bind):
                raise ConfigurationError(
                    f"{name} opens the hub to everybody, so every listener must be on loopback; "
                    f"{key}.bind is {bind}"
                )
        log.warning("%s is for trials: anybody on this machine may come in", name)


def _listeners(settings: Settings) -> tuple[tuple[str, str], ...]:
    return (
        ("router", settings.router.bind),
        ("web", settings.web.bind),
        ("hl7", settings.hl7.bind),
        ("monitor", settings.monitor.bind),
    )


def _is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"
