"""Registering: atomic, and replacing deprecates what hangs on the replaced (ITI-42)."""

import threading
from dataclasses import replace

import pytest

from hub_kernel.database import Database
from tests.xds_registry.samples import GLOBAL, LOCAL, entry, relation, submission, urn
from xds_registry import store
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    DocumentEntry,
    ReferenceId,
    Submission,
)

APPROVED, DEPRECATED = AvailabilityStatus.APPROVED, AvailabilityStatus.DEPRECATED
RPLC, XFRM, APND = (
    AssociationType.REPLACES,
    AssociationType.TRANSFORMS,
    AssociationType.APPENDS,
)


def put(database: Database, what: Submission) -> None:
    with database.unit_of_work() as work:
        store.register(work.session, what)


def related(kind: AssociationType, new: DocumentEntry, old: DocumentEntry) -> Submission:
    return submission(new, relations=(relation(kind, new, old),))


def statuses(database: Database) -> dict[str, AvailabilityStatus]:
    with database.read() as session:
        return {one.entry_uuid: one.status for one in store.documents_of(session, [LOCAL.cx])}


def test_what_is_registered_comes_back_equal(database: Database) -> None:
    document = entry(
        title="CT 胸部",
        service_start_time="202401020304",
        source_patient_info=("PID-3|L-1", "PID-5|王^小东"),
        reference_ids=(ReferenceId.study("1.2.3"), ReferenceId.accession("A-1", "1.2")),
    )
    sent = submission(document)
    put(database, sent)
    with database.read() as session:
        assert store.documents_by_uuid(session, [document.entry_uuid]) == [document]
        assert store.documents_by_unique_id(session, [document.unique_id]) == [document]
        found = store.submission_sets_of(session, [LOCAL.cx], [APPROVED])
        assert found == [sent.submission_set]
        members = store.associations_of(session, [document.entry_uuid], list(AssociationType))
        assert members == list(sent.associations)


def test_replacing_deprecates_the_target_and_all_that_hangs_on_it(database: Database) -> None:
    old, new = entry("old"), entry("new")
    rendition, addendum, addendum_of_rendition = entry("r"), entry("a"), entry("ar")
    other = entry("other")
    for one in (
        submission(old),
        submission(other),
        related(XFRM, rendition, old),
        related(APND, addendum, old),
        related(APND, addendum_of_rendition, rendition),
        related(RPLC, new, old),
    ):
        put(database, one)
    assert statuses(database) == {
        old.entry_uuid: DEPRECATED,
        rendition.entry_uuid: DEPRECATED,
        addendum.entry_uuid: DEPRECATED,
        addendum_of_rendition.entry_uuid: DEPRECATED,
        new.entry_uuid: APPROVED,
        other.entry_uuid: APPROVED,
    }


def test_a_transformation_that_replaces_deprecates_too(database: Database) -> None:
    old, new = entry("old"), entry("new")
    put(database, submission(old))
    put(database, related(AssociationType.TRANSFORMS_AND_REPLACES, new, old))
    assert statuses(database) == {old.entry_uuid: DEPRECATED, new.entry_uuid: APPROVED}


@pytest.mark.parametrize("kind", [RPLC, XFRM, APND])
def test_relating_to_a_deprecated_document_is_refused(
    database: Database, kind: AssociationType
) -> None:
    old, new, late = entry("old"), entry("new"), entry("late")
    put(database, submission(old))
    put(database, related(RPLC, new, old))
    with pytest.raises(XdsRefusalError) as refused:
        put(database, related(kind, late, old))
    assert refused.value.code == ErrorCode.DEPRECATED_DOCUMENT
    assert late.entry_uuid not in statuses(database)


def test_relating_to_what_is_not_there_is_refused_and_nothing_is_kept(database: Database) -> None:
    with pytest.raises(XdsRefusalError) as refused:
        put(database, related(RPLC, entry("new"), entry("missing")))
    assert refused.value.code == ErrorCode.UNRESOLVED_REFERENCE
    assert statuses(database) == {}
    with database.read() as session:
        assert store.submission_sets_of(session, [LOCAL.cx], [APPROVED]) == []


def test_relating_documents_of_two_patients_is_refused(database: Database) -> None:
    other = "X-9^^^&1.2.3&ISO"
    old = entry("old", patient_id=other, linked_identifier=other)
    put(database, submission(old))
    with pytest.raises(XdsRefusalError) as refused:
        put(database, related(RPLC, entry("new"), old))
    assert refused.value.code == ErrorCode.PATIENT_ID_DOES_NOT_MATCH


def test_a_target_in_the_same_submission_is_found(database: Database) -> None:
    base, rendition = entry("base"), entry("rendition")
    put(database, submission(base, rendition, relations=(relation(XFRM, rendition, base),)))
    assert set(statuses(database).values()) == {APPROVED}


def test_one_refused_document_in_ten_keeps_all_ten_out(database: Database) -> None:
    put(database, submission(entry("taken")))
    ten = [entry(f"d{n}") for n in range(9)]
    bad = replace(entry("taken", sha1="0" * 40), entry_uuid=urn("again"))
    with pytest.raises(XdsRefusalError) as refused:
        put(database, submission(*ten, bad))
    assert refused.value.code == ErrorCode.NON_IDENTICAL_HASH
    assert len(statuses(database)) == 1


def test_a_unique_id_may_come_again_with_the_same_content_only(database: Database) -> None:
    put(database, submission(entry("one")))
    again = replace(entry("one"), entry_uuid=urn("again"))
    put(database, submission(again))
    with pytest.raises(XdsRefusalError) as refused:
        put(database, submission(replace(again, entry_uuid=urn("more"), size=9)))
    assert refused.value.code == ErrorCode.NON_IDENTICAL_SIZE


def test_a_submission_set_is_registered_once(database: Database) -> None:
    put(database, submission(entry("one"), name="set"))
    with pytest.raises(XdsRefusalError) as refused:
        put(database, submission(entry("two"), name="set"))
    assert refused.value.code == ErrorCode.DUPLICATE_UNIQUE_ID


def test_of_many_who_replace_at_once_one_succeeds(database: Database) -> None:
    old = entry("old")
    put(database, submission(old))
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait()
        try:
            put(database, related(RPLC, entry(f"new{number}"), old))
            outcomes.append("registered")
        except XdsRefusalError as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [ErrorCode.DEPRECATED_DOCUMENT] * 7 + ["registered"]
    assert sorted(statuses(database).values()) == [APPROVED, DEPRECATED]


def test_only_the_patients_own_documents_are_found(database: Database) -> None:
    other = "X-9^^^&1.2.3&ISO"
    put(database, submission(entry("mine")))
    put(database, submission(entry("theirs", linked_identifier=other, patient_id=other)))
    with database.read() as session:
        found = store.documents_of(session, [LOCAL.cx, GLOBAL.cx], [APPROVED])
        assert [one.entry_uuid for one in found] == [urn("mine")]
        assert store.documents_of(session, ["' OR 1=1 --"], [APPROVED]) == []
