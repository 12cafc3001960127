"""The table of bad inputs, one test a row and variant, against one hub that runs through them all.

The oracle after every case: the same processes run, an honest C-ECHO and a page are answered within
a second, memory grew by less than 64 MiB, nothing was written outside the store, an audit event was
written, no traceback and no patient data came back or stands in the log.
"""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.hostile.arena import Arena, Trial, open_arena
from tests.hostile.cases_associations import ASSOCIATION_CASES
from tests.hostile.cases_datasets import DATASET_CASES
from tests.hostile.cases_pixels import PIXEL_CASES
from tests.hostile.cases_queries import QUERY_CASES
from tests.hostile.cases_registry import REGISTRY_CASES
from tests.hostile.cases_text import TEXT_CASES
from tests.hostile.model import Case
from tests.hostile.oracle import watched
from tests.support.serving_hub import ROOT

CASES: tuple[Case, ...] = (
    *ASSOCIATION_CASES,
    *DATASET_CASES,
    *PIXEL_CASES,
    *TEXT_CASES,
    *QUERY_CASES,
    *REGISTRY_CASES,
)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with open_arena(tmp_path_factory.mktemp("hostile")) as arena:
        yield arena


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_bad_input_gets_its_answer_and_costs_nobody_else(
    arena: Arena, number: int, record_property: Callable[[str, object], None]
) -> None:
    case = CASES[number]
    trial = Trial(arena, number + 1)
    with watched(arena, trial) as seen:
        outcome = case.attack(trial)
    figures = f"{seen.seconds:6.2f} s {seen.grown_bytes / (1 << 20):6.1f} MiB"
    record_property("bad input", f"{case.name:36} {outcome:36} {figures}")
    assert not seen.complaints
    assert outcome == case.expected


def test_the_document_says_what_is_tested() -> None:
    """`docs/conformance/bad-inputs.md` has a row for each, with every outcome expected here."""
    page = (ROOT / "docs" / "conformance" / "bad-inputs.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE))
    expected: dict[str, list[str]] = {}
    for case in CASES:
        outcomes = expected.setdefault(str(case.row), [])
        if case.expected not in outcomes:
            outcomes.append(case.expected)
    assert said == {row: "; ".join(outcomes) for row, outcomes in expected.items()}
    assert set(map(int, said)) == set(range(1, 79))
