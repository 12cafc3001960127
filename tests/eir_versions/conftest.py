from collections.abc import Iterator
from pathlib import Path

import pytest

from eir_versions.decoding import DecoderPool, PoolLimits
from tests.eir_versions.hubs import Hub, made_hub
from tests.support.clock import FixedClock


@pytest.fixture(scope="session")
def pool() -> Iterator[DecoderPool]:
    """One pool for all tests that do not harm it."""
    pool = DecoderPool(PoolLimits(processes=2, memory_mb=2048, timeout_s=60.0))
    yield pool
    pool.stop()


@pytest.fixture
def hub(tmp_path: Path, clock: FixedClock, pool: DecoderPool) -> Iterator[Hub]:
    """An empty archive with the version service on top."""
    made = made_hub(tmp_path, clock, pool, None)
    yield made
    made.database.dispose()
