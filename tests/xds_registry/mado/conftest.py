"""A hub that writes manifests in both forms, and its FHIR endpoint."""

from dataclasses import replace

import pytest

from tests.xds_registry.hub import Hub
from tests.xds_registry.mhd.endpoint import fhir
from xds_registry.service import Registry

__all__ = ["fhir"]


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """The hub of the folder above, its registry with FHIR manifests turned on."""
    old = hub.registry
    names = replace(old._names, fhir_manifests=True)
    hub.registry = Registry(old._parts, names, old._domain)
    return hub
