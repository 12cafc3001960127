"""Fixtures of the gateway's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge_gateway.region import Region, open_region


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with open_region(tmp_path) as opened:
        yield opened
