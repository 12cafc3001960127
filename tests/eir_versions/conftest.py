from collections.abc import Iterator

import pytest

from eir_versions.decoding import DecoderPool, PoolLimits


@pytest.fixture(scope="session")
def pool() -> Iterator[DecoderPool]:
    """One pool for all tests that do not harm it."""
    pool = DecoderPool(PoolLimits(processes=2, memory_mb=2048, timeout_s=60.0))
    yield pool
    pool.stop()
