"""The fixtures of `tests.xds_registry.mhd.endpoint`, for every test beside it."""

from tests.xds_registry.mhd.endpoint import fhir

__all__ = ["fhir"]
