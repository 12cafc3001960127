"""ITI-64: the region's own index says to whom a local identifier belongs."""

import pytest
from sqlalchemy import func, select

from hub_kernel.identifiers import PatientIdentifier
from patient_index.hl7v2.exchange import ExchangeRecord
from patient_index.model import Decided
from patient_index.tables import LinkLog
from patient_index.tables_feed import LinkDecision
from tests.patient_index.hl7v2.conftest import CARDS, EAST, Region
from tests.patient_index.hl7v2.messages import adt
from tests.patient_index.hl7v2.wire import Sender, count, refusal, value

FIRST, SECOND = "C1^^^CARD", "C2^^^CARD"


def move(to: str, *more: str, control_id: str = "v1", facility: str = "OFFICE") -> str:
    application = "CARD" if facility == "OFFICE" else "HIS"
    return adt(
        to, *more, event="A43", control_id=control_id, facility=facility, application=application
    )


@pytest.fixture
def two(region: Region, sender: Sender) -> Region:
    """Two persons of the region's index: 1 and 3 of EAST are the first's, 2 the second's."""
    for number, local, name in ((1, "1", "赵^一"), (2, "2", "钱^二"), (1, "3", "赵^一")):
        about = f"{name}||19{number}00101|M"
        sent = (
            adt(
                f"C{number}^^^CARD||{about}",
                control_id=f"c{local}",
                facility="OFFICE",
                application="CARD",
            ),
            adt(f"{local}^^^EAST||{about}", control_id=local),
        )
        assert [value(sender.ask(one), "MSA.1") for one in sent] == ["AA", "AA"]
        person = region.person_of(f"C{number}", CARDS)
        assert person is not None
        by_hand = Decided(by="desk", reason="same person", rule="desk")
        region.patients.link(PatientIdentifier(local, EAST.authority), person, by_hand)
    region.audited.clear()
    return region


def persons(region: Region) -> list[str | None]:
    local = [region.person_of(number) for number in ("1", "2", "3")]
    return [*local, region.person_of("C1", CARDS), region.person_of("C2", CARDS)]


def lines(region: Region) -> tuple[int, int]:
    with region.parts.database.read() as session:
        counted = [
            session.scalar(select(func.count()).select_from(one)) for one in (LinkLog, LinkDecision)
        ]
    return counted[0] or 0, counted[1] or 0


def test_a_moved_identifier_belongs_to_the_other_person_and_nothing_else_moves(
    sender: Sender, two: Region
) -> None:
    first, second = two.person_of("C1", CARDS), two.person_of("C2", CARDS)
    answer = sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|1^^^EAST~{FIRST}"))
    assert (value(answer, "MSA.1"), count(answer, "ERR")) == ("AA", 0)
    assert value(answer, "MSH.9.2") == "A43"
    assert persons(two) == [second, second, first, first, second]


def test_a_move_is_on_record_with_both_persons(sender: Sender, two: Region) -> None:
    first, second = two.person_of("C1", CARDS), two.person_of("C2", CARDS)
    sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|{FIRST}"))
    (record,) = two.audited
    assert (record.transaction, record.action, record.outcome) == ("ITI-64", "feed", "success")
    assert record.global_ids == (second, first)
    assert record.detail == "ADT-A43 v1: moved"


def test_an_identifier_that_was_replaced_too_is_used_no_longer(sender: Sender, two: Region) -> None:
    answer = sender.ask(move(f"2^^^EAST~{SECOND}", f"MRG|1^^^EAST~{FIRST}"))
    assert value(answer, "MSA.1") == "AA"
    assert two.person_of("1") == two.person_of("C2", CARDS)
    assert two.patients.is_merged_away(PatientIdentifier("1", EAST.authority))
    assert not two.patients.is_merged_away(PatientIdentifier("2", EAST.authority))


def test_two_identifiers_of_one_person_become_one(sender: Sender, two: Region) -> None:
    before = persons(two)
    answer = sender.ask(move(f"1^^^EAST~{FIRST}", f"MRG|3^^^EAST~{FIRST}"))
    assert value(answer, "MSA.1") == "AA"
    assert persons(two) == before
    assert two.patients.is_merged_away(PatientIdentifier("3", EAST.authority))


def test_an_affinity_domain_id_that_is_its_own_local_one_is_merged(
    sender: Sender, two: Region
) -> None:
    assert value(sender.ask(move(f"{FIRST}~{SECOND}", f"MRG|{FIRST}")), "MSA.1") == "AA"
    assert two.person_of("C1", CARDS) == two.person_of("C2", CARDS)
    assert two.patients.is_merged_away(PatientIdentifier("C1", CARDS.authority))
    assert two.person_of("1") != two.person_of("C2", CARDS)


def test_the_same_move_again_changes_nothing_and_says_so(sender: Sender, two: Region) -> None:
    sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|{FIRST}"))
    after, written = persons(two), lines(two)
    repeated = sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|{FIRST}"))
    anew = sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|{FIRST}", control_id="v2"))
    assert [value(one, "MSA.1") for one in (repeated, anew)] == ["AA", "AA"]
    assert (value(anew, "ERR.3.1"), value(anew, "ERR.4")) == ("205", "I")
    assert persons(two) == after
    assert lines(two) == written


@pytest.mark.parametrize(
    ("to", "former", "expected"),
    [
        (f"9^^^EAST~{SECOND}", f"9^^^EAST~{FIRST}", ("AE", "204", "PID^1^3^1^1")),
        ("1^^^EAST~C9^^^CARD", f"1^^^EAST~{FIRST}", ("AE", "204", "PID^1^3^2^1")),
        (f"1^^^EAST~{SECOND}", "1^^^EAST~C9^^^CARD", ("AE", "204", "MRG^1^1^2^1")),
        (f"2^^^EAST~{SECOND}", f"9^^^EAST~{FIRST}", ("AE", "204", "MRG^1^1^1^1")),
        (f"3^^^EAST~{SECOND}", f"1^^^EAST~{FIRST}", ("AE", "204", "PID^1^3^1^1")),
        (f"1^^^EAST~{FIRST}", f"1^^^EAST~{SECOND}", ("AA", "205", "MRG^1^1^1")),
        (f"2^^^EAST~{FIRST}", f"2^^^EAST~{FIRST}", ("AE", "204", "MRG^1^1^1^1")),
        (f"1^^^NOWHERE~{SECOND}", f"1^^^EAST~{FIRST}", ("AR", "204", "PID^1^3^1^4")),
        ("1^^^EAST", f"1^^^EAST~{FIRST}", ("AR", "204", "PID^1^3^1^4")),
        (f"1^^^EAST~{SECOND}", "", ("AE", "101", "MRG^1^1^1^1")),
    ],
)
def test_a_move_that_makes_no_sense_changes_nothing_and_says_so(
    sender: Sender, two: Region, to: str, former: str, expected: tuple[str, str, str]
) -> None:
    before, written = persons(two), lines(two)
    assert refusal(sender.ask(move(to, f"MRG|{former}"))) == expected
    assert persons(two) == before
    assert lines(two) == written


def test_one_of_several_moves_that_makes_no_sense_undoes_all(sender: Sender, two: Region) -> None:
    before, written = persons(two), lines(two)
    wrong = (f"PID|2||2^^^EAST~{SECOND}", f"MRG|3^^^EAST~{SECOND}")
    answer = sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|1^^^EAST~{FIRST}", *wrong))
    assert refusal(answer) == ("AE", "204", "MRG^2^1^1^1")
    assert (persons(two), lines(two)) == (before, written)
    right = (f"PID|2||3^^^EAST~{SECOND}", f"MRG|3^^^EAST~{FIRST}")
    answer = sender.ask(
        move(f"1^^^EAST~{SECOND}", f"MRG|1^^^EAST~{FIRST}", *right, control_id="v2")
    )
    assert value(answer, "MSA.1") == "AA"
    assert two.person_of("1") == two.person_of("3") == two.person_of("C2", CARDS)


def test_who_does_not_issue_the_regions_ids_moves_nothing(sender: Sender, two: Region) -> None:
    before = persons(two)
    answer = sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|1^^^EAST~{FIRST}", facility="EAST"))
    # EAST may assign 1 alone: it is then taken for the affinity domain's ID and C2 for the local.
    assert value(answer, "MSA.1") in {"AE", "AR"}
    assert persons(two) == before


def test_a_move_that_is_not_on_record_does_not_happen(sender: Sender, two: Region) -> None:
    before, written = persons(two), lines(two)

    def full(record: ExchangeRecord) -> None:
        if record.outcome == "success":
            raise RuntimeError("no room")

    two.on_audit(full)
    assert refusal(sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|{FIRST}")))[0] == "AE"
    assert (persons(two), lines(two)) == (before, written)


def test_a_person_can_take_a_move_back(sender: Sender, two: Region) -> None:
    before = persons(two)
    sender.ask(move(f"1^^^EAST~{SECOND}", f"MRG|{FIRST}"))
    with two.parts.database.read() as session:
        last = session.scalar(select(func.max(LinkDecision.id)))
    assert last is not None
    two.patients.take_back(last, Decided(by="desk", reason="wrong", rule="desk"))
    assert persons(two) == before
