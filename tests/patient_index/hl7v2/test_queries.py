import hl7
import pytest
from hl7apy.parser import parse_message

from tests.patient_index.hl7v2.conftest import Region
from tests.patient_index.hl7v2.messages import WANG, adt, pdq, pix, query
from tests.patient_index.hl7v2.wire import Sender, connected, count, repetitions, value


@pytest.fixture
def people(sender: Sender, region: Region) -> Region:
    sender.ask(adt(f"1^^^EAST||{WANG}||19850312|M|||泗泾镇1号^^上海^上海市^201601||021 5761"))
    west = f"1^^^WEST||{WANG}||19850312|M|||泗泾镇1号^^上海^上海市^201601||021 5761"
    sender.ask(adt(west, facility="WEST"))
    for number in range(10, 14):
        sender.ask(adt(f"{number}^^^EAST||张^{chr(0x4E00 + number * 37)}||1990|F", control_id="n"))
    region.audited.clear()
    return region


def test_an_answer_to_pix_is_what_the_framework_draws(sender: Sender, people: Region) -> None:
    answer = sender.ask(pix("1^^^EAST"))
    names = [str(segment[0]) for segment in answer]
    assert names == ["MSH", "MSA", "QAK", "QPD", "PID"]
    assert value(answer, "QAK.1") == "tag-q1"
    assert value(answer, "QAK.2") == "OK"
    assert value(answer, "QPD.3.4") == "EAST"
    assert repetitions(answer, "PID", 5) == ["", "^^^^^^S"]
    assert "王" not in str(answer)
    assert repetitions(answer, "PID", 3)[0].split("^")[0] == people.person_of("1")


def test_the_global_id_can_be_asked_about_too(sender: Sender, people: Region) -> None:
    answer = sender.ask(pix(f"{people.person_of('1')}^^^EIR", "^^^EAST"))
    assert [cx.split("^")[0] for cx in repetitions(answer, "PID", 3)] == ["1"]


def test_pix_and_pdq_are_audited_by_person(sender: Sender, people: Region) -> None:
    sender.ask(pix("1^^^EAST"))
    sender.ask(pdq("@PID.5.1^王"))
    sender.ask(pix("404^^^EAST"))
    by_number, by_name, unknown = people.audited
    assert by_number.global_ids == (people.person_of("1"),)
    assert by_name.global_ids
    assert (by_name.transaction, by_name.action) == ("ITI-21", "query")
    assert (unknown.outcome, unknown.global_ids) == ("refused", ())
    assert "404" not in unknown.detail


@pytest.mark.parametrize(
    "parameters",
    [
        "@PID.5.1^王~@PID.5.2^小东",
        "@PID.5.1^wang",
        "@PID.5.1.1^WANG*~@PID.8^M",
        "@PID.7.1^19850312",
        "@PID.7^1985",
        "@PID.11.3^上海~@PID.11.5^2016",
        "@PID.13^0215761",
        "@PID.13.6^021~@PID.13.7^5761",
        "@PID.3^1",
        "@PID.3.1^1~@PID.3.4.2^1.2.826.0.1.3680043.10.1717.901~@PID.3.4.3^ISO",
        "@pid.5.1^王~@PID.5.2^",
    ],
)
def test_every_parameter_finds(sender: Sender, people: Region, parameters: str) -> None:
    answer = sender.ask(pdq(parameters, charset="UNICODE UTF-8"))
    assert value(answer, "QAK.2") == "OK", str(answer)
    found = "~".join(str(segment[3]) for segment in answer if str(segment[0]) == "PID")
    assert "1^^^EAST&" in found


@pytest.mark.parametrize(
    ("parameters", "rcp", "code", "place"),
    [
        ("@PID.99^x", "RCP|I", "103", "QPD^1^3^1^1"),
        ("@PID.5.1^x~@XYZ^x", "RCP|I", "103", "QPD^1^3^2^1"),
        ("", "RCP|I", "101", "QPD^1^3^1"),
        ("@PID.5.1^", "RCP|I", "101", "QPD^1^3^1"),
        ("@PID.7^soon", "RCP|I", "102", "QPD^1^3^1^2"),
        ("@PID.8^Q", "RCP|I", "102", "QPD^1^3^1^2"),
        ("@PID.3.1^1~@PID.3.4.1^NOWHERE", "RCP|I", "204", "QPD^1^3^2^2"),
        ("@PID.5.1^x", "RCP|D", "103", "RCP^1^1^1"),
        ("@PID.5.1^x", "RCP|I|0^RD", "102", "RCP^1^2^1^1"),
        ("@PID.5.1^x", "RCP|I|-1^RD", "102", "RCP^1^2^1^1"),
        ("@PID.5.1^x", "RCP|I|10^PG", "103", "RCP^1^2^1^2"),
    ],
)
def test_a_query_that_makes_no_sense_is_an_error_with_its_place(
    sender: Sender, people: Region, parameters: str, rcp: str, code: str, place: str
) -> None:
    answer = sender.ask(pdq(parameters, rcp))
    assert value(answer, "MSA.1") == "AE"
    assert value(answer, "QAK.2") == "AE"
    assert value(answer, "ERR.3.1") == code
    assert repetitions(answer, "ERR", 2)[0] == place
    assert count(answer, "PID") == 0


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%x", "_ang", "王%", "w?ng", "x" * 3000])
def test_search_patterns_and_sql_are_text(sender: Sender, people: Region, text: str) -> None:
    answer = sender.ask(pdq(f"@PID.5.1^{text}~@PID.8^M"))
    assert value(answer, "MSA.1") == "AA"
    assert count(answer, "PID") == (2 if text == "王%" else 0)


FIELDS = ("PID.3.1", "PID.5", "PID.5.1", "PID.5.2", "PID.6.1", "PID.11.1", "PID.11.3", "PID.11.4",
          "PID.11.5", "PID.13.7", "PID.19.1")  # fmt: skip


@pytest.mark.parametrize("text", ["%", "_", "*", "%%_*", "*" * 3000, "*?*?*?", "' -- .", "。", " "])
@pytest.mark.parametrize("name", FIELDS)
def test_a_value_without_a_letter_finds_nobody_and_names_its_place(
    sender: Sender, people: Region, name: str, text: str
) -> None:
    answer = sender.ask(pdq(f"@PID.8^M~@{name}^{text}"))
    if not text.strip():
        # An empty value is a parameter that was not given: the others decide.
        assert value(answer, "QAK.2") == "OK"
        return
    assert value(answer, "MSA.1") == "AE"
    assert repetitions(answer, "ERR", 2)[0] == "QPD^1^3^2^2"
    assert value(answer, "ERR.5.1") == "query-value"
    assert "条件值" in str(answer)
    assert count(answer, "PID") == 0


def test_pages_follow_each_other_without_gap_or_repetition(sender: Sender, people: Region) -> None:
    seen: list[str] = []
    pointer = ""
    for _ in range(9):
        more = (f"DSC|{pointer}|I",) if pointer else ()
        answer = sender.ask(pdq("@PID.5.1^张", "RCP|I|1^RD", *more))
        assert value(answer, "MSA.1") == "AA", str(answer)
        pids = [segment for segment in answer if str(segment[0]) == "PID"]
        assert len(pids) == 1
        seen += [str(pid[3]).split("^")[0] for pid in pids]
        pointer = value(answer, "DSC.1")
        if not pointer:
            break
    assert len(seen) == len(set(seen)) == 4


def test_a_pointer_belongs_to_its_query(sender: Sender, people: Region) -> None:
    pointer = value(sender.ask(pdq("@PID.5.1^张", "RCP|I|2^RD")), "DSC.1")
    assert pointer
    for hostile in (pointer, "rubbish", "W10=", "AAAA" * 5000, "eyJ9"):
        answer = sender.ask(pdq("@PID.5.1^王", "RCP|I|10^RD", f"DSC|{hostile}|I"))
        assert value(answer, "MSA.1") == "AE"
        assert repetitions(answer, "ERR", 2)[0] == "DSC^1^1^1"


def test_a_cancelled_query_is_acknowledged(sender: Sender) -> None:
    message = query("Q22", "QID|tag|Q22").replace("QBP^Q22^QBP_Q21", "QCN^J01^QCN_J01")
    answer = sender.ask(message)
    assert (value(answer, "MSA.1"), value(answer, "MSH.9.1")) == ("AA", "ACK")


def test_answers_come_in_the_askers_character_set(sender: Sender, people: Region) -> None:
    question = pdq("@PID.5.1^王", charset="GB 18030-2000").encode("gb18030")
    sender.send(question)
    raw = sender.raw_answer()
    assert "王^小东".encode("gb18030") in raw
    assert b"|GB 18030-2000\r" in raw
    sender.send(pdq("@PID.5.1^wang"))
    raw = sender.raw_answer()
    assert "王^小东".encode() in raw
    assert b"|UNICODE UTF-8\r" in raw


def test_a_name_with_delimiters_in_it_comes_back_as_it_went_in(
    sender: Sender, people: Region
) -> None:
    sender.ask(adt(r"77^^^EAST||O\T\B\F\x\S\y^Z", control_id="77"))
    answer = sender.ask(pdq("@PID.3.1^77~@PID.3.4.1^EAST"))
    # "^" would begin another component of the name: it is the one that becomes a blank.
    assert value(answer, "PID.5.1") == r"O\T\B\F\x y"


def test_an_asker_with_other_delimiters_is_answered_in_them(sender: Sender, people: Region) -> None:
    table = str.maketrans({"|": "$", "^": "*", "~": "!", "\\": "?", "&": "@"})
    question = pix("1^^^EAST").translate(table)
    sender.send(question)
    raw = sender.raw_answer().decode()
    assert raw.startswith("MSH$*!?@$")
    assert "QAK$tag-q1$OK" in raw
    assert hl7.parse(raw).segment("PID")


@pytest.mark.parametrize("event", ["pix", "pdq", "unknown", "refused feed"])
def test_a_strict_second_library_accepts_our_answers(
    running: object, people: Region, event: str
) -> None:
    messages = {
        "pix": pix("1^^^EAST"),
        "pdq": pdq("@PID.3.1^10~@PID.3.4.1^EAST"),
        "unknown": pix("404^^^EAST"),
        "refused feed": adt("1^^^NOWHERE||X", version="2.5"),
    }
    with running() as port, connected(port) as sender:  # type: ignore[operator]
        sender.send(messages[event])
        raw = sender.raw_answer().decode()
    parsed = parse_message(raw, find_groups=False)
    theirs, ours = parsed.to_er7().split("\r"), raw.rstrip("\r").split("\r")
    assert [line.rstrip("|") for line in theirs] == [line.rstrip("|") for line in ours]
    structure = parsed.msh.msh_9.msh_9_3.to_er7()
    assert structure in {"RSP_K23", "RSP_K21", "ACK"}
