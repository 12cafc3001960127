"""The published kit's tests of stored queries and of document administration, run by its driver.

The kit lies in ../shared/conformance/nist. Every step must pass but those that the plan names with
the reason why the hub is right; a step that passes against its reason is a change as well.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from hub_runtime.conformance.kit import Names
from hub_runtime.conformance.plan import (
    MANY_PATIENTS,
    OTHERS,
    QUERIES,
    REMOVALS,
    RESTRICTED,
    TWO_PATIENTS,
    UPDATES,
    Group,
)
from tests.conformance.nist_driver import Step, prepared, run_prepared
from tests.support.tools import require_conformance
from tests.xds_registry.trial import PATIENT_DOMAIN, REPOSITORY_UID, served, trial

RUNS: tuple[tuple[Group, int], ...] = (
    (MANY_PATIENTS, 10),
    (QUERIES, 56),
    (TWO_PATIENTS, 16),
    (UPDATES, 186),
    (REMOVALS, 42),
    (RESTRICTED, 108),
    (OTHERS, 3),
)


@pytest.mark.parametrize(("group", "passed"), RUNS, ids=[group.name for group, _ in RUNS])
def test_every_step_passes_but_those_with_a_reason(
    tmp_path: Path, group: Group, passed: int
) -> None:
    steps = run(tmp_path, group.tests)
    unlike = {name: one for name, one in steps.items() if one.outcome != "pass"}
    assert set(unlike) == set(group.excused), unlike
    assert len(steps) - len(unlike) == passed


def run(root: Path, tests: Sequence[str]) -> dict[str, Step]:
    """Run tests against a fresh hub; returns what became of every step."""
    kit = require_conformance("nist").parent
    domain = kit / "nist" / "environment" / "codes.xml"
    with trial(root, domain) as here, served(here.application) as base:
        first, second, third = map(here.know, ("NIST-1", "NIST-2", "NIST-3"))
        names = Names(first, second, third, repository=REPOSITORY_UID)
        options = ["--pid", first, "--altpid", second, "--aa", PATIENT_DOMAIN]
        options += ["--registry", f"{base}/xds/registry", "--repository", f"{base}/xds/repository"]
        return run_prepared(prepared(kit, root, tests, names), tests, options)
