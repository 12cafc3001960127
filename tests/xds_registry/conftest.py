"""The fixtures of `tests.xds_registry.hub`, for every test beside it."""

from tests.xds_registry.hub import hub, web

__all__ = ["hub", "web"]
