"""One world for each test, on SQLite; some tests take it on PostgreSQL too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_router.forwarding.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()
