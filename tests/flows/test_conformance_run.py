"""The published kit against a running product, as docs/operations.md tells engineers to run it."""

import json
import re
from pathlib import Path

from hub_runtime.demo.client import HttpClient
from tests.support.serving_hub import eirhub, running_hub
from tests.support.tools import require_conformance

PATIENTS = "1.3.6.1.4.1.21367.2005.13.20.1000"
# 15817 feeds the patient that the others submit and ask for.
TESTS = ("15817", "11990", "11991", "11992", "11993", "11996", "12000", "12001", "12084", "12379")
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


def test_the_kit_runs_against_a_served_hub_and_the_table_is_on_its_page(tmp_path: Path) -> None:
    kit = require_conformance("nist").parent
    data, config, out = tmp_path / "data", tmp_path / "kit.toml", tmp_path / "result.json"
    codes = kit / "nist" / "environment" / "codes.xml"
    config.write_text(SETTINGS.format(codes=codes, oid=PATIENTS))
    with running_hub(data, config=config) as hub:
        roles = ("--role", "radiologist", "--role", "document_source")
        token = eirhub("token", "create", "kit", *roles, data=data).stdout.split()[0]
        arguments = ("--kit", kit, "--hub", hub.http, "--mllp", hub.hl7, "--out", out)
        said = eirhub("conformance", "run", *TESTS, *arguments, "--token", token, data=data)
        assert said.returncode == 0, said.stdout + said.stderr
        result = json.loads(out.read_text())
        assert [one["test"] for one in result["tests"]] == list(TESTS)
        added = eirhub("user", "add", "eng", "--role", "engineer", "--json", data=data)
        page = _page(hub.http, json.loads(added.stdout)["password"])
    passed = sum(one["passed"] for one in result["tests"])
    assert passed == 29
    assert all(test in page for test in TESTS)
    assert str(passed) in page


def _page(base: str, password: str) -> str:
    """Return the page of results as an engineer sees it."""
    browser = HttpClient(base)
    form = browser.get("/sign-in", Accept_Language="en").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', form)
    assert token
    answer = browser.post_form("/sign-in", csrf_token=token[1], username="eng", password=password)
    assert answer.status == 200
    return browser.get("/operations/conformance", Accept_Language="en").text
