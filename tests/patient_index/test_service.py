"""The patient index from outside: who becomes one person, and how that is undone."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select

from hub_kernel.database import Database
from hub_kernel.events import (
    InstanceArchived,
    LinkChanged,
    ObservedPatient,
    decode_event,
    new_event,
)
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.outbox import Outbox, OutboxEvent, Subscriber
from hub_kernel.person_names import decode_person_name
from hub_kernel.settings import IdentitySettings
from patient_index.errors import (
    UnidentifiedPatientError,
    UnknownIdentifierError,
    UnknownPersonError,
    UnknownReviewError,
)
from patient_index.model import Decided
from patient_index.service import PatientIndex
from tests.patient_index.conftest import (
    EAST,
    NORTH,
    NUMBER,
    WEST,
    CountingGlobalIds,
    patient,
    resident_number,
)
from tests.support.clock import FixedClock

HERE = PatientIdentifier("12345", EAST)
THERE = PatientIdentifier("12345", WEST)
BY_CLERK = Decided(by="clerk", reason="seen at the desk")
MISLABELLED = decode_person_name("王^小东".encode("gbk"), ["ISO_IR 192"])


def _linked(index: PatientIndex) -> str:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    return index.observe(patient(WEST, numbers=(NUMBER,)))


def test_a_new_identifier_becomes_a_person(index: PatientIndex) -> None:
    global_id = index.observe(patient(EAST))
    person = index.person(global_id)
    assert person is not None
    assert person.identifiers == (HERE,)
    assert (person.name.display, person.birth_date, person.sex) == (
        "王小东",
        date(1985, 3, 12),
        "M",
    )
    assert index.resolve(HERE) == global_id
    assert index.identifiers_of(global_id) == (HERE,)


def test_two_sites_with_the_same_local_id_never_meet(index: PatientIndex) -> None:
    assert index.observe(patient(EAST)) != index.observe(patient(WEST))
    assert index.open_reviews() == []


def test_the_namespace_does_not_tell_issuers_apart(index: PatientIndex) -> None:
    same = type(EAST)("EAST RENAMED", EAST.oid)
    assert index.observe(patient(EAST)) == index.observe(patient(same))


def test_padding_is_not_part_of_an_identifier(index: PatientIndex) -> None:
    assert index.observe(patient(EAST, "12345 ")) == index.observe(patient(EAST))
    assert index.resolve(PatientIdentifier(" 12345", EAST)) is not None


def test_observing_again_changes_nothing(index: PatientIndex) -> None:
    first = _linked(index)
    before = index.history(THERE)
    for _ in range(3):
        assert _linked(index) == first
    assert index.history(THERE) == before


def test_unknown_identifiers_resolve_to_nobody(index: PatientIndex) -> None:
    assert index.resolve(HERE) is None
    assert index.person("P0000000000000") is None
    assert index.identifiers_of("nothing") == ()
    assert index.history(HERE) == ()


@pytest.mark.parametrize("value", ["", "   ", "x" * 65, "a\0b", "a\nb"])
def test_patients_without_a_usable_id_are_refused(index: PatientIndex, value: str) -> None:
    with pytest.raises(UnidentifiedPatientError):
        index.observe(patient(EAST, value))


def test_a_verified_number_links_two_sites(index: PatientIndex) -> None:
    global_id = _linked(index)
    assert index.identifiers_of(global_id) == (HERE, THERE)
    entry = index.history(THERE)[-1]
    assert (entry.action, entry.decided.rule, entry.decided.by) == (
        "LINK",
        "verified-number",
        "rule",
    )


def test_the_local_id_itself_may_be_the_number(index: PatientIndex) -> None:
    first = index.observe(patient(EAST, NUMBER))
    assert index.observe(patient(WEST, "77", numbers=(NUMBER.lower(),))) == first


def test_a_number_that_arrives_later_links_then(index: PatientIndex) -> None:
    first = index.observe(patient(EAST, numbers=(NUMBER,)))
    second = index.observe(patient(WEST))
    assert second != first
    assert index.observe(patient(WEST, numbers=(NUMBER,))) == first
    assert index.person(second) is None


def test_the_older_global_id_survives_with_everything_linked_to_the_younger(
    index: PatientIndex,
) -> None:
    old = index.observe(patient(EAST))
    _ = index.observe(patient(WEST, numbers=(NUMBER,)))
    index.observe(patient(NORTH, numbers=(NUMBER,)))
    assert index.observe(patient(EAST, numbers=(NUMBER,))) == old
    assert len(index.identifiers_of(old)) == 3


@pytest.mark.parametrize(
    ("contradiction", "rule"),
    [
        ({"birth_date": date(1958, 3, 12)}, "birth-date-contradicts"),
        ({"sex": "F"}, "sex-contradicts"),
        ({"name": "李^娜"}, "name-contradicts"),
        ({"name": MISLABELLED}, "name-uncertain"),
    ],
)
def test_a_contradiction_keeps_two_persons_and_asks(
    index: PatientIndex, contradiction: dict[str, object], rule: str
) -> None:
    first = index.observe(patient(EAST, numbers=(NUMBER,)))
    second = index.observe(patient(WEST, numbers=(NUMBER,), **contradiction))  # type: ignore[arg-type]
    assert first != second
    [review] = index.open_reviews()
    assert (review.identifier, review.candidate, review.rule) == (THERE, HERE, rule)
    assert review.reason


def test_a_doubtful_name_links_once_it_is_read_with_certainty(index: PatientIndex) -> None:
    first = index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,), name=MISLABELLED))
    assert index.observe(patient(WEST, numbers=(NUMBER,))) == first
    assert index.open_reviews() == []


@pytest.mark.parametrize("number", [NUMBER[:-1] + "0", "110108850312001", "A-7788"])
def test_numbers_without_a_valid_check_digit_link_nobody(index: PatientIndex, number: str) -> None:
    assert index.observe(patient(EAST, numbers=(number,))) != index.observe(
        patient(WEST, numbers=(number,))
    )


def test_an_old_number_asks_a_person(index: PatientIndex) -> None:
    for site in (EAST, WEST):
        index.observe(patient(site, numbers=("110108850312001",)))
    assert [review.rule for review in index.open_reviews()] == ["unverified-number"]


def test_a_number_of_several_persons_asks_about_each(index: PatientIndex) -> None:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,), sex="F"))
    index.observe(patient(NORTH, numbers=(NUMBER,)))
    asked = [
        review.candidate for review in index.open_reviews() if review.rule == "several-persons"
    ]
    assert asked == [HERE, THERE]


def test_the_same_question_is_asked_once(index: PatientIndex) -> None:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    for name in ("李^娜", "李^丽", "李^霞"):
        index.observe(patient(WEST, numbers=(NUMBER,), name=name))
        index.observe(patient(EAST, numbers=(NUMBER,), name=f"王^小东^{name[-1]}"))
    assert len(index.open_reviews()) == 1


def test_unlinking_returns_to_the_first_global_id_and_stays(index: PatientIndex) -> None:
    before = index.observe(patient(WEST))
    shared = index.observe(patient(EAST, numbers=(NUMBER,)))
    shared = index.observe(patient(WEST, numbers=(NUMBER,)))
    apart = index.unlink(HERE, BY_CLERK)
    assert apart != shared == before
    assert index.resolve(THERE) == before
    # The number says "link" again; what a person took apart stays apart, and is asked about.
    assert index.observe(patient(EAST, numbers=(NUMBER,), name="王^晓东")) == apart
    assert [review.rule for review in index.open_reviews()] == ["separated-before"]


def test_unlinking_the_survivor_gives_it_a_new_id(index: PatientIndex) -> None:
    shared = _linked(index)
    apart = index.unlink(HERE, BY_CLERK)
    assert apart not in {shared, index.history(THERE)[0].global_id}
    assert index.resolve(THERE) == shared


def test_unlinking_somebody_alone_changes_nothing(index: PatientIndex) -> None:
    global_id = index.observe(patient(EAST))
    assert index.unlink(HERE, BY_CLERK) == global_id
    assert len(index.history(HERE)) == 1


def test_a_person_may_link_what_no_rule_would(index: PatientIndex) -> None:
    first = index.observe(patient(EAST))
    index.observe(patient(WEST, name="李^娜"))
    index.link(THERE, first, BY_CLERK)
    index.link(THERE, first, BY_CLERK)
    assert index.resolve(THERE) == first
    assert [(entry.action, entry.decided.by) for entry in index.history(THERE)] == [
        ("REGISTER", "rule"),
        ("LINK", "clerk"),
    ]


def test_links_are_only_made_between_what_exists(index: PatientIndex) -> None:
    global_id = index.observe(patient(EAST))
    with pytest.raises(UnknownIdentifierError):
        index.link(THERE, global_id, BY_CLERK)
    with pytest.raises(UnknownIdentifierError):
        index.unlink(THERE, BY_CLERK)
    with pytest.raises(UnknownPersonError):
        index.link(HERE, "P0000000000000", BY_CLERK)
    with pytest.raises(UnknownReviewError):
        index.keep_apart(1, BY_CLERK)


def test_what_is_kept_apart_is_not_asked_or_linked_again(index: PatientIndex) -> None:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    apart = index.observe(patient(WEST, numbers=(NUMBER,), name=MISLABELLED))
    [review] = index.open_reviews()
    index.keep_apart(review.review_id, BY_CLERK)
    index.keep_apart(review.review_id, BY_CLERK)
    assert index.open_reviews() == []
    assert index.observe(patient(WEST, numbers=(NUMBER,))) == apart


def test_links_can_be_asked_for_as_they_were(index: PatientIndex, clock: FixedClock) -> None:
    alone = index.observe(patient(WEST))
    registered = clock.now()
    clock.advance(hours=1)
    index.observe(patient(EAST))
    index.observe(patient(EAST, numbers=(NUMBER,)))
    clock.advance(hours=1)
    shared = index.observe(patient(WEST, numbers=(NUMBER,)))
    linked = clock.now()
    clock.advance(hours=1)
    apart = index.unlink(HERE, BY_CLERK)
    assert shared == alone
    assert index.resolve(HERE, as_of=registered) is None
    assert index.identifiers_of(shared, as_of=registered) == (THERE,)
    assert index.identifiers_of(shared, as_of=linked) == (THERE, HERE)
    assert index.resolve(HERE, as_of=linked) == shared
    assert index.resolve(HERE) == apart
    assert index.identifiers_of(shared) == (THERE,)


def test_the_newest_certain_statement_is_shown(index: PatientIndex) -> None:
    index.observe(patient(EAST, name="Wang^XiaoDong"))
    index.observe(patient(EAST, name="王^晓东", sex=""))
    global_id = index.observe(patient(EAST, name=MISLABELLED, birth_date=None))
    person = index.person(global_id)
    assert person is not None
    assert (person.name.display, person.sex, person.birth_date) == (
        "王晓东",
        "M",
        date(1985, 3, 12),
    )


def test_a_person_of_whom_nothing_is_known_is_still_a_person(index: PatientIndex) -> None:
    person = index.person(index.observe(patient(EAST, name="", birth_date=None, sex="")))
    assert person is not None
    assert (person.name.display, person.birth_date, person.sex) == ("", None, "")


def test_several_persons_are_read_in_the_order_asked(index: PatientIndex) -> None:
    first, second = index.observe(patient(EAST)), index.observe(patient(WEST))
    found = index.persons([second, "nobody", first, second])
    assert [person.global_id for person in found] == [second, first]


def test_global_ids_belong_to_the_affinity_domain(index: PatientIndex) -> None:
    identity = IdentitySettings()
    identifier = index.global_identifier("P1")
    assert identifier.issuer.oid == identity.global_oid
    assert identifier.cx == f"P1^^^&{identity.global_oid}&ISO"


def test_every_moved_identifier_is_told(tmp_path: Path, clock: FixedClock) -> None:
    outbox = Outbox([Subscriber("registry", LinkChanged, lambda _changed: None)])
    database = Database(f"sqlite:///{tmp_path / 'told.sqlite'}", clock=clock, outbox=outbox)
    database.create_all()
    index = PatientIndex(database, clock, IdentitySettings(), global_ids=CountingGlobalIds())
    global_id = _linked(index)
    with database.read() as session:
        [row] = session.scalars(select(OutboxEvent))
        told = decode_event(row.kind, row.payload)
    database.dispose()
    assert isinstance(told, LinkChanged)
    assert (told.identifier, told.global_id) == (THERE, global_id)


def test_archived_instances_are_observed(index: PatientIndex, clock: FixedClock) -> None:
    [subscriber] = index.subscribers()
    archived = new_event(
        subscriber.event_type,
        clock,
        sop_instance_uid="1.2.3",
        series_instance_uid="1.2",
        study_instance_uid="1",
        site_id="east",
        patient=patient(EAST),
    )
    assert subscriber.event_type is InstanceArchived
    subscriber.handle(archived)
    subscriber.handle(archived)
    assert len(index.history(HERE)) == 1


def test_only_a_patient_not_yet_observed_just_so_is_news(
    index: PatientIndex, clock: FixedClock
) -> None:
    """A thousand instances of a study cost one delivery, and none once that has been made."""
    [subscriber] = index.subscribers()

    def archived(number: int, who: ObservedPatient) -> InstanceArchived:
        return new_event(
            InstanceArchived,
            clock,
            sop_instance_uid=f"1.2.{number}",
            series_instance_uid="1.2",
            study_instance_uid="1",
            site_id="east",
            patient=who,
        )

    def news(*many: InstanceArchived) -> set[ObservedPatient]:
        return {one.patient for one in subscriber.owed(many)}

    here, there = patient(EAST), patient(WEST)
    group = [archived(1, here), archived(2, here), archived(3, there)]
    assert len(list(subscriber.owed(group))) == 2
    subscriber.handle(group[0])
    assert news(*group) == {there}
    assert news(archived(4, replace(here, sex="O"))) == {replace(here, sex="O")}


def test_an_instance_without_patient_id_is_not_tried_for_ever(
    index: PatientIndex, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    [subscriber] = index.subscribers()
    archived = new_event(
        InstanceArchived,
        clock,
        sop_instance_uid="1.2.3",
        series_instance_uid="1.2",
        study_instance_uid="1",
        site_id="east",
        patient=patient(EAST, ""),
    )
    subscriber.handle(archived)
    assert index.search("王小东", issuers=None, limit=5) == []
    assert "王" not in caplog.text


def test_hostile_text_is_stored_as_text(index: PatientIndex) -> None:
    hostile = "Robert'); DROP TABLE link_log;--^<script>"
    global_id = index.observe(
        patient(EAST, "' OR 1=1", name=hostile, numbers=("\0", "%", "x" * 5000, *["9"] * 100))
    )
    assert index.resolve(PatientIdentifier("' OR 1=1", EAST)) == global_id
    person = index.person(global_id)
    assert person is not None
    assert person.name.alphabetic == hostile.rstrip("^")


def test_twins_with_their_own_numbers_stay_two(index: PatientIndex) -> None:
    first = index.observe(patient(EAST, "1", numbers=(resident_number(serial="001"),)))
    second = index.observe(
        patient(EAST, "2", numbers=(resident_number(serial="003"),), name="王^小西")
    )
    assert first != second
