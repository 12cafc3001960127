"""The published kit's tests of images and of other communities: RAD-69, RAD-75, XCA.

The kit lies in ../shared/conformance/nist; its driver sends the requests. The images that the tests
are about are not in the kit: here images of our own lie under the UIDs that the requests name, so
that what a test says of statuses, errors, communities and documents can be judged. What it says of
the pixels (`sameDcmImgs`) and of what the hub sent on to a simulator of the toolkit (`sameReqImgs`)
cannot. What the driver cannot judge of an answer is judged here, from the plan's own
`Standard`. Every step passes but those named here with the reason.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_runtime.conformance.kit import Names
from hub_runtime.conformance.plan import PUBLIC_REGISTRY, RESPONDING
from tests.conformance.nist_driver import prepared, run_driver, run_prepared
from tests.conformance.nist_image_answers import judged
from tests.conformance.nist_images import cases, kit, load_images, parsed, texts_of
from tests.xds_registry import wire
from tests.xds_registry.districts import District, Named, running_district
from tests.xds_registry.imaging_wire import ITI38
from tests.xds_registry.trial import served
from xds_registry.gateways.communities import Community

AUTHORITY = "1.3.6.1.4.1.21367.2005.13.20.1000"
ROOT = "1.3.6.1.4.1.21367.13"
SOURCE_HOME, SOURCE = f"urn:oid:{ROOT}.70.200", f"{ROOT}.80.110"
GATEWAY_HOME, SOURCE_E, SOURCE_F = f"urn:oid:{ROOT}.70.201", f"{ROOT}.71.201.1", f"{ROOT}.71.201.2"
HOME_A, SOURCE_A = f"urn:oid:{ROOT}.70.101", f"{ROOT}.71.101"
HOME_B, SOURCE_B = f"urn:oid:{ROOT}.70.102", f"{ROOT}.71.102"
SUBMITTED = "compares a submission to the toolkit's repository with one that is not in the kit"
HAND = "one manifest of the kit's images is judged, and the kit ships none of those images"
WADO = "the driver sends no WADO request; the same cases are in tests/viewer_api/test_wado_uri.py"
TWO_SOURCES = "a gateway before two imaging sources: a hub is the one source of its community"
READ_ME = "an introduction without a step"
ASYNCHRONOUS = "the asynchronous exchange is not offered: no address of a message is called"
SOURCE_TESTS = (
    "ids_2018-4803b", "ids_2018-4803c", "ids_4810", "ids_4811", "ids_4812", "ids_4820",
)  # fmt: skip
RESPONDING_TESTS = (
    "rig_2018-5421a", "rig_2018-5421b", "rig_2018-5422a", "rig_2018-5422b", "rig_2018-5424a",
    "rig_2018-5424b", "rig_2018-5424c", "rig_5420", "rig_5422", "rig_5424", "rig_5425", "rig_5426",
    "rig_5427",
)  # fmt: skip
OTHER_SOURCE_TESTS = ("rig_5428",)
INITIATING_TESTS = (
    "iig_2018-5401a", "iig_2018-5403a", "iig_2018-5404b", "iig_2018-5405b", "iig_5400", "iig_5401",
    "iig_5402", "iig_5403", "iig_5407", "iig_5408", "iig_5409"
)  # fmt: skip
# The tests of the kit in this area that cannot be run, and why.
NOT_APPLICABLE = {
    "ids-1001": HAND,
    "ids_2018-4800": READ_ME,
    "ids_2018-4801a": SUBMITTED,
    "ids_2018-4801b": SUBMITTED,
    "ids_2018-4801c": SUBMITTED,
    "ids_2018-4802a": WADO,
    "ids_4800": READ_ME,
    "ids_4802": SUBMITTED,
    "ids_4806": WADO,
    "ids_4807": WADO,
    "ids_4808": WADO,
    "ids_4809": WADO,
    "idc_2018-4830": READ_ME,
    "idc_2018-4832a": "asks a document consumer to act; the hub is none",
    "idc_2018-4832b": "asks a document consumer to act; the hub is none",
    "idc_4830": READ_ME,
    "idc_4835": "asks a document consumer to act; the hub is none",
    "idc_4837": "asks a document consumer to act; the hub is none",
    "idc_4838": "asks a document consumer to act; the hub is none",
    "iig_5399": READ_ME,
    "rig_2018-5423a": TWO_SOURCES,
    "rig_5429": TWO_SOURCES,
    "12300": "its data are loaded by 15824, which is not in the kit",
    "12336": ASYNCHRONOUS,
    "rsnaedge-1001": "its request is not in the kit",
    "15813": "its data are found by 15811, which is not in the kit",
}


# ---- the hubs ----


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, District]]:
    """The hubs under the names that the tests give to communities and sources."""
    domain = kit() / "nist" / "environment" / "codes.xml"
    folder = tmp_path_factory.mktemp("nist")
    with ExitStack() as stack:

        def start(number: int, name: str, home: str, source: str, *others: Community) -> District:
            named = Named(number, home, source, domain, AUTHORITY, trial=True)
            return stack.enter_context(running_district(folder / name, named, others))

        hubs = {
            "ids": start(1, "ids", SOURCE_HOME, SOURCE),
            "rig": start(2, "rig", GATEWAY_HOME, SOURCE_E),
            "rig-f": start(3, "rig-f", GATEWAY_HOME, SOURCE_F),
            "a": start(4, "a", HOME_A, SOURCE_A),
            "b": start(5, "b", HOME_B, SOURCE_B),
        }
        others = (hubs["a"].as_community(), hubs["b"].as_community())
        hubs["iig"] = start(6, "iig", f"urn:oid:{ROOT}.70.300", f"{ROOT}.71.300", *others)
        load_images(hubs["ids"], SOURCE_TESTS, SOURCE)
        load_images(hubs["rig"], RESPONDING_TESTS, SOURCE_E)
        load_images(hubs["rig-f"], OTHER_SOURCE_TESTS, SOURCE_F)
        load_images(hubs["a"], INITIATING_TESTS, SOURCE_A)
        load_images(hubs["b"], INITIATING_TESTS, SOURCE_B)
        yield hubs


@dataclass(frozen=True)
class Run:
    """Tests against one hub: how many steps the driver passes, and how many are judged here."""

    hub: str
    endpoint: str
    tests: Sequence[str]
    sent: int
    judged: int


RUNS = (
    Run("ids", "imaging", SOURCE_TESTS, 16, 15),
    Run("rig", "gateway", RESPONDING_TESTS, 13, 13),
    Run("rig-f", "gateway", OTHER_SOURCE_TESTS, 1, 1),
    Run("iig", "imaging", INITIATING_TESTS, 11, 11),
)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.hub)
def test_requests_for_images(hubs: dict[str, District], tmp_path: Path, run: Run) -> None:
    url = f"{hubs[run.hub].url}/xds/{run.endpoint}"
    folder = prepared(kit(), tmp_path, run.tests, Names("")).tests
    index = folder / "ids_4812" / "index-all-cases.idx"
    if index.exists():
        (folder / "ids_4812" / "index.idx").write_text(index.read_text())
    steps = run_driver(kit(), folder, run.tests, [f"--{run.endpoint}", url])
    assert not [name for name, step in steps.items() if step.outcome == "fail"], steps
    wrong: dict[str, list[str]] = {}
    for test in run.tests:
        for case in cases(test):
            wrong |= judged(case, url)
    assert {name: why for name, why in wrong.items() if why} == {}
    passed = Counter(step.outcome for step in steps.values())["pass"]
    assert (passed, len(wrong)) == (run.sent, run.judged)


# ---- documents ----

PID = f"NIST-1^^^&{AUTHORITY}&ISO"


def know(district: District, *values: str) -> None:
    """Make people of the kit's own patient domain known."""
    issuer = AssigningAuthority("NIST", AUTHORITY)
    for value in values:
        identifier = PatientIdentifier(value, issuer)
        name = PersonName(alphabetic=f"TEST^{value}")
        district.hub.patients.observe(
            ObservedPatient(identifier=identifier, name=name, birth_date=date(1970, 1, 1), sex="M")
        )


def options(district: District, pid: str = PID, **changes: str) -> list[str]:
    given = {name: f"{district.url}/xds/{name}" for name in ("registry", "repository", "gateway")}
    given |= changes
    return ["--pid", pid, *(word for name, url in given.items() for word in (f"--{name}", url))]


def test_another_community_asks_for_documents(hubs: dict[str, District], tmp_path: Path) -> None:
    hub = hubs["rig"]
    know(hub, "NIST-1")
    names = Names(PID, repository=SOURCE_E, home=GATEWAY_HOME)
    there = prepared(kit(), tmp_path, RESPONDING.tests, names)
    steps = run_prepared(there, RESPONDING.tests, options(hub))
    assert {name: step for name, step in steps.items() if step.outcome != "pass"} == {}
    assert len(steps) == 12


@pytest.mark.parametrize("section", ["MissingCommunity", "UnknownCommunity"])
def test_a_query_without_the_right_community_has_the_right_error(
    hubs: dict[str, District], section: str
) -> None:
    folder = kit() / "nist" / "tests" / "15815" / section
    request = wire.envelope(parsed(folder / "query.xml"), ITI38)
    answer = wire.payload(hubs["rig"].post("/xds/gateway", request))
    assert wire.errors(answer) == texts_of(folder / "testplan.xml", "ExpectedErrorCode")
    homes = [one.get("location") for one in answer.iter("{*}RegistryError")]
    assert wire.status(answer) == "Failure"
    assert len(homes) == 1


def test_a_registry_that_is_also_a_gateway_names_its_community(
    hubs: dict[str, District], tmp_path: Path
) -> None:
    hub = hubs["rig-f"]
    know(hub, "NIST-1")
    there = prepared(kit(), tmp_path, PUBLIC_REGISTRY.tests, Names(PID, home=GATEWAY_HOME))
    steps = run_prepared(there, PUBLIC_REGISTRY.tests, options(hub))
    unlike = {name for name, step in steps.items() if step.outcome != "pass"}
    assert unlike == set(PUBLIC_REGISTRY.excused), steps
    assert len(steps) == 9


@dataclass(frozen=True)
class Asking:
    """Sections of the tests of an initiating gateway that are about one patient."""

    patient: str
    sections: Mapping[str, Sequence[str]]
    passed: int
    loaded_into: Sequence[str]


ASKINGS = (
    Asking(
        "ONE",
        {
            "15807": ("onedoc1", "twodoc"),
            "15808": (
                "SingleDocumentFindDocuments",
                "SingleDocumentGetDocuments",
                "TwoDocumentsFindDocuments",
            ),
            "15809": ("OneDocRetrieve", "TwoDocRetrieve"),
        },
        15,
        ("a", "a"),
    ),
    Asking(
        "BOTH",
        {
            "15807": ("onedoc2", "onedoc3"),
            "15810": ("TwoRGFindDocuments", "RG1Retrieve", "RG2Retrieve"),
        },
        24,
        ("a", "b"),
    ),
)
# The driver keeps no number that a report counts, and compares with nothing.
COUNTED = "15810/TwoRGFindDocuments/Count"


@pytest.mark.parametrize("asking", ASKINGS, ids=lambda asking: asking.patient)
def test_documents_of_other_communities(
    hubs: dict[str, District], tmp_path: Path, asking: Asking
) -> None:
    for name in ("a", "b", "iig"):
        know(hubs[name], asking.patient, "TWO")
    there = prepared(kit(), tmp_path, list(asking.sections), Names(""))
    folder = there.tests
    for test, sections in asking.sections.items():
        (folder / test / "index.idx").write_text("\n".join(sections))
    for section, name in zip(asking.sections["15807"], asking.loaded_into, strict=True):
        _say(folder / "15807" / section / "testplan.xml", hubs[name].named)
    if "twodoc" in asking.sections["15807"]:
        plan = folder / "15807" / "twodoc" / "testplan.xml"
        _change(plan, "<XDSb/>", "<XDSb/><AltPatientId/>")
    applications = iter([hubs[name].registry.repository_app for name in asking.loaded_into])
    own = hubs["iig"]
    pid, other = (f"{name}^^^&{AUTHORITY}&ISO" for name in (asking.patient, "TWO"))

    def repository(environ: dict[str, Any], start_response: Any) -> Any:
        """Each document goes to the next community; what is retrieved comes by way of ours."""
        application = next(applications, own.registry.repository_app)
        return application(environ, start_response)

    with served(repository) as base:
        given = options(own, pid, repository=f"{base}/xds/repository", altpid=other)
        steps = run_prepared(there, list(asking.sections), given)
    unlike = {name: step for name, step in steps.items() if step.outcome != "pass"}
    assert set(unlike) <= {COUNTED}, unlike
    assert len(steps) - len(unlike) == asking.passed


def _change(plan: Path, old: str, new: str) -> None:
    """Write what the driver understands where the plan says it in the toolkit's own way."""
    text = plan.read_text("utf-8")
    assert old in text, plan
    plan.write_text(text.replace(old, new), "utf-8")


def _say(plan: Path, named: Named) -> None:
    """Tell the plan of a submission what the toolkit reads from its own settings."""
    reports = "".join(
        f"<Report name=\"{name}\" section=\"InputMetadata\">'{value}'</Report>"
        for name, value in (
            ("$testdata_home$", named.home_id), ("$testdata_repid$", named.repository_id),
        )
    )  # fmt: skip
    end = "</ProvideAndRegisterTransaction>"
    _change(plan, end, reports + end)


def test_every_test_of_the_area_is_run_or_has_its_reason() -> None:
    area = ("ids", "idc_", "iig_", "rig_", "rsnaedge", "123", "1581")
    listed = ("12093", "12300", "12306", "12308", "12309", "12310", "12311", "12313", "12318",
              "12336", "12342", "15808", "15809", "15810", "15813", "15815", "15831")  # fmt: skip
    there = {one.name for one in (kit() / "nist" / "tests").iterdir()}
    ours = {name for name in there if name.startswith(area[:5])} | set(listed)
    run = {test for one in RUNS for test in one.tests}
    run |= {*RESPONDING.tests, "12342", "15808", "15809", "15810"}
    assert ours == run | set(NOT_APPLICABLE)
    assert not run & set(NOT_APPLICABLE)
