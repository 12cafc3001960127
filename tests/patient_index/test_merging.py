"""Merge, unmerge, relink and take back: every change is a line, and every line can be undone."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from hub_kernel.database import Database
from hub_kernel.events import LinkChanged, decode_event
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.outbox import Outbox, OutboxEvent, Subscriber
from hub_kernel.settings import IdentitySettings
from patient_index.errors import (
    UnknownDecisionError,
    UnknownDomainError,
    UnknownIdentifierError,
    UnknownPersonError,
)
from patient_index.feed import PatientFeed
from patient_index.lookup import PatientLookup
from patient_index.model import Decided, Ignored
from patient_index.service import PatientIndex
from tests.patient_index.conftest import (
    EAST,
    NORTH,
    NUMBER,
    ON_BOTH,
    WEST,
    CountingGlobalIds,
    identifier,
    patient,
    statement,
)
from tests.patient_index.test_feed import STRANGER
from tests.support.clock import FixedClock

pytestmark = ON_BOTH

BY_SITE = Decided(by="HIS|EAST", reason="A40", rule="site-merge")
BY_CLERK = Decided(by="clerk", reason="two people after all")
OLD, NEW, ELSEWHERE = identifier(EAST, "old"), identifier(EAST, "new"), identifier(WEST, "w")


@pytest.fixture
def people(feed: PatientFeed, index: PatientIndex) -> dict[PatientIdentifier, str]:
    """Three patients; the one of `ELSEWHERE` is linked to `OLD`."""
    known = {
        OLD: feed.register(statement(EAST, "old")).global_id,
        NEW: feed.register(statement(EAST, "new")).global_id,
        ELSEWHERE: feed.register(statement(WEST, "w")).global_id,
    }
    index.link(ELSEWHERE, known[OLD], BY_CLERK)
    return known


def _places(index: PatientIndex) -> tuple[str | None, ...]:
    return tuple(index.resolve(one) for one in (OLD, NEW, ELSEWHERE))


def test_a_merge_moves_the_whole_person_and_can_be_taken_back(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    before = _places(index)
    merge = feed.merge(NEW, OLD, BY_SITE)
    assert (merge.global_id, merge.ignored, merge.subsumed_global_id) == (
        people[NEW],
        None,
        people[OLD],
    )
    assert set(_places(index)) == {people[NEW]}
    assert index.person(people[OLD]) is None
    assert index.successor(people[OLD]) == people[NEW]
    feed.unmerge(NEW, OLD, BY_CLERK)
    assert _places(index) == before
    assert index.successor(people[OLD]) == people[OLD]
    actions = [one.action for one in index.history(OLD)]
    assert actions == ["REGISTER", "MERGE", "UNMERGE"]


def test_what_was_merged_can_be_merged_again(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    feed.merge(NEW, OLD, BY_SITE)
    feed.unmerge(NEW, OLD, BY_CLERK)
    again = feed.merge(NEW, OLD, BY_SITE)
    assert again.ignored is None
    assert set(_places(index)) == {people[NEW]}


def test_an_unmerge_can_be_taken_back_too(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    feed.merge(NEW, OLD, BY_SITE)
    unmerge = feed.unmerge(NEW, OLD, BY_CLERK)
    assert unmerge.decision_id is not None
    redone = index.take_back(unmerge.decision_id, BY_CLERK)
    assert set(_places(index)) == {people[NEW]}
    assert feed.merge(NEW, OLD, BY_SITE).ignored == Ignored.ALREADY_MERGED
    index.take_back(redone, BY_CLERK)
    assert _places(index) == (people[OLD], people[NEW], people[OLD])


def test_taking_back_twice_is_taking_back_once(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    assert people
    merge = feed.merge(NEW, OLD, BY_SITE)
    assert merge.decision_id is not None
    assert index.take_back(merge.decision_id, BY_CLERK) == index.take_back(
        merge.decision_id, BY_CLERK
    )


def test_a_merge_without_sense_is_ignored_with_its_reason(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    third = identifier(EAST, "third")
    feed.register(statement(EAST, "third"))
    assert feed.merge(NEW, NEW, BY_SITE).ignored == Ignored.ITSELF
    assert feed.merge(NEW, ELSEWHERE, BY_SITE).ignored == Ignored.WRONG_AUTHORITY
    before = _places(index)
    feed.merge(NEW, OLD, BY_SITE)
    merged = _places(index)
    assert feed.merge(NEW, OLD, BY_SITE).ignored == Ignored.ALREADY_MERGED
    assert feed.merge(third, OLD, BY_SITE).ignored == Ignored.ALREADY_MERGED
    assert feed.merge(OLD, NEW, BY_SITE).ignored == Ignored.LOOP
    assert feed.merge(OLD, third, BY_SITE).ignored == Ignored.SURVIVOR_MERGED
    assert before != _places(index) == merged
    kept = index.decisions(people[NEW])
    assert [one.decided.rule for one in kept if one.action == "IGNORED"] == [
        "itself", "wrong-authority", "already-merged", "already-merged", "loop", "survivor-merged",
    ]  # fmt: skip


def test_a_longer_loop_is_seen(feed: PatientFeed) -> None:
    ring = [identifier(EAST, str(number)) for number in range(4)]
    for one in ring:
        feed.register(statement(EAST, one.value))
    for kept, moved in zip(ring[1:], ring, strict=False):
        assert feed.merge(kept, moved, BY_SITE).ignored is None
    assert feed.merge(ring[0], ring[3], BY_SITE).ignored == Ignored.LOOP


def test_a_merge_of_what_nobody_knows_is_refused(feed: PatientFeed) -> None:
    feed.register(statement(EAST, "new"))
    with pytest.raises(UnknownIdentifierError):
        feed.merge(NEW, OLD, BY_SITE)
    with pytest.raises(UnknownDomainError):
        feed.merge(NEW, identifier(STRANGER), BY_SITE)
    feed.register(statement(EAST, "old"))
    with pytest.raises(UnknownDecisionError):
        feed.unmerge(NEW, OLD, BY_CLERK)


def test_a_merge_message_is_carried_out_once(feed: PatientFeed, index: PatientIndex) -> None:
    for value in ("old", "new"):
        feed.register(statement(EAST, value))
    first = feed.merge(NEW, OLD, BY_SITE, "message")
    assert feed.merge(NEW, OLD, BY_SITE, "message") == first
    assert len(index.history(OLD)) == 2


def test_merging_two_who_are_linked_already_retires_the_identifier(
    feed: PatientFeed, lookup: PatientLookup, index: PatientIndex
) -> None:
    for value in ("old", "new"):
        global_id = feed.register(statement(EAST, value)).global_id
    index.link(OLD, global_id, BY_CLERK)
    assert OLD in lookup.cross_references(NEW)
    assert feed.merge(NEW, OLD, BY_SITE).ignored is None
    assert OLD not in lookup.cross_references(NEW)
    # What the archive holds under it still leads to the person.
    assert OLD in index.identifiers_of(global_id)
    person = lookup.person(global_id)
    assert person is not None
    assert person.merged == (OLD,)
    feed.unmerge(NEW, OLD, BY_CLERK)
    assert OLD in lookup.cross_references(NEW)


def test_undoing_an_early_merge_follows_the_survivor_through_later_ones(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    third = feed.register(statement(EAST, "third")).global_id
    first = feed.merge(NEW, OLD, BY_SITE)
    feed.merge(identifier(EAST, "third"), NEW, BY_SITE)
    assert set(_places(index)) == {third}
    assert first.decision_id is not None
    index.take_back(first.decision_id, BY_CLERK)
    assert _places(index) == (people[OLD], third, people[OLD])


def test_undoing_a_merge_leaves_what_a_person_moved_since(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    merge = feed.merge(NEW, OLD, BY_SITE)
    elsewhere = index.observe(patient(NORTH, "n", name="李^娜"))
    index.link(ELSEWHERE, elsewhere, BY_CLERK)
    assert merge.decision_id is not None
    index.take_back(merge.decision_id, BY_CLERK)
    assert _places(index) == (people[OLD], people[NEW], elsewhere)


def test_an_unlink_taken_back_returns_to_wherever_the_others_are(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    apart = index.unlink(ELSEWHERE, BY_CLERK)
    [unlink] = [one for one in index.decisions(apart) if one.action == "UNLINK"]
    feed.merge(NEW, OLD, BY_SITE)
    index.take_back(unlink.decision_id, BY_CLERK)
    assert set(_places(index)) == {people[NEW]}


def test_an_automatic_link_taken_back_stays_apart(index: PatientIndex) -> None:
    index.observe(patient(EAST, "old", numbers=(NUMBER,)))
    linked = index.observe(patient(WEST, "w", numbers=(NUMBER,)))
    [decision] = [one for one in index.decisions(linked) if one.action == "LINK"]
    assert decision.moved == (ELSEWHERE,)
    assert decision.decided.rule == "verified-number"
    index.take_back(decision.decision_id, BY_CLERK)
    again = index.observe(patient(WEST, "w", numbers=(NUMBER,), name="王^晓东"))
    assert again != linked
    assert [one.rule for one in index.open_reviews()] == ["separated-before"]
    [taken] = [one for one in index.decisions(linked) if one.decision_id == decision.decision_id]
    assert taken.undone_by is not None


def test_persons_are_merged_by_their_global_ids(
    index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    outcome = index.merge(people[NEW], people[OLD], BY_CLERK)
    assert outcome.decision_id is not None
    assert set(_places(index)) == {people[NEW]}
    index.take_back(outcome.decision_id, BY_CLERK)
    assert _places(index) == (people[OLD], people[NEW], people[OLD])
    assert index.merge(people[NEW], people[NEW], BY_CLERK).ignored == Ignored.ITSELF
    with pytest.raises(UnknownPersonError):
        index.merge(people[NEW], "P0000000000000", BY_CLERK)


def test_only_what_was_decided_can_be_taken_back(
    feed: PatientFeed, index: PatientIndex, people: dict[PatientIdentifier, str]
) -> None:
    assert people
    ignored = feed.merge(NEW, NEW, BY_SITE).decision_id or 0
    for decision_id in (ignored, 9999):
        with pytest.raises(UnknownDecisionError):
            index.take_back(decision_id, BY_CLERK)


def test_every_time_has_its_links(
    feed: PatientFeed, lookup: PatientLookup, index: PatientIndex, clock: FixedClock
) -> None:
    first = feed.register(statement(EAST, "old")).global_id
    second = feed.register(statement(EAST, "new", name="王^晓东")).global_id
    registered = clock.now()
    clock.advance(hours=1)
    feed.merge(NEW, OLD, BY_SITE)
    merged = clock.now()
    clock.advance(hours=1)
    feed.unmerge(NEW, OLD, BY_CLERK)
    clock.advance(hours=1)
    feed.update(statement(EAST, "old", name="李^东"))
    assert index.resolve(OLD, as_of=registered) == first
    assert index.resolve(OLD, as_of=merged) == second
    assert index.resolve(OLD) == first
    assert set(index.identifiers_of(second, as_of=merged)) == {OLD, NEW}
    assert NEW in lookup.cross_references(OLD, as_of=merged)
    assert NEW not in lookup.cross_references(OLD)
    then, now = lookup.person(first, as_of=registered), lookup.person(first)
    assert then is not None
    assert now is not None
    assert (then.name.display, now.name.display) == ("王小东", "李东")
    assert lookup.person_of(OLD, as_of=merged) == lookup.person(second, as_of=merged)


def test_every_moved_identifier_is_told_in_the_same_transaction(
    database: Database, clock: FixedClock
) -> None:
    outbox = Outbox([Subscriber("reader", LinkChanged, lambda _changed: None)])
    url = database.engine.url.render_as_string(hide_password=False)
    telling = Database(url, clock=clock, outbox=outbox)
    index = PatientIndex(telling, clock, IdentitySettings(), global_ids=CountingGlobalIds())
    kept, moved = index.observe(patient(EAST, "1")), index.observe(patient(WEST, "2"))
    outcome = index.merge(kept, moved, BY_CLERK)
    index.take_back(outcome.decision_id or 0, BY_CLERK)
    with database.read() as session:
        told = [decode_event(row.kind, row.payload) for row in session.scalars(select(OutboxEvent))]
    telling.dispose()
    changes = [(one.identifier, one.global_id) for one in told if isinstance(one, LinkChanged)]
    assert sorted(changes, key=str) == sorted(
        [(identifier(WEST, "2"), kept), (identifier(WEST, "2"), moved)], key=str
    )


@pytest.mark.parametrize("size", [1, 30])
def test_a_merge_costs_a_bounded_number_of_queries(
    feed: PatientFeed, index: PatientIndex, statements: Callable[[], Any], size: int
) -> None:
    for value in ("old", "new"):
        feed.register(statement(EAST, value))
    old = index.resolve(OLD) or ""
    for number in range(size):
        feed.register(statement(WEST, str(number), name=f"王^{number}"))
        index.link(identifier(WEST, str(number)), old, BY_CLERK)
    with statements() as seen:
        feed.merge(NEW, OLD, BY_SITE, "message")
    with statements() as undone:
        feed.unmerge(NEW, OLD, BY_CLERK)
    for asked in (seen, undone):
        assert 0 < len([one for one in asked if not one.startswith("BEGIN")]) <= 20, asked
