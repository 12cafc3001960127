"""The published kit against a running product, as docs/operations.md tells engineers to run it."""

import json
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub_runtime.conformance.kit import PATIENT_DOMAIN
from hub_runtime.conformance.plan import GROUPS, why_not_run
from hub_runtime.demo.client import HttpClient
from tests.support.serving_hub import RunningHub, eirhub, running_hub
from tests.support.tools import require_conformance

# 15817 feeds the patient that the others submit and ask for.
NAMED = ("15817", "11990", "11991", "11992", "11993", "11996", "12000", "12001", "12084", "12379")
# Who loads has the higher number; one of a test has its reason why it is not run.
SOME = ("11897", "11990", "12021", "12038", "12361", "12364", "12346", "12093", "12318", "ids_4800")
SETTINGS = """
[hl7]
port = 0
[registry]
affinity_domain = "{codes}"
patient_domains = ["{oid}"]
[[identity.domains]]
namespace = "NIST"
oid = "{oid}"
senders = ["NIST2SOAP|T"]
"""


@dataclass(frozen=True)
class Trial:
    """A hub on the kit's codes, whose feed knows the kit's driver, and a token for it."""

    kit: Path
    hub: RunningHub
    token: str

    def run(self, kit: Path, *tests: str) -> list[dict[str, Any]]:
        """Run the command; returns what it wrote of each test."""
        out, hub = self.hub.data.parent / "result.json", self.hub
        arguments = ("--kit", kit, "--hub", hub.http, "--mllp", hub.hl7, "--out", out)
        said = eirhub(
            "conformance", "run", *tests, *arguments, "--token", self.token, data=hub.data
        )
        assert said.returncode == 0, said.stdout + said.stderr
        result: list[dict[str, Any]] = json.loads(out.read_text())["tests"]
        return result


@contextmanager
def trial_hub(root: Path) -> Iterator[Trial]:
    kit = require_conformance("nist").parent
    config = root / "kit.toml"
    codes = kit / "nist" / "environment" / "codes.xml"
    config.write_text(SETTINGS.format(codes=codes, oid=PATIENT_DOMAIN))
    with running_hub(root / "data", config=config) as hub:
        roles = ("--role", "radiologist", "--role", "document_source", "--role", "registrar")
        token = eirhub("token", "create", "kit", *roles, data=hub.data).stdout.split()[0]
        yield Trial(kit, hub, token)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with trial_hub(tmp_path_factory.mktemp("trial")) as trial:
        yield trial


def test_named_tests_run_in_their_order_and_the_table_is_on_its_page(trial: Trial) -> None:
    result = trial.run(trial.kit, *NAMED)
    page = _page(trial.hub)
    assert [one["test"] for one in result] == list(NAMED)
    passed = sum(one["passed"] for one in result)
    assert passed == 29
    assert all(test in page for test in NAMED)
    assert str(passed) in page


def test_without_names_who_loads_comes_before_who_asks_and_all_pass(
    trial: Trial, tmp_path: Path
) -> None:
    result = trial.run(only(trial.kit, tmp_path / "kit", SOME))
    assert {one["test"] for one in result} == set(SOME)
    assert sum(one["passed"] for one in result) == 54
    assert {one["test"]: one["reasons"] for one in result if not one["passed"]} == {
        "ids_4800": [why_not_run("ids_4800")]
    }


@pytest.mark.long
def test_the_whole_kit_passes_without_names(tmp_path: Path) -> None:
    with trial_hub(tmp_path) as trial:
        result = trial.run(trial.kit)
    there = {one.name for one in (trial.kit / "nist" / "tests").iterdir()}
    assert {one["test"] for one in result} == there
    ran = {test for group in GROUPS for test in group.tests}
    assert {one["test"] for one in result if one["passed"]} == ran


def only(kit: Path, folder: Path, tests: Collection[str]) -> Path:
    """Return a copy of the kit that has these tests alone."""
    for part in ("tools", "nist/environment", *(f"nist/tests/{test}" for test in tests)):
        shutil.copytree(kit / part, folder / part)
    return folder


def _page(hub: RunningHub) -> str:
    """Return the page of results as an engineer sees it."""
    added = eirhub("user", "add", "eng", "--role", "engineer", "--json", data=hub.data)
    password = json.loads(added.stdout)["password"]
    browser = HttpClient(hub.http)
    form = browser.get("/sign-in", Accept_Language="en").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', form)
    assert token
    answer = browser.post_form("/sign-in", csrf_token=token[1], username="eng", password=password)
    assert answer.status == 200
    return browser.get("/operations/conformance", Accept_Language="en").text
