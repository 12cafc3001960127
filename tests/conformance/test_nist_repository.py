"""The published kit's tests of a document repository: ITI-41, ITI-43, ITI-86.

Its tests are filled in as its instructions ask (`hub_runtime.conformance`); some bodies are to be
sent as they lie in its files, and are sent here.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from lxml import etree

from hub_runtime.conformance.kit import Names
from hub_runtime.conformance.plan import REPOSITORY
from tests.conformance.nist_driver import prepared, run_prepared
from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.trial import REPOSITORY_UID, Trial, served, trial

# Steps of each test that are judged: 12021 retrieves two documents.
JUDGED = {
    "11966": 2,
    "11981": 4,
    "11983": 4,
    "11986": 1,
    "12021": 3,
    "12038": 1,
    "12083": 1,
    "12360": 3,
    "12369": 2,
    "12373": 1,
    "12344": 5,
    "12345": 5,
    "15807": 5,
    "15816": 5,
    "50001": 6,
    "50002": 5,
    "50003": 5,
    "ReposAcceptanceTest-1111": 2,
    "ReposAcceptanceTest-1112": 3,
    "ReposAcceptanceTest-1113": 5,
}
BODIES = (
    "PnrNoXop/submit",
    "PnrXop/Xop",
    "PnrXop/NoXop",
    "PnrXop/encodedURL",
    "PnrXop/dicom",
)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit's affinity domain, with the codes of the bodies."""
    source = require_conformance("nist")
    codes = tmp_path_factory.mktemp("domain") / "codes.xml"
    shutil.copyfile(source / "environment" / "codes.xml", codes)
    _know_the_codes_of((source / "tests" / folder / "body.txt" for folder in BODIES), codes)
    return codes


def _know_the_codes_of(bodies: Iterable[Path], codes: Path) -> None:
    """Add the codes of bodies that were written for an older edition of the kit's list."""
    listed = etree.parse(codes)
    for body in bodies:
        envelope = re.search(r"<[a-z]*:?Envelope.*Envelope>", body.read_text(), re.S)
        assert envelope, body
        for one in etree.fromstring(envelope[0]).iterfind(
            ".//{*}Classification[@nodeRepresentation]"
        ):
            scheme = one.findtext("{*}Slot[@name='codingScheme']//{*}Value")
            kind = listed.find(f"CodeType[@classScheme='{one.get('classificationScheme')}']")
            if scheme and kind is not None:
                code = str(one.get("nodeRepresentation"))
                etree.SubElement(kind, "Code", code=code, display=code, codingScheme=scheme.strip())
    listed.write(codes)


@dataclass(frozen=True)
class Hub:
    """A hub's parts, and where it listens."""

    here: Trial
    base: str


@pytest.fixture
def hub(tmp_path: Path, domain: Path) -> Iterator[Hub]:
    with trial(tmp_path, domain) as here, served(here.application) as base:
        yield Hub(here, base)


def test_every_step_of_the_repository_tests_passes(hub: Hub, tmp_path: Path) -> None:
    names = Names(hub.here.know("NIST-1"), repository=REPOSITORY_UID)
    there = prepared(require_conformance("nist").parent, tmp_path, REPOSITORY.tests, names)
    options = ["--pid", names.patient, "--registry", f"{hub.base}/xds/registry"]
    options += ["--repository", f"{hub.base}/xds/repository"]
    outcomes = run_prepared(there, REPOSITORY.tests, options)
    for name, reason in REPOSITORY.excused.items():
        assert outcomes.pop(name).outcome == "skip", reason
    counted = Counter(one.outcome for one in outcomes.values())
    print(f"repository: {dict(counted)}, {len(REPOSITORY.excused)} not applicable")  # noqa: T201
    assert {name: one.why for name, one in outcomes.items() if one.outcome != "pass"} == {}
    assert Counter(name.partition("/")[0] for name in outcomes) == JUDGED


@pytest.mark.parametrize("folder", BODIES)
def test_a_body_of_another_stack_is_taken_as_it_was_sent(hub: Hub, folder: str) -> None:
    """Bodies that other repositories' sources wrote: with XOP, without, with an encoded cid."""
    pid = hub.here.know("NIST-1").replace("&", "&amp;")
    test = require_conformance("nist", "tests") / folder
    text = (test / "body.txt").read_text().replace("\n", "\r\n")
    text = re.sub(r'value="[^"]*\^\^\^&amp;[^"]*&amp;ISO"', f'value="{pid}"', text)
    content_type = re.search(r"Content-Type:(.*)", (test / "testplan.xml").read_text())[1].strip()  # type: ignore[index]
    response = requests.post(
        f"{hub.base}/xds/repository",
        text.encode(),
        headers={"Content-Type": content_type},
        timeout=30,
    )
    answer = wire.payload(response)
    reasons = "\n".join(str(one.get("codeContext")) for one in answer.iter("{*}RegistryError"))
    assert wire.status(answer) == "Success", reasons
