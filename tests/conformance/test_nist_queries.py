"""The published kit's tests of stored queries and of document administration, run by its driver.

The kit lies in ../shared/conformance/nist. Every step must pass but those named here with the
reason why the hub is right; a step that passes against its reason is a change as well.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.conformance.nist_assertions import completed_kit, for_another_patient, tell
from tests.conformance.nist_driver import Step, completed_tests, run_driver
from tests.support.tools import require_conformance
from tests.xds_registry.trial import PATIENT_DOMAIN, served, trial

PATIENT = f"NIST-1^^^&{PATIENT_DOMAIN}&ISO"
CONTRADICTS = "the plan wants twice what is once in the documents that it registers and asks for"
BY_HAND = "the update in between is sent by hand, from the administrator that is tested"
NO_REQUEST = "the plan resets the toolkit's own memory and sends nothing"

QUERIES = "12346 11897 11901 11903 11906 11907 15803"
TWO_PATIENTS = "12346 12374 12368"
MANY_PATIENTS = "12361 12364"
UPDATES = (
    "15800 15800b 15800d 15800e 15801 15802 15802b 12319 20000d 20000e 20000f 20001 20002b 20003 "
    "20007 20008 21000 21001 21002 21003 21004"
)
REMOVALS = "30000 30003 30005 30006 30007"
RESTRICTED = "40000 40000c 40001 40001b 40007 40030b 40030c 40037"
OTHERS = "15812 XdsDocAdminTest-1111"

RUNS: tuple[tuple[str, int, Mapping[str, str]], ...] = (
    (QUERIES, 56, {}),
    (TWO_PATIENTS, 16, {"12374/reset_patient_id/reset_patient_id": NO_REQUEST}),
    (MANY_PATIENTS, 10, {}),
    (
        UPDATES,
        186,
        {
            "15801/author/validate": CONTRADICTS,
            "15801/eventCode/validate": CONTRADICTS,
            "15801/hcftc/validate": CONTRADICTS,
        },
    ),
    (REMOVALS, 42, {}),
    (
        RESTRICTED,
        108,
        {
            "40001/author/validate": CONTRADICTS,
            "40001/eventCode/validate": CONTRADICTS,
            "40001/hcftc/validate": CONTRADICTS,
        },
    ),
    (
        OTHERS,
        3,
        {
            "XdsDocAdminTest-1111/MetadataUpdate/validate": BY_HAND,
            "XdsDocAdminTest-1111/Query/verify_confidentialityCode": BY_HAND,
        },
    ),
)


@pytest.mark.parametrize(
    ("tests", "passed", "others"), RUNS, ids=[tests.split()[-1] for tests, *_ in RUNS]
)
def test_every_step_passes_but_those_with_a_reason(
    tmp_path: Path, tests: str, passed: int, others: Mapping[str, str]
) -> None:
    steps = run(tmp_path, tests.split())
    unlike = {name: one for name, one in steps.items() if one.outcome != "pass"}
    assert set(unlike) == set(others), unlike
    assert len(steps) - len(unlike) == passed


def run(root: Path, tests: Sequence[str]) -> dict[str, Step]:
    """Run tests against a fresh hub; returns what became of every step."""
    kit = require_conformance("nist").parent
    domain = kit / "nist" / "environment" / "codes.xml"
    with trial(root, domain) as here, served(here.application) as base:
        people = {name: here.know(name) for name in ("NIST-1", "NIST-2", "NIST-3")}
        symbols = {"$patientid$": PATIENT, "$patient_id$": PATIENT}
        symbols["$repuid$"] = "1.19.6.24.109.42.1"
        folder = completed_tests(kit, root, tests, symbols)
        _adapt(folder, people["NIST-2"], people["NIST-3"])
        options = ["--pid", PATIENT, "--altpid", people["NIST-2"], "--aa", PATIENT_DOMAIN]
        options += ["--registry", f"{base}/xds/registry", "--repository", f"{base}/xds/repository"]
        return run_driver(completed_kit(kit, root), folder, tests, options)


def _adapt(folder: Path, second: str, third: str) -> None:
    for section, symbol, value in (
        ("12361/single_doc", "$patient_id2$", second),
        ("12361/multi_doc", "$patient_id1$", third),
        ("12364/one_pid", "$patient_id$", second),
        ("12364/multi_pid", "$patient_id1$", second),
        ("12364/multi_pid", "$patient_id2$", third),
        ("21001/original", "$patientidDE$", PATIENT),
        ("21002/original", "$patientidDE$", PATIENT),
        ("40001b/patientId", "$patientid1$", PATIENT),
        ("21002/update", "$patientidDENew$", second),
        ("21003/update", "$patientid2$", second),
        ("40001b/patientId", "$patientid2$", second),
    ):
        if (folder / section).exists():
            tell(folder / section, symbol, value)
    if (folder / "12374").exists():
        for_another_patient(folder / "12374")
