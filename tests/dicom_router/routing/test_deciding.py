"""Where an instance goes, which rule said so, and why the others did not."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_router.routing.deciding import asked_tags, decide
from dicom_router.routing.facts import facts_of
from dicom_router.routing.model import Delivery, Facts, Priority, Rule, When
from dicom_router.routing.windows import window
from dicom_router.routing.words import explained
from tests.dicom_router.instances import ct

AT = datetime(2026, 11, 20, 23, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
HEAD_CT = Facts(
    site_id="sijing",
    modality="CT",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    body_part="HEAD",
    archived_at=AT,
    emergency=True,
    tags={"StationName": ("CT01",)},
)


def matches(when: When, facts: Facts = HEAD_CT) -> bool:
    return bool(decide([Rule("r", when, (Delivery("d"),))], facts).routed)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (When(), True),
        (When(site=("sijing",)), True),
        (When(site=("jiu*", "SIJ*")), True),
        (When(site=("jiuting",)), False),
        (When(site=("*", "!sijing")), False),
        (When(site=("!jiuting",)), True),
        (When(site=("!sijing",)), False),
        (When(modality=("ct",)), True),
        (When(modality=("MR", "C?")), True),
        (When(modality=("C",)), False),
        (When(sop_class=("CTImageStorage",)), True),
        (When(sop_class=("1.2.840.10008.5.1.4.1.1.2",)), True),
        (When(sop_class=("*SRStorage",)), False),
        (When(sop_class=("!CTImageStorage",)), False),
        (When(body_part=("HEAD", "BRAIN")), True),
        (When(body_part=("CHEST",)), False),
        (When(emergency=True), True),
        (When(emergency=False), False),
        (When(during=window("22:00-06:00")), True),
        (When(during=window("08:00-18:00")), False),
        (When(during=window("", ("fri",))), True),
        (When(during=window("", ("sat",))), False),
        (When(tags={"StationName": ("CT*",)}), True),
        (When(tags={"StationName": ("MR*",)}), False),
        (When(tags={"InstitutionName": ("*",)}), False),
        (When(tags={"InstitutionName": ("!x",)}), True),
        (When(site=("sijing",), modality=("MR",)), False),
        (When(site=("[s]ijing",)), False),
    ],
)
def test_a_rule_matches_when_all_that_it_says_holds(when: When, *, holds: bool) -> None:
    assert matches(when) is holds


def test_a_destination_gets_an_instance_once_as_the_first_rule_says() -> None:
    first = Rule("first", When(), (Delivery("a", priority=Priority.HIGH),))
    second = Rule("second", When(), (Delivery("a", priority=Priority.LOW), Delivery("b")))
    decision = decide([first, second], HEAD_CT)
    assert [(r.rule, r.delivery.destination) for r in decision.routed] == [
        ("first", "a"),
        ("second", "b"),
    ]
    assert decision.routed[0].delivery.priority is Priority.HIGH
    assert [r.rule for r in decision.overruled] == ["second"]


def test_after_a_rule_that_stops_no_other_is_asked() -> None:
    stops = Rule("stops", When(modality=("CT",)), (Delivery("a"),), stop=True)
    decision = decide([stops, Rule("late", When(), (Delivery("b"),))], HEAD_CT)
    assert [r.delivery.destination for r in decision.routed] == ["a"]
    assert decision.outcomes[1].skipped == "stops"
    assert not decision.outcomes[1].matched


def test_a_rule_that_does_not_match_stops_nothing() -> None:
    stops = Rule("stops", When(modality=("MR",)), (Delivery("a"),), stop=True)
    decision = decide([stops, Rule("late", When(), (Delivery("b"),))], HEAD_CT)
    assert [r.delivery.destination for r in decision.routed] == ["b"]


def test_the_explanation_says_which_rule_and_why_the_others_did_not() -> None:
    rules = [
        Rule("chest", When(body_part=("CHEST",), modality=("CT",)), (Delivery("a"),)),
        Rule("head", When(body_part=("HEAD",)), (Delivery("b", during=window("22:00-06:00")),)),
        Rule("again", When(emergency=True), (Delivery("b"),), stop=True),
        Rule("rest", When(), (Delivery("c"),)),
    ]
    said = explained(decide(rules, HEAD_CT))
    assert "To b, because of rule head:" in said
    assert "only 22:00-06:00, an emergency at once" in said
    assert "Rule chest: does not match, because of body_part" in said
    assert "no   body_part: wanted CHEST; it is HEAD" in said
    assert "yes  modality: wanted CT; it is CT" in said
    assert "Rule again names b too" in said
    assert "Rule rest: not asked, because rule again matched and says stop" in said


def test_without_a_match_the_explanation_says_that_it_stays() -> None:
    assert "stays in the archive" in explained(decide([], HEAD_CT))


def test_facts_are_read_from_a_dataset() -> None:
    instance = ct(BodyPartExamined="HEAD", StationName="CT01", ImageType=["ORIGINAL", "PRIMARY"])
    wanted = asked_tags(
        [Rule("r", When(tags={"StationName": ("*",), "ImageType": ("*",)}), (Delivery("d"),))]
    )
    facts = facts_of(instance, "sijing", AT, wanted)
    assert facts == replace(
        HEAD_CT,
        emergency=False,
        tags={"StationName": ("CT01",), "ImageType": ("ORIGINAL", "PRIMARY")},
    )


@pytest.mark.parametrize("word", ["STAT", "HIGH", "stat "])
def test_an_urgent_order_makes_an_emergency(word: str) -> None:
    order = Dataset()
    order.RequestedProcedurePriority = word
    assert facts_of(ct(RequestedProcedurePriority=word), "s", AT).emergency
    assert facts_of(ct(RequestAttributesSequence=[order]), "s", AT).emergency
    assert not facts_of(ct(RequestedProcedurePriority="ROUTINE"), "s", AT).emergency


def test_a_value_that_cannot_be_read_is_taken_as_absent() -> None:
    instance = ct()
    tag = Tag("Rows")
    instance[tag] = RawDataElement(tag, "US", 3, b"abc", 0, False, True)  # noqa: FBT003
    facts = facts_of(instance, "s", AT, ["Rows"])
    assert (facts.modality, facts.tags) == ("CT", {})
