"""The fixtures of `hub`, `asking` and `administered`, for every test beside them."""

from tests.xds_registry.administered import desk
from tests.xds_registry.asking import ask
from tests.xds_registry.hub import hub, web

__all__ = ["ask", "desk", "hub", "web"]
