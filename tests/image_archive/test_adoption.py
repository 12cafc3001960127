"""Orthanc as a second door: what comes to it by itself is the hub's soon after, counted."""

import re
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from hub_kernel.database import Database
from image_archive.adoption import _TRIES, Adoption
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.backends.orthanc import OrthancBackend
from image_archive.backends.orthanc_client import Sender
from image_archive.conflict_resolving import ConflictResolver
from image_archive.conflict_words import DecisionState, Verdict
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveError,
    ConflictingInstanceError,
    UnreadableInstanceError,
)
from image_archive.file_meta import read_file_meta
from image_archive.index import ArchiveIndex
from image_archive.model import IncomingHeader, InstanceOrigin, QuarantineReason
from image_archive.service import ArchiveService
from image_archive.tables import INSTANCE
from tests.dicom_router.instances import ct, encoded, part10
from tests.image_archive.datasets import (
    CT_IMAGE_STORAGE,
    EXPLICIT_LITTLE,
    TOWNSHIP,
    kept_files,
)
from tests.image_archive.test_conflicts import DECIDED, only_case, quietly
from tests.support.clock import FixedClock
from tests.support.orthanc_server import Orthanc, running_orthanc
from tests.support.pushing import Sent, push
from tests.support.waiting import eventually

TITLE = "QINGSHAN_CT"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("door"), OverwriteInstances=True) as server:
        yield server


@pytest.fixture
def archive(
    server: Orthanc, tmp_path: Path, database: Database, clock: FixedClock
) -> Iterator[ArchiveService]:
    server.empty()
    backend = OrthancBackend(server.server(), FilesystemBackend(tmp_path / "archive"))
    archive = ArchiveService(database, backend, clock)
    yield archive
    archive.close()


@pytest.fixture
def adoption(archive: ArchiveService, database: Database) -> Adoption:
    adoption = following(archive, database)
    adoption.run()
    return adoption


def following(archive: ArchiveService, database: Database) -> Adoption:
    assert isinstance(archive.backend, OrthancBackend)
    return Adoption(database, archive, archive.backend.client, admit)


def admit(sender: Sender) -> InstanceOrigin | None:
    known = sender.calling_ae_title == TITLE and sender.address == "127.0.0.1"
    return TOWNSHIP if known else None


def study_of(count: int) -> list[Sent]:
    uid = f"2.25.{uuid.uuid4().int % 10**30}"
    instances = [ct(number, uid) for number in range(1, count + 1)]
    return [Sent(str(one.SOPInstanceUID), encoded(one)) for one in instances]


def send(server: Orthanc, sent: list[Sent], calling: str = TITLE) -> None:
    answers = push(server.dicom_port, sent, calling=calling.encode(), called=b"ORTHANC")
    assert list(answers.values()) == [0] * len(sent)


def indexed(archive: ArchiveService, database: Database) -> set[str]:
    archive.settled()
    with database.read() as session:
        return set(session.scalars(select(INSTANCE.c.sop_instance_uid)))


def uids(sent: list[Sent]) -> set[str]:
    return {one.sop_instance_uid for one in sent}


def test_what_came_by_dicom_is_indexed_as_its_senders_and_stays_where_it_is(
    adoption: Adoption,
    archive: ArchiveService,
    server: Orthanc,
    index: ArchiveIndex,
    tmp_path: Path,
) -> None:
    sent = study_of(5)
    send(server, sent)
    assert adoption.run() == 5
    assert adoption.run() == 0
    assert indexed(archive, adoption.database) == uids(sent)
    first = index.instance(sent[0].sop_instance_uid)
    assert first
    found = index.study(first.study_instance_uid)
    assert found
    assert (found.site_id, found.patient.issuer) == (TOWNSHIP.site_id, TOWNSHIP.issuer)
    assert not list((tmp_path / "archive").glob("instances/*"))
    assert archive.verify(lambda _done, _total: None).ok


def test_what_the_hub_put_there_itself_is_not_adopted(
    adoption: Adoption, archive: ArchiveService, database: Database
) -> None:
    archive.store_file(part10(ct(1, f"2.25.{uuid.uuid4().int}")), TOWNSHIP)
    before = indexed(archive, database)
    assert adoption.run() == 0
    assert indexed(archive, database) == before
    assert len(before) == 1


def test_the_same_instance_of_another_day_goes_with_no_other_key(
    adoption: Adoption, archive: ArchiveService, database: Database, index: ArchiveIndex
) -> None:
    """As of two machines: one has published it and died, the other has taken it a day later."""
    uid = f"2.25.{uuid.uuid4().int}"
    archive.store_file(part10(ct(1, uid)), TOWNSHIP)
    (live,) = index.instances_of(uid)
    later = re.sub(r"/\d{4}/\d\d/\d\d/", "/2031/01/02/", live.storage_key)
    with database.unit_of_work() as work:
        work.session.execute(
            INSTANCE.update().where(INSTANCE.c.storage_key == live.storage_key),
            {"storage_key": later},
        )
    archive.reconcile(full=True)
    with archive.open_instance(live.sop_instance_uid) as stream:
        assert stream.read()


def test_an_unknown_sender_waits_for_a_person_and_is_taken_once_known(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc
) -> None:
    sent = study_of(2)
    send(server, sent, calling="STRANGER")
    assert adoption.run() == 0
    assert indexed(archive, database) == set()
    refusing = ConflictResolver(database, archive, lambda _record, _told: None)
    key = only_case(refusing.cases)
    (one, _) = refusing.cases.parked(key)
    assert one.record.reason is QuarantineReason.UNKNOWN_SENDER
    assert (one.record.calling_ae_title, one.record.site_id) == ("STRANGER", "")
    assert one.record.detail.endswith(" 127.0.0.1")
    assert refusing.decide(key, Verdict.RETRY, DECIDED, quietly).state is DecisionState.FAILED
    assert indexed(archive, database) == set()
    resolver = ConflictResolver(database, archive, lambda _record, _told: TOWNSHIP)
    assert resolver.decide(key, Verdict.RETRY, DECIDED, quietly).state is DecisionState.DONE
    assert indexed(archive, database) == uids(sent)


def test_what_came_by_orthancs_own_page_has_no_sender(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc
) -> None:
    server.rest("POST", "/instances", part10(ct(1, f"2.25.{uuid.uuid4().int}")))
    assert adoption.run() == 0
    assert indexed(archive, database) == set()
    assert only_case(ConflictResolver(database, archive).cases)


def test_other_bytes_under_a_uid_of_the_archive_are_parked(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc
) -> None:
    sent = study_of(1)
    send(server, sent)
    assert adoption.run() == 1
    archive.settled()
    dataset = bytes(sent[0].dataset)  # type: ignore[arg-type]
    other = Sent(sent[0].sop_instance_uid, dataset.replace(b"A100", b"B200"))
    send(server, [other])  # this Orthanc replaces what it has
    assert adoption.run() == 0
    cases = ConflictResolver(database, archive).cases
    (one,) = cases.parked(only_case(cases))
    assert one.record.reason is QuarantineReason.CONFLICTING_INSTANCE
    assert not archive.verify(lambda _done, _total: None).ok


def test_replacing_what_was_adopted_can_be_taken_back(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc
) -> None:
    sent = study_of(1)
    send(server, sent)
    assert adoption.run() == 1
    first = live_digest(archive, database)
    dataset = bytes(sent[0].dataset)  # type: ignore[arg-type]
    other = dataset.replace(b"A100", b"B200")
    header = IncomingHeader(CT_IMAGE_STORAGE, sent[0].sop_instance_uid, EXPLICIT_LITTLE, TOWNSHIP)
    with pytest.raises(ConflictingInstanceError), archive.incoming(header) as incoming:
        incoming.write(other)
        incoming.commit()
    resolver = ConflictResolver(database, archive)
    decided = resolver.decide(only_case(resolver.cases), Verdict.REPLACE, DECIDED, quietly)
    assert live_digest(archive, database) != first
    resolver.undo(decided.decision_id, "registrar", quietly)
    assert live_digest(archive, database) == first
    assert archive.verify(lambda _done, _total: None).ok


def live_digest(archive: ArchiveService, database: Database) -> str:
    archive.settled()
    with database.read() as session:
        return session.scalars(select(INSTANCE.c.dataset_sha256)).one()


def test_an_outage_in_the_middle_is_gone_on_from(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc
) -> None:
    sent = study_of(12)
    send(server, sent[:6])
    server.kill()
    with pytest.raises(ArchiveBusyError):
        adoption.run()
    server.start()
    send(server, sent[6:])
    assert adoption.run() == 12
    assert indexed(archive, database) == uids(sent)


def test_a_file_that_cannot_be_read_for_a_while_is_waited_for_and_then_given_up(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc
) -> None:
    sent = study_of(2)
    send(server, sent)
    file = server.stored_file(orthanc_ids(server, sent)[0])
    away = file.rename(file.with_suffix(".away"))
    with pytest.raises(ArchiveBusyError):
        adoption.run()
    away.rename(file)
    adoption.run()
    assert indexed(archive, database) == uids(sent)

    torn, after = study_of(1), study_of(1)
    send(server, torn)
    (lost,) = orthanc_ids(server, torn)
    server.stored_file(lost).unlink()
    send(server, after)
    for _ in range(_TRIES - 1):
        with pytest.raises(ArchiveBusyError):
            adoption.run()
    adoption.run()
    assert indexed(archive, database) == uids([*sent, *after])


def orthanc_ids(server: Orthanc, sent: list[Sent]) -> list[str]:
    """What Orthanc calls the instances that were sent."""
    return [
        found
        for uid in uids(sent)
        for found in [one["ID"] for one in server.rest("POST", "/tools/lookup", uid.encode())]
    ]


def test_what_was_being_adopted_when_the_hub_died_is_indexed_at_its_next_start(
    adoption: Adoption, archive: ArchiveService, database: Database, server: Orthanc, tmp_path: Path
) -> None:
    sent = study_of(3)
    send(server, sent)
    with closing(sqlite3.connect(tmp_path / "hub.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # rows wait; what is adopted is in the spool alone
        dying = threading.Thread(target=lambda: suppressed(adoption.run))
        dying.start()
        eventually(lambda: secured(tmp_path / "archive") >= len(sent))
        shutil.copytree(tmp_path / "archive", tmp_path / "disk")
        other.execute("ROLLBACK")
    dying.join()
    archive.close()
    anew = Database(f"sqlite:///{tmp_path / 'new.sqlite'}")
    anew.create_all()
    backend = OrthancBackend(server.server(), FilesystemBackend(tmp_path / "disk"))
    restarted = ArchiveService(anew, backend, FixedClock())
    report = restarted.reconcile()
    assert (report.rebuilt, report.unrecognised) == (len(sent), ())
    assert indexed(restarted, anew) == uids(sent)
    restarted.close()
    anew.dispose()


def secured(archive: Path) -> int:
    """How many instances are whole in the spool."""
    found = 0
    for file in kept_files(archive):
        with suppress(UnreadableInstanceError):
            found += read_file_meta(file.read_bytes()).seal is not None
    return found


def suppressed(run: Callable[[], object]) -> None:
    with suppress(ArchiveError):
        run()


def test_an_orthanc_with_another_past_is_looked_at_from_its_beginning(
    adoption: Adoption,
    archive: ArchiveService,
    database: Database,
    server: Orthanc,
    tmp_path: Path,
) -> None:
    first, others = study_of(3), [*study_of(9), *study_of(9)]
    send(server, first)
    assert adoption.run() == 3
    archive.settled()
    with running_orthanc(tmp_path / "another") as another:
        send(another, others)
        # It has gone further than the first: the number alone would tell nothing.
        backend = OrthancBackend(another.server(), FilesystemBackend(tmp_path / "archive"))
        moved = ArchiveService(database, backend, FixedClock())
        assert following(moved, database).run() == len(others)
        assert indexed(moved, database) == uids([*first, *others])
        moved.close()


def test_changes_that_somebody_deleted_lose_nothing(
    adoption: Adoption,
    archive: ArchiveService,
    database: Database,
    server: Orthanc,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.clear()
    sent = study_of(3)
    send(server, sent)
    server.rest("DELETE", "/changes")
    assert adoption.run() == 3
    assert indexed(archive, database) == uids(sent)
    assert looked_at_everything(caplog) == 1
    server.rest("DELETE", "/changes")
    more = study_of(2)
    for _ in range(3):
        adoption.run()
    send(server, more)
    assert adoption.run() == 2
    assert adoption.run() == 0
    assert indexed(archive, database) == uids([*sent, *more])
    assert looked_at_everything(caplog) == 2


def test_a_study_deleted_in_orthanc_makes_nobody_look_at_everything(
    adoption: Adoption, server: Orthanc, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = study_of(2), study_of(2)
    send(server, first)
    send(server, last)
    assert adoption.run() == 4
    adoption.archive.settled()
    adoption.run()
    newest = server.rest("GET", "/changes?last")["Changes"][-1]
    study = server.rest("GET", f"{newest['Path']}/study")["ID"]
    server.rest("DELETE", f"/studies/{study}")
    caplog.clear()
    more = study_of(3)
    send(server, more)
    assert adoption.run() == 3
    assert looked_at_everything(caplog) == 0


def looked_at_everything(caplog: pytest.LogCaptureFixture) -> int:
    return sum("feed is new" in one.message for one in caplog.records)


def test_a_lost_index_is_made_again_from_what_orthanc_holds(
    adoption: Adoption, archive: ArchiveService, server: Orthanc, tmp_path: Path, clock: FixedClock
) -> None:
    send(server, study_of(2))
    assert adoption.run() == 2
    archive.store_file(part10(ct(9, f"2.25.{uuid.uuid4().int}")), TOWNSHIP)
    before = indexed(archive, adoption.database)
    anew = Database(f"sqlite:///{tmp_path / 'new.sqlite'}", clock=clock)
    anew.create_all()
    backend = OrthancBackend(server.server(), FilesystemBackend(tmp_path / "archive"))
    restored = ArchiveService(anew, backend, clock)
    assert following(restored, anew).run() == 3
    assert indexed(restored, anew) == before
    restored.close()
    anew.dispose()
