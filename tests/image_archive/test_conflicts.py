"""The conflict desk: cases, decisions, and what follows from them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.events import Event, InstanceArchived, ObservedPatient, StudyCompleted
from hub_kernel.identifiers import PatientIdentifier
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.conflict_resolving import ConflictResolver
from image_archive.conflict_words import CaseStatus, Decided, DecisionState, Verdict
from image_archive.conflicts import CaseQuery, ConflictCases
from image_archive.errors import (
    CaseDecidedError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    InvalidDecisionError,
    UnreadableInstanceError,
)
from image_archive.index import ArchiveIndex
from image_archive.model import QuarantineReason, StudyState
from image_archive.service import ArchiveService
from image_archive.tables import CONFLICT_DECISION, QUARANTINE
from tests.image_archive.datasets import OTHER_TOWNSHIP, Sender, ct_slice, encoded
from tests.support.clock import FixedClock

DECIDED = Decided("li", "looked at both")
FIRST = ct_slice(1)
LATER = ct_slice(1, StudyDescription="corrected", PixelData=b"\x09" * 32)


@pytest.fixture
def cases(database: Database) -> ConflictCases:
    return ConflictCases(database)


@pytest.fixture
def resolver(database: Database, archive: ArchiveService) -> ConflictResolver:
    return ConflictResolver(database, archive)


def quietly(_session: Session) -> None:
    """No audit record: who decides writes it, here nobody does."""


def only_case(cases: ConflictCases) -> str:
    (case,) = cases.page(CaseQuery())
    return case.case_key


def live_bytes(archive: ArchiveService, uid: str = "1.2.3.1.1.1") -> bytes:
    with archive.open_dataset(uid) as stream:
        return stream.read()


@pytest.fixture
def conflicting(sender: Sender) -> None:
    sender.send(FIRST)
    with pytest.raises(ConflictingInstanceError):
        sender.send(LATER)


@pytest.mark.usefixtures("conflicting")
def test_the_same_bytes_again_make_no_second_case(sender: Sender, cases: ConflictCases) -> None:
    for _ in range(3):
        with pytest.raises(ConflictingInstanceError):
            sender.send(LATER)
    (case,) = cases.page(CaseQuery())
    assert (case.instances, case.times) == (1, 4)
    assert cases.counts() == {QuarantineReason.CONFLICTING_INSTANCE: 1}


def test_a_series_sent_again_with_other_bytes_is_one_case(
    sender: Sender, cases: ConflictCases
) -> None:
    for number in range(1, 4):
        sender.send(ct_slice(number))
    for number in range(1, 4):
        with pytest.raises(ConflictingInstanceError):
            sender.send(ct_slice(number, StudyDescription="again"))
    (case,) = cases.page(CaseQuery())
    assert case.instances == 3
    assert cases.total(CaseQuery()) == 1


@pytest.mark.usefixtures("conflicting")
def test_keeping_the_first_changes_nothing_live_and_can_be_undone(
    cases: ConflictCases, resolver: ConflictResolver, archive: ArchiveService
) -> None:
    key = only_case(cases)
    made = resolver.decide(key, Verdict.KEEP_FIRST, DECIDED, quietly)
    assert made.state is DecisionState.DONE
    assert live_bytes(archive) == encoded(FIRST)
    assert cases.page(CaseQuery()) == []
    resolver.undo(made.decision_id, "li", quietly)
    assert only_case(cases) == key
    assert cases.decisions(key)[0].state is DecisionState.UNDONE


@pytest.mark.usefixtures("conflicting")
def test_replacing_makes_the_later_live_and_opens_the_study_again(
    cases: ConflictCases,
    resolver: ConflictResolver,
    archive: ArchiveService,
    index: ArchiveIndex,
    clock: FixedClock,
    published: Callable[[], list[Event]],
) -> None:
    clock.advance(seconds=100)
    archive.complete_quiet_studies()
    key = only_case(cases)
    made = resolver.decide(key, Verdict.REPLACE, DECIDED, quietly)
    assert live_bytes(archive) == encoded(LATER)
    study = index.study("1.2.3")
    assert study
    assert (study.state, study.instance_count) == (StudyState.RECEIVING, 1)
    clock.advance(seconds=100)
    archive.complete_quiet_studies()
    kinds = [type(event) for event in published()]
    assert kinds.count(InstanceArchived) == 2
    generations = {e.generation for e in published() if isinstance(e, StudyCompleted)}
    assert generations == {1, 2}
    assert archive.verify(lambda done, total: None).ok
    resolver.undo(made.decision_id, "li", quietly)
    assert live_bytes(archive) == encoded(FIRST)


@pytest.mark.usefixtures("conflicting")
def test_after_replacing_both_senders_are_answered_as_before(
    cases: ConflictCases, resolver: ConflictResolver, sender: Sender
) -> None:
    resolver.decide(only_case(cases), Verdict.REPLACE, DECIDED, quietly)
    sender.send(LATER)
    with pytest.raises(ConflictingInstanceError):
        sender.send(FIRST)
    assert cases.page(CaseQuery()) == []


@pytest.mark.usefixtures("conflicting")
def test_keeping_both_archives_the_later_under_a_new_uid_that_says_so(
    cases: ConflictCases,
    resolver: ConflictResolver,
    archive: ArchiveService,
    index: ArchiveIndex,
) -> None:
    made = resolver.decide(only_case(cases), Verdict.KEEP_BOTH, DECIDED, quietly)
    assert made.state is DecisionState.DONE
    assert live_bytes(archive) == encoded(FIRST)
    (new,) = [i for i in index.instances_of("1.2.3") if i.sop_instance_uid != "1.2.3.1.1.1"]
    assert new.sop_instance_uid.startswith("2.25.")
    kept = archive.read_dataset(new.sop_instance_uid)
    assert kept.PixelData == LATER.PixelData
    (original,) = kept.OriginalAttributesSequence
    assert original.ModifiedAttributesSequence[0].SOPInstanceUID == "1.2.3.1.1.1"
    assert original.ReasonForTheAttributeModification == "COERCE"
    with pytest.raises(InvalidDecisionError):
        resolver.undo(made.decision_id, "li", quietly)


def test_two_patients_under_one_study_uid_end_as_two_studies(
    sender: Sender,
    cases: ConflictCases,
    resolver: ConflictResolver,
    archive: ArchiveService,
    index: ArchiveIndex,
) -> None:
    sender.send(ct_slice(1))
    other = Sender(archive, OTHER_TOWNSHIP)
    for number in (2, 3):
        with pytest.raises(ConflictingStudyError):
            other.send(ct_slice(number, PatientID="777", PatientName="Li^Mei"))
    resolver.decide(only_case(cases), Verdict.KEEP_BOTH, DECIDED, quietly)
    first = index.study("1.2.3")
    assert first
    assert first.instance_count == 1
    (second,) = index.studies_of([_identifier("777")])
    assert second.study_instance_uid.startswith("2.25.")
    assert (second.instance_count, second.site_id) == (2, "baihe")
    kept = archive.read_dataset(index.instances_of(second.study_instance_uid)[0].sop_instance_uid)
    before = kept.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert before.StudyInstanceUID == "1.2.3"


def _identifier(value: str) -> PatientIdentifier:
    return PatientIdentifier(value, OTHER_TOWNSHIP.issuer)


def _doubting(database: Database, backend: FilesystemBackend, clock: FixedClock) -> ArchiveService:
    def doubted(patient: ObservedPatient) -> bool:
        return patient.sex == "F"

    return ArchiveService(database, backend, clock, doubted=doubted)


def test_a_contradicting_patient_is_parked_and_archived_once_accepted(
    database: Database,
    backend: FilesystemBackend,
    clock: FixedClock,
    cases: ConflictCases,
    index: ArchiveIndex,
) -> None:
    archive = _doubting(database, backend, clock)
    with pytest.raises(ContradictingPatientError):
        Sender(archive).send(ct_slice(1, PatientSex="F"))
    assert index.study("1.2.3") is None
    resolver = ConflictResolver(database, archive)
    resolver.decide(only_case(cases), Verdict.ACCEPT, DECIDED, quietly)
    assert live_bytes(archive) == encoded(ct_slice(1, PatientSex="F"))


def test_a_contradicting_patient_can_get_the_right_number(
    database: Database,
    backend: FilesystemBackend,
    clock: FixedClock,
    cases: ConflictCases,
    index: ArchiveIndex,
) -> None:
    archive = _doubting(database, backend, clock)
    with pytest.raises(ContradictingPatientError):
        Sender(archive).send(ct_slice(1, PatientSex="F"))
    resolver = ConflictResolver(database, archive)
    key = only_case(cases)
    with pytest.raises(InvalidDecisionError, match="patient ID"):
        resolver.decide(key, Verdict.KEEP_BOTH, DECIDED, quietly)
    right = Decided("li", "the card says so", patient_id="54321")
    resolver.decide(key, Verdict.KEEP_BOTH, right, quietly)
    study = index.study("1.2.3")
    assert study
    assert study.patient.value == "54321"
    kept = archive.read_dataset(index.instances_of("1.2.3")[0].sop_instance_uid)
    before = kept.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert before.PatientID == "12345"


def test_what_cannot_be_read_is_listed_and_tried_again(
    sender: Sender, cases: ConflictCases, resolver: ConflictResolver
) -> None:
    with pytest.raises(UnreadableInstanceError):
        sender.send_bytes(b"rubbish, but not empty")
    key = only_case(cases)
    made = resolver.decide(key, Verdict.RETRY, DECIDED, quietly)
    assert made.state is DecisionState.FAILED
    (one,) = cases.parked(key)
    assert (one.status, one.times) == (CaseStatus.OPEN, 1)


def test_what_the_hub_reads_now_is_taken_in(
    sender: Sender,
    cases: ConflictCases,
    resolver: ConflictResolver,
    archive: ArchiveService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as younger:

        def refuse(*_args: object) -> None:
            raise UnreadableInstanceError("a fault of ours")

        younger.setattr("image_archive.receiving.read_header", refuse)
        with pytest.raises(UnreadableInstanceError):
            sender.send(FIRST)
    made = resolver.decide(only_case(cases), Verdict.RETRY, DECIDED, quietly)
    assert made.state is DecisionState.DONE
    assert live_bytes(archive) == encoded(FIRST)


@pytest.mark.usefixtures("conflicting")
def test_what_was_left_pending_is_finished_and_makes_the_same_bytes(
    database: Database,
    cases: ConflictCases,
    resolver: ConflictResolver,
    index: ArchiveIndex,
) -> None:
    key = only_case(cases)
    made = resolver.decide(key, Verdict.KEEP_BOTH, DECIDED, quietly)
    before = index.instances_of("1.2.3")
    with database.unit_of_work() as work:  # as if killed before the ends were noted
        work.session.execute(update(QUARANTINE).values(status="pending"))
        work.session.execute(update(CONFLICT_DECISION).values(state="pending"))
    assert resolver.finish_pending() == 1
    assert index.instances_of("1.2.3") == before
    assert resolver.decision(made.decision_id).state is DecisionState.DONE
    assert resolver.finish_pending() == 0


@pytest.mark.usefixtures("conflicting")
def test_a_case_is_decided_once(cases: ConflictCases, resolver: ConflictResolver) -> None:
    key = only_case(cases)
    resolver.decide(key, Verdict.KEEP_FIRST, DECIDED, quietly)
    with pytest.raises(CaseDecidedError):
        resolver.decide(key, Verdict.REPLACE, DECIDED, quietly)
    with pytest.raises(NotFoundError):
        resolver.decide("nothing", Verdict.REPLACE, DECIDED, quietly)


@pytest.mark.usefixtures("conflicting")
def test_an_audit_record_that_fails_undoes_the_decision(
    cases: ConflictCases, resolver: ConflictResolver, archive: ArchiveService
) -> None:
    def fail(_session: Session) -> None:
        raise OSError("the trail cannot be written")

    with pytest.raises(OSError, match="trail"):
        resolver.decide(only_case(cases), Verdict.REPLACE, DECIDED, fail)
    assert live_bytes(archive) == encoded(FIRST)
    assert len(cases.page(CaseQuery())) == 1


def test_the_later_of_another_series_does_not_replace(
    sender: Sender, cases: ConflictCases, resolver: ConflictResolver
) -> None:
    sender.send(FIRST)
    with pytest.raises(ConflictingInstanceError):
        sender.send(ct_slice(1, SeriesInstanceUID="1.2.3.9"))
    with pytest.raises(InvalidDecisionError, match="keep both"):
        resolver.decide(only_case(cases), Verdict.REPLACE, DECIDED, quietly)


@pytest.mark.usefixtures("conflicting")
def test_decided_bytes_are_discarded_after_the_retention_and_live_ones_never(
    cases: ConflictCases,
    resolver: ConflictResolver,
    archive: ArchiveService,
    backend: FilesystemBackend,
    clock: FixedClock,
) -> None:
    key = only_case(cases)
    made = resolver.decide(key, Verdict.REPLACE, DECIDED, quietly)
    (one,) = cases.parked(key)
    clock.advance(seconds=3600 * 24 * 91)
    assert resolver.discard_old(timedelta(days=90), lambda parked: parked == one.record) == 0
    assert backend.size(one.record.storage_key) > 0
    assert resolver.discard_old(timedelta(days=90), lambda _one: False) == 1
    assert resolver.discard_old(timedelta(days=90), lambda _one: False) == 0
    with pytest.raises(NotFoundError):
        backend.size(one.record.storage_key)
    assert live_bytes(archive) == encoded(LATER)
    with pytest.raises(InvalidDecisionError, match="discarded"):
        resolver.undo(made.decision_id, "li", quietly)


@pytest.mark.parametrize(
    ("syntax", "encoding"),
    [("1.2.840.10008.1.2", {"implicit": True}), ("1.2.840.10008.1.2.2", {"big_endian": True})],
    ids=["implicit", "big endian"],
)
def test_both_are_kept_in_the_transfer_syntax_they_came_in(
    sender: Sender,
    resolver: ConflictResolver,
    database: Database,
    index: ArchiveIndex,
    syntax: str,
    encoding: dict[str, bool],
) -> None:
    cases = ConflictCases(database)
    sender.send(FIRST)
    with pytest.raises(ConflictingInstanceError):
        sender.send_bytes(encoded(LATER, **encoding), transfer_syntax_uid=syntax)
    resolver.decide(only_case(cases), Verdict.KEEP_BOTH, DECIDED, quietly)
    (new,) = [i for i in index.instances_of("1.2.3") if i.sop_instance_uid != "1.2.3.1.1.1"]
    assert new.transfer_syntax_uid == syntax
    kept = sender.archive.read_dataset(new.sop_instance_uid)
    assert (kept.PatientID, kept.StudyDescription) == ("12345", "corrected")
