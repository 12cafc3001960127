"""Codestreams with a few bytes changed: a decoder child may die, whoever asked it never does."""

import io
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import psutil
import pytest

from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import PictureJob
from tests.eir_versions.builders import encapsulated, image_dataset, part10_of_new_syntax
from tests.hostile.oracle import GROWTH_BYTES

pytestmark = pytest.mark.filterwarnings("ignore")
_EIGHT = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)
CODECS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg": ("1.2.840.10008.1.2.4.50", lambda: imagecodecs.jpeg8_encode(_EIGHT)),
    "lossless": ("1.2.840.10008.1.2.4.70", lambda: imagecodecs.ljpeg_encode(_EIGHT)),
    "jpeg-ls": ("1.2.840.10008.1.2.4.80", lambda: imagecodecs.jpegls_encode(_EIGHT)),
    "j2k": (
        "1.2.840.10008.1.2.4.90",
        lambda: imagecodecs.jpeg2k_encode(_EIGHT, codecformat="j2k"),
    ),
    "htj2k": ("1.2.840.10008.1.2.4.201", lambda: imagecodecs.htj2k_encode(_EIGHT)),
    "jpeg-xl": (
        "1.2.840.10008.1.2.4.110",
        lambda: imagecodecs.jpegxl_encode(_EIGHT, lossless=True),
    ),
    "deflated": ("1.2.840.10008.1.2.8.1", lambda: zlib.compress(_EIGHT.tobytes(), wbits=-15)),
}
COUNTS = [
    pytest.param(60, id="60"),
    pytest.param(2_000, id="2000", marks=(pytest.mark.long, pytest.mark.timeout(3600))),
]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", CODECS)
def test_a_mutated_codestream_is_shown_or_refused(name: str, count: int) -> None:
    """Seven codings with two thousand each are the fourteen thousand of the long run."""
    syntax, encode = CODECS[name]
    whole, chance = encode(), np.random.default_rng(count)
    pool = DecoderPool(PoolLimits(processes=1, memory_mb=1024, timeout_s=10))
    try:
        assert _picture(pool, syntax, whole), "the control: the honest one is shown"
        before = psutil.Process().memory_info().rss
        outcomes = [_picture(pool, syntax, _mutated(whole, chance)) for _ in range(count)]
        assert {True, False} >= set(outcomes)
        assert psutil.Process().memory_info().rss - before < GROWTH_BYTES
        assert _picture(pool, syntax, whole), "and is shown still"
    finally:
        pool.stop()


def _mutated(whole: bytes, chance: np.random.Generator) -> bytes:
    stream = bytearray(whole)
    for _ in range(int(chance.integers(1, 12))):
        stream[int(chance.integers(len(stream)))] = int(chance.integers(256))
    return bytes(stream)


def _picture(pool: DecoderPool, syntax: str, stream: bytes) -> bool:
    dataset: Any = encapsulated(image_dataset(_EIGHT), [stream])
    try:
        pool.picture(io.BytesIO(part10_of_new_syntax(dataset, syntax)), PictureJob())
    except UnrenderableInstanceError:
        return False
    return True
