"""The OpenHIE client-registry test plan, OHIE-CR 01 to 18, over a real MLLP socket.

01 to 09 send the published messages as they lie in ../shared/conformance/ohie-cr and assert what
its expectations say. 10 to 18 are not in that folder: their steps and expectations follow what the
plan describes, with data of our own. Every test has an empty hub of its own.
"""

import csv
import tomllib
from collections.abc import Iterator

import hl7
import pytest

from hub_kernel.database import Database
from patient_index.domains import domains_from_tables
from patient_index.hl7v2.exchange import ExchangeRecord
from patient_index.hl7v2.node import Hl7Node, NodeSettings
from tests.patient_index.hl7v2.conftest import Region, build_region
from tests.patient_index.hl7v2.wire import Sender, count, repetitions, value
from tests.support.tools import require_conformance

TEST_OID = "2.16.840.1.113883.3.72.5.9.1"
JENNIFER = (
    "RJ-439^^^TEST||JONES^JENNIFER^^^^^L|SMITH^^^^^^L|19840125|F|||"
    "123 Main Street West ^^NEWARK^NJ^30293||^PRN^PH^^^409^30495||||||"
)


class Harness:
    """Plays the test harness: sends one step, checks how it is acknowledged."""

    def __init__(self, sender: Sender, region: Region) -> None:
        self._sender = sender
        self._region = region
        self._folder = require_conformance("ohie-cr")
        with (self._folder / "expectations.csv").open(encoding="utf-8") as table:
            self._allowed = {
                row["message"]: set(row["allowed MSA-1"].split(", "))
                for row in csv.DictReader(table)
            }

    def step(self, name: str) -> hl7.Message:
        """Send a published message; its MSA-1 must be one of those that the plan allows."""
        raw = (self._folder / "HL7" / f"{name}.txt").read_bytes()
        answer = self._sender.ask(raw)
        allowed = self._allowed[name] - {"CA", "CE", "CR"} or {"AA"}
        assert value(answer, "MSA.1") in allowed, str(answer)
        sent = hl7.parse(raw.decode().replace("\r\n", "\r").replace("\n", "\r"))
        assert value(answer, "MSA.2") == value(sent, "MSH.10").strip()
        assert value(answer, "MSH.5.1") == value(sent, "MSH.3.1")
        assert value(answer, "MSH.6.1") == value(sent, "MSH.4.1")
        return answer

    def feed(
        self, control_id: str, *segments: str, event: str = "A01", as_: str = ""
    ) -> hl7.Message:
        name = "NID_AUTH" if as_ == "NID" else f"TEST_HARNESS{as_}"
        header = (
            f"MSH|^~\\&|{name}^^|TEST^^|CR1^^|MOH_CAAT^^|20141104174451||"
            f"ADT^{event}^ADT_{event}|{control_id}|P|2.3.1"
        )
        return self._sender.ask("\r".join((header, "EVN||20101020", *segments, "PV1||I", "")))

    def register(self, control_id: str, pid: str, as_: str = "") -> None:
        answer = self.feed(control_id, f"PID|||{pid}", as_=as_)
        assert value(answer, "MSA.1") == "AA", str(answer)
        assert value(answer, "MSH.9.1") == "ACK"
        assert value(answer, "MSH.12") == "2.3.1"

    def pix(self, control_id: str, qpd: str) -> hl7.Message:
        return self._query("Q23", control_id, f"QPD|IHE PIX Query|Q{control_id}|{qpd}", "RCP|I")

    def pdq(self, control_id: str, parameters: str) -> hl7.Message:
        qpd = f"QPD|Q22^Find Candidates^HL7|Q{control_id}|{parameters}"
        return self._query("Q22", control_id, qpd, "RCP|I|10^RD")

    def audited(self) -> list[ExchangeRecord]:
        return self._region.audited

    def _query(self, event: str, control_id: str, *segments: str) -> hl7.Message:
        header = (
            "MSH|^~\\&|TEST_HARNESS|TEST|CR1|MOH_CAAT|20090226131520-0600||"
            f"QBP^{event}^QBP_Q21|{control_id}|P|2.5"
        )
        answer = self._sender.ask("\r".join((header, *segments, "")))
        answers = {"Q23": ("K23", "RSP_K23"), "Q22": ("K22", "RSP_K21")}
        trigger, structure = answers[event]
        assert value(answer, "MSH.9.1") == "RSP"
        assert value(answer, "MSH.9.2") == trigger
        assert value(answer, "MSH.9.3") == structure
        return answer


@pytest.fixture
def harness(database: Database) -> Iterator[Harness]:
    tables = tomllib.loads(require_conformance("ohie-cr", "domains.toml").read_text("utf-8"))
    region = build_region(database, domains_from_tables(tables["identity"]["domains"]))
    node = Hl7Node(NodeSettings(port=0), region.service)
    sender = Sender(node.start())
    yield Harness(sender, region)
    sender.close()
    node.stop(grace_s=2.0)


def status(answer: hl7.Message) -> tuple[str, str]:
    return value(answer, "MSA.1"), value(answer, "QAK.2")


def error_place(answer: hl7.Message) -> str:
    return repetitions(answer, "ERR", 2)[0]


def identifiers(answer: hl7.Message, place: int = 0) -> list[str]:
    """PID-3 of one PID as "value namespace"."""
    pids = [segment for segment in answer if str(segment[0]) == "PID"]
    found = []
    for cx in str(pids[place][3]).split("~"):
        parts = cx.split("^")
        found.append(f"{parts[0]} {parts[3].split('&')[0]}")
    return found


def test_ohie_cr_01_an_identifier_without_an_authority_is_refused(harness: Harness) -> None:
    answer = harness.step("OHIE-CR-01-10")
    assert value(answer, "MSA.1") in {"AR", "AE"}
    assert error_place(answer) == "PID^1^3^1^4"


def test_ohie_cr_02_namespace_and_oid_complete_each_other(harness: Harness) -> None:
    harness.step("OHIE-CR-02-10")
    assert any("^^^TEST&" in cx for cx in repetitions(harness.step("OHIE-CR-02-20"), "PID", 3))
    harness.step("OHIE-CR-02-30")
    answer = harness.step("OHIE-CR-02-40")
    assert any(f"^^^TEST&{TEST_OID}&ISO" in cx for cx in repetitions(answer, "PID", 3))


def test_ohie_cr_03_unknown_authorities_are_rejected(harness: Harness) -> None:
    for step in ("OHIE-CR-03-10", "OHIE-CR-03-20"):
        answer = harness.step(step)
        assert value(answer, "MSA.1") == "AR"
        assert error_place(answer) == "PID^1^3^1^4"


def test_ohie_cr_04_no_authority_assigns_for_another(harness: Harness) -> None:
    harness.step("OHIE-CR-04-20")
    assert value(harness.step("OHIE-CR-04-30"), "MSA.1") == "AR"


def test_ohie_cr_05_a_newborn_with_hardly_any_data_is_taken(harness: Harness) -> None:
    harness.step("OHIE-CR-05-10")
    harness.step("OHIE-CR-05-20")
    answer = harness.step("OHIE-CR-05-30")
    assert repetitions(answer, "PID", 3)[-1].startswith(f"RJ-441^^^TEST&{TEST_OID}&ISO")


def test_ohie_cr_06_an_explicit_identifier_wins_over_demographics(harness: Harness) -> None:
    harness.step("OHIE-CR-06-20")
    harness.step("OHIE-CR-06-30")
    found = identifiers(harness.step("OHIE-CR-06-40"))
    assert len(found) == 3
    assert {"NID-000345435 NID", "RJ-449 TEST_A"} < set(found)


def test_ohie_cr_07_a_newborn_is_linked_to_the_mother(harness: Harness) -> None:
    harness.step("OHIE-CR-07-10")
    harness.step("OHIE-CR-07-20")
    found = identifiers(harness.step("OHIE-CR-07-30"))
    assert len(found) == 2
    assert "RJ-440 TEST" in found
    answer = harness.step("OHIE-CR-07-40")
    assert count(answer, "PID") == 1
    assert "RJ-440 TEST" in identifiers(answer)
    assert value(answer, "PID.6.1") == "JONES"
    assert any(cx.startswith("RJ-439^^^TEST&") for cx in repetitions(answer, "PID", 21))


def test_ohie_cr_08_a_full_record_comes_back(harness: Harness) -> None:
    harness.step("OHIE-CR-08-10")
    answer = harness.step("OHIE-CR-08-30")
    assert count(answer, "PID") == 1
    assert "RJ-442 TEST" in identifiers(answer)
    wanted = {
        "PID.5.1": "FOSTER",
        "PID.5.2": "FANNY",
        "PID.5.3": "FULL",
        "PID.6.1": "FOSTER",
        "PID.6.2": "MARY",
        "PID.7": "1970",
        "PID.8": "F",
        "PID.11.1": "123 W34 St",
        "PID.11.3": "FRESNO",
        "PID.11.4": "CA",
        "PID.11.5": "30495",
        "PID.13.2": "PRN",
        "PID.13.3": "PH",
        "PID.13.6": "419",
        "PID.13.7": "31495443",
        "PID.14.3": "PH",
        "PID.15": "en",
        "PID.16": "S",
    }
    assert {path: value(answer, path) for path in wanted} == wanted
    assert len(repetitions(answer, "PID", 5)) == 2


def test_ohie_cr_09_unknown_is_an_error_named_to_the_component(harness: Harness) -> None:
    answer = harness.step("OHIE-CR-09-10")
    assert status(answer) == ("AE", "AE")
    assert error_place(answer) == "QPD^1^3^1^1"
    answer = harness.step("OHIE-CR-09-20")
    assert status(answer) == ("AE", "AE")
    assert error_place(answer) == "QPD^1^3^1^4"
    harness.step("OHIE-CR-09-30")
    answer = harness.step("OHIE-CR-09-40")
    assert value(answer, "QAK.2") == "OK"
    assert repetitions(answer, "PID", 3)[-1].startswith(f"RJ-443^^^TEST&{TEST_OID}&ISO")
    assert repetitions(answer, "PID", 5) == ["", "^^^^^^S"]


def test_ohie_cr_10_only_the_domains_asked_for_are_returned(harness: Harness) -> None:
    harness.register("10-10", "RJ-510^^^TEST||KELLY^RUTH^^^^^L||1948|F|||")
    answer = harness.pix("10-20", "RJ-510^^^TEST^PI|^^^TEST")
    assert status(answer) == ("AA", "OK")
    assert [cx[: len(f"RJ-510^^^TEST&{TEST_OID}")] for cx in repetitions(answer, "PID", 3)] == [
        f"RJ-510^^^TEST&{TEST_OID}"
    ]
    answer = harness.pix("10-30", "RJ-510^^^TEST^PI|^^^RANDOM")
    assert status(answer) == ("AE", "AE")
    assert error_place(answer).startswith("QPD^1^4")
    answer = harness.pix("10-40", "RJ-510^^^TEST^PI|^^^NID")
    assert status(answer) == ("AA", "NF")
    assert count(answer, "PID") == 0


def test_ohie_cr_11_demographics_by_identifier(harness: Harness) -> None:
    harness.register("11-10", JENNIFER)
    answer = harness.pdq("11-20", "@PID.3.1^RJ-439~@PID.3.4.1^TEST")
    assert status(answer) == ("AA", "OK")
    assert len(identifiers(answer)) == 2
    assert repetitions(answer, "PID", 3)[-1].startswith(f"RJ-439^^^TEST&{TEST_OID}&ISO")
    assert (value(answer, "PID.5.1"), value(answer, "PID.5.2")) == ("JONES", "JENNIFER")
    assert value(answer, "PID.7") == "19840125"
    answer = harness.pdq("11-30", "@PID.3.1^RJ-7777~@PID.3.4.1^TEST")
    assert status(answer) == ("AA", "NF")
    assert count(answer, "PID") == 0
    answer = harness.pdq("11-40", "@PID.3.1^RJ-7777~@PID.3.4.99^NOVALUE")
    assert status(answer) == ("AE", "AE")
    assert count(answer, "PID") == 0
    answer = harness.pdq("11-50", "@PID.3.1^RJ-439~@PID.3.4.1^TEST|||||^^^TEST")
    assert status(answer) == ("AA", "OK")
    assert identifiers(answer) == ["RJ-439 TEST"]
    answer = harness.pdq("11-60", "@PID.3.1^RJ-439~@PID.3.4.1^TEST|||||^^^NID")
    assert status(answer) == ("AA", "NF")
    assert count(answer, "PID") == 0
    answer = harness.pdq("11-70", "@PID.3.1^RJ-439~@PID.3.4.1^TEST|||||^^^RANDOM")
    assert status(answer) == ("AE", "AE")
    assert error_place(answer).startswith("QPD^1^8")
    assert count(answer, "PID") == 0


def test_ohie_cr_12_demographics_by_name(harness: Harness) -> None:
    harness.register("12-10", JENNIFER)
    answer = harness.pdq("12-20", "@PID.5.1^JONES~@PID.5.2^JENNIFER")
    assert status(answer) == ("AA", "OK")
    assert identifiers(answer)[-1] == "RJ-439 TEST"
    assert status(harness.pdq("12-30", "@PID.5.1^NOBODY~@PID.5.2^ATALL")) == ("AA", "NF")
    for place, partial in enumerate(("@PID.5.1^JON*", "@PID.5.1^jones~@PID.5.2^Jen")):
        answer = harness.pdq(f"12-4{place}", f"{partial}|||||^^^TEST")
        assert identifiers(answer) == ["RJ-439 TEST"]


def test_ohie_cr_13_demographics_by_mother(harness: Harness) -> None:
    harness.register("13-10", JENNIFER)
    harness.register("13-15", "RJ-440^^^TEST||||20141001|M|||||||||||||RJ-439^^^TEST")
    answer = harness.pdq("13-20", "@PID.21.1^RJ-439~@PID.21.4.1^TEST")
    assert (value(answer, "MSA.1"), count(answer, "PID")) == ("AA", 1)
    assert identifiers(answer)[-1] == "RJ-440 TEST"
    answer = harness.pdq("13-30", "@PID.6.1^JONES~@PID.6.2^JENNIFER")
    assert (value(answer, "MSA.1"), count(answer, "PID")) == ("AA", 1)
    assert identifiers(answer)[-1] == "RJ-440 TEST"


@pytest.mark.parametrize(
    ("born", "found"), [("1984", True), ("198401", True), ("19840125", True), ("1900", False)]
)
def test_ohie_cr_14_demographics_by_date_of_birth(
    harness: Harness, born: str, *, found: bool
) -> None:
    harness.register("14-10", JENNIFER)
    answer = harness.pdq("14-20", f"@PID.7^{born}")
    assert status(answer) == ("AA", "OK" if found else "NF")
    assert count(answer, "PID") == int(found)
    assert not found or identifiers(answer)[-1] == "RJ-439 TEST"


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ("@PID.8^F~@PID.5.1^JONES", True),
        ("@PID.7^1984~@PID.5.1^JONES~@PID.5.2^JENNIFER", True),
        ("@PID.7^19840125~@PID.8^F", True),
        ("@PID.8^M~@PID.5.1^JONES~@PID.5.2^JENNIFER", False),
        ("@PID.7^1984~@PID.5.1^JONES~@PID.5.2^PETER", False),
    ],
)
def test_ohie_cr_15_demographics_by_several_fields(
    harness: Harness, parameters: str, *, found: bool
) -> None:
    harness.register("15-10", JENNIFER)
    answer = harness.pdq("15-20", parameters)
    assert status(answer) == ("AA", "OK" if found else "NF")
    assert count(answer, "PID") == int(found)
    assert not found or identifiers(answer)[-1] == "RJ-439 TEST"


def test_ohie_cr_16_a_site_merges_two_of_its_identifiers(harness: Harness) -> None:
    harness.register("16-10", JENNIFER)
    harness.register("16-15", "RJ-520^^^TEST||JONES^JEN^^^^^L||198401|F|||||||||||")
    answer = harness.pdq("16-20", "@PID.5.1^JONES|||||^^^TEST")
    assert (*status(answer), count(answer, "PID")) == ("AA", "OK", 2)
    assert {*identifiers(answer, 0), *identifiers(answer, 1)} == {"RJ-439 TEST", "RJ-520 TEST"}
    merge = ("PID|||RJ-439^^^TEST||JONES^JEN^^^^^L||198401|F|||||||||||", "MRG|RJ-520^^^TEST")
    assert value(harness.feed("16-30", *merge, event="A40"), "MSA.1") == "AA"
    answer = harness.pix("16-40", "RJ-439^^^TEST^PI|^^^TEST")
    assert status(answer) == ("AA", "OK")
    assert identifiers(answer) == ["RJ-439 TEST", "RJ-520 TEST"]
    answer = harness.pix("16-50", "RJ-520^^^TEST^PI|^^^TEST")
    assert status(answer) == ("AE", "AE")
    assert error_place(answer) == "QPD^1^3^1^1"


def test_ohie_cr_17_nobody_merges_what_is_anothers(harness: Harness) -> None:
    pat = "REED^PAT^^^^^L||197711|F|||||||||||"
    harness.register("17-15", f"RJ-601^^^TEST_A||{pat}", as_="_A")
    harness.register("17-20", "RJ-602^^^TEST_A||REED^PATRICIA^^^^^L||197711|F|||", as_="_A")
    harness.register("17-25", "SJ-603^^^TEST_B||REED^PATRICIA^^^^^L||197711|F|||", as_="_B")
    merges = {
        "17-30": (f"PID|||RJ-601^^^TEST_A||{pat}", "MRG|RJ-602^^^TEST_A", "PID^1^3^1^4"),
        "17-40": (f"PID|||SJ-603^^^TEST_B||{pat}", "MRG|RJ-602^^^TEST_A", "MRG^1^1^1^4"),
        "17-50": (f"PID|||SJ-603^^^TEST_B||{pat}", "MRG|RJ-602^^^TEST_B", "MRG^1^1^1^1"),
    }
    for control_id, (pid, mrg, place) in merges.items():
        answer = harness.feed(control_id, pid, mrg, event="A40", as_="_B")
        assert value(answer, "MSA.1") in {"AE", "AR"}
        assert value(answer, "MSH.5.1") == "TEST_HARNESS_B"
        assert value(answer, "ERR.3.1") == "204"
        assert error_place(answer) == place


def test_ohie_cr_18_a_national_number_that_is_no_patient_id_links(harness: Harness) -> None:
    """The number is in PID-19, stated by two sites; its own authority has spoken before."""
    harness.register("18-10", "NID-000900001^^^NID||MOREAU^ALEXANDRE^^^^^L||1971|M|||", as_="NID")
    rest = "|M|||||||||||NID-000900001^^^NID"
    harness.register("18-20", f"RJ-701^^^TEST_A||MOREAU^ALEXANDRE^^^^^L||197106{rest}", as_="_A")
    harness.register("18-30", f"RB-702^^^TEST_B||MOREAU^ALEX^^^^^L||19710612{rest}", as_="_B")
    for asked in ("RB-702^^^TEST_B^PI", "NID-000900001^^^NID^PI"):
        answer = harness.pix("18-40", asked)
        assert (value(answer, "MSA.1"), count(answer, "PID")) == ("AA", 1)
        assert "RJ-701 TEST_A" in identifiers(answer)


def test_ohie_cr_18_without_its_authority_two_names_on_one_card_are_a_question(
    harness: Harness,
) -> None:
    """The plan wants a link by configuration; here cards are borrowed, so a person is asked."""
    rest = "|M|||||||||||NID-000900001^^^NID"
    harness.register("18-20", f"RJ-701^^^TEST_A||MOREAU^ALEXANDRE^^^^^L||197106{rest}", as_="_A")
    harness.register("18-30", f"RB-702^^^TEST_B||MOREAU^ALEX^^^^^L||19710612{rest}", as_="_B")
    assert "review" in harness.audited()[-1].detail


def test_ohie_cr_18_without_its_authority_one_name_on_one_card_is_one_person(
    harness: Harness,
) -> None:
    rest = "|M|||||||||||NID-000900001^^^NID"
    harness.register("18-20", f"RJ-701^^^TEST_A||MOREAU^ALEXANDRE^^^^^L||19710612{rest}", as_="_A")
    harness.register("18-30", f"RB-702^^^TEST_B||MOREAU^ALEXANDRE^^^^^L||19710612{rest}", as_="_B")
    assert "linked by" in harness.audited()[-1].detail
    assert "RJ-701 TEST_A" in identifiers(harness.pix("18-40", "RB-702^^^TEST_B^PI"))
