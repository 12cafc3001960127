"""Whatever bytes come, parsers read or refuse them with the error they document, and soon."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.fuzz_targets import SEEDS, TARGETS
from tests.support.serving_hub import ROOT

# pydicom says what it dislikes; the hub does not repeat it.
pytestmark = pytest.mark.filterwarnings("ignore")
INPUT_S = 5.0
FOUND = Path(__file__).parent / "found"
_WORDS = (
    b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80", b"\xe0\x7f\x10\0",
    b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\x1b$)A",
    b"SQ", b"UN", b"OB", b"ZZ", b"US", b"\\", b"=", b"^",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """A seed with pieces replaced, inserted, left out or repeated; now and then mere noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(SEEDS[name])))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 8))
        piece = draw(st.one_of(st.binary(max_size=6), st.sampled_from(_WORDS)))
        repeated = bytes(data[at : at + draw(st.integers(0, 64))])
        data[at:end] = draw(st.sampled_from([piece, piece, repeated * 2]))
    return bytes(data)


def check(name: str, data: bytes) -> None:
    started = time.process_time()
    TARGETS[name](data)
    assert time.process_time() - started < INPUT_S


def hunt(name: str, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(data=mutated(name))
    def stands(data: bytes) -> None:
        check(name, data)

    stands()


@pytest.mark.parametrize("name", TARGETS)
def test_honest_inputs_are_read(name: str) -> None:
    for seed in SEEDS[name]:
        check(name, seed)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.bin")), ids=lambda path: path.stem)
def test_what_was_found_once_is_stood(path: Path) -> None:
    """The name says the target and why: pydicom raises more than its documentation says."""
    check(path.stem.partition("-")[0], path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_bytes_are_read_or_refused_and_nothing_else(name: str) -> None:
    hunt(name, 150)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", TARGETS)
def test_many_mutated_bytes_are_read_or_refused_and_nothing_else(name: str) -> None:
    hunt(name, 10_000)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_a_fuzzer_guided_by_coverage_finds_nothing(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: pip install atheris")
    command = [sys.executable, "-m", "tests.hostile.fuzz", name, "60", str(tmp_path / "corpus")]
    hunted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert hunted.returncode == 0, hunted.stderr[-4000:]
