"""Settings of the port at which each process of a hub is watched."""

from hub_kernel.settings_types import Port, Section


class MonitorSettings(Section):
    """What watches each process asks: `/healthz`, `/readyz`, `/metrics`, without sign-in."""

    bind: str = "127.0.0.1"
    """Address it listens on; beyond this machine only a network for management."""
    port: Port | None = None
    """Port; none opens none, 0 takes any free port and the ready line says which."""
