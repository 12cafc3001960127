"""What is past its term goes when a person says so, everywhere and for good; nothing else goes."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from access_control.audit import AuditQuery
from access_control.legal_holds import HoldRequest
from access_control.shared_links import NewLink, ShareRequest
from eir_versions.tables import EirVersionRow
from hub_kernel.settings import HubSettings, Settings, StudySettings
from hub_kernel.settings_retention import RetentionSettings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from hub_runtime.jobs import periodic_jobs
from hub_runtime.retention.deleting import StudyDeletion
from hub_runtime.retention.planning import Kept, retention_plan
from image_archive.errors import ClockDoubtedError
from image_archive.holdings import Holdings, held_by_site
from image_archive.retention import RetentionPolicy, RetentionRule
from image_archive.tables import INSTANCE, SERIES, STUDY
from image_archive.tables_deletion import DELETED_OBJECT, DELETED_STUDY
from tests.hub_runtime.retained import REASONS, ROOT, TODAY, complete, taken
from tests.support.clock import FixedClock
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import Shown, link_one_person, new_hub, settle
from viewer_api.dicomweb.ready_metadata import ReadyMetadata
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow, StudyManifestRow

YEARS = "--set=retention.years=15"


def keeping(folder: Path, retention: RetentionSettings) -> Hub:
    """Return the hub in `folder` with another policy."""
    settings = Settings(
        hub=HubSettings(data_dir=folder),
        study=StudySettings(quiet_period_s=0.001),
        retention=retention,
    )
    return build_hub(settings)


@dataclass(frozen=True)
class Retained:
    """A hub with one old study, one held, one of a person who was seen since, and a new one."""

    hub: Hub
    folder: Path
    old: Shown
    held: Shown
    seen_since: Shown
    new: Shown
    link: NewLink


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retained]:
    """Rendered, registered and shared, as a hub that runs has it."""
    folder = tmp_path_factory.mktemp("retention") / "data"
    hub = new_hub(folder)
    shown = [
        store_rendered(hub, 1, "R-OLD"),
        store_rendered(hub, 2, "R-HELD"),
        store_rendered(hub, 3, "R-SEEN"),
    ]
    taken(hub, 4, "R-SEEN", f"{TODAY:%Y%m%d}", years=0)
    new = taken(hub, 5, "R-NEW", f"{TODAY:%Y%m%d}", years=0)
    settle(hub, 2)
    person = hub.patients.resolve(patient_of(hub, shown[0]))
    link = hub.access.links.create(
        ShareRequest(shown[0].study, person or "", "dr", datetime.now(UTC) + timedelta(days=1))
    )
    yield Retained(hub, folder, *shown, new, link)
    hub.close()


def store_rendered(hub: Hub, number: int, patient_id: str) -> Shown:
    shown = taken(hub, number, patient_id)
    settle(hub, 1)
    ReadyMetadata(hub.base.backend, hub.index).make(shown.study)
    return shown


def patient_of(hub: Hub, shown: Shown):  # type: ignore[no-untyped-def]
    study = hub.index.study(shown.study)
    assert study is not None
    return study.patient


def test_a_person_deletes_what_is_past_its_term_and_only_the_hashes_stay(full: Retained) -> None:
    hub, data = full.hub, full.folder
    held = eirhub(
        "hold", "add", "--study", full.held.study, "--by", "wang", "--reason", "court", data=data
    )
    assert held.returncode == 0, held.stderr
    before = set(hub.base.backend.keys())
    plan = eirhub("archive", "retention", YEARS, "--json", data=data)
    told = json.loads(plan.stdout)
    assert (told["studies"], told["instances"], told["kept"]) == (1, 1, {"held": 1})
    assert [(one["site_id"], one["year"]) for one in told["by_site_and_year"]] == [("sijing", 2008)]
    naming = ("--delete", "--by", "li", "--reason", "term over")
    assert eirhub("archive", "retention", YEARS, *naming, "--confirm", "2", data=data).returncode
    assert set(hub.base.backend.keys()) == before
    assert hub.access.links.behind(full.link.token) is not None

    Holdings(hub.database).count()
    Holdings(hub.database).count()
    done = eirhub("archive", "retention", YEARS, *naming, "--confirm", "1", "--json", data=data)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deleted"]["studies"] == 1
    assert_gone(hub, full.old)
    assert hub.access.links.behind(full.link.token) is None
    for other in (full.held, full.seen_since, full.new):
        with hub.archive.open_dataset(other.instance) as stream:
            assert stream.read()
    with hub.database.read() as session:
        assert held_by_site(session)["sijing"][1] == 4
    after = set(hub.base.backend.keys())
    assert {key.partition("/")[0] for key in before - after} >= {"instances", "metadata"}
    assert after < before
    stays = json.loads(eirhub("archive", "deleted", full.old.study, "--json", data=data).stdout)
    assert (stays[0]["deleted_by"], stays[0]["reason"]) == ("cli:li", "term over")
    assert stays[0]["hashes"][0]["sop_instance_uid"] == full.old.instance
    assert len(stays[0]["hashes"][0]["dataset_sha256"]) == 64
    asked = AuditQuery(resource_ids=frozenset({full.old.study}), action="delete_study")
    found = hub.access.audit.search(asked).records
    assert [one.subject_id for one in found] == ["cli:li"]
    assert hub.access.audit.verify(lambda *_: None).ok
    report = hub.archive.reconcile(full=True)
    assert (report.rebuilt, report.missing) == (0, ())
    verified = eirhub("registry", "verify", data=data)
    assert verified.returncode == 0, verified.stdout


def assert_gone(hub: Hub, shown: Shown) -> None:
    assert hub.index.study(shown.study) is None
    assert hub.index.instance(shown.instance) is None
    assert hub.registry.manifest_of(shown.study) is None
    with hub.database.read() as session:
        for column, value in (
            (EirVersionRow.study_instance_uid, shown.study),
            (StudyManifestRow.study_instance_uid, shown.study),
        ):
            assert session.scalars(select(column).where(column == value)).all() == []
        assert session.scalars(select(DELETED_OBJECT.c.storage_key)).all() == []
        described = set(session.scalars(select(DocumentEntryRow.unique_id)))
        kept = set(session.scalars(select(RepositoryDocumentRow.unique_id)))
        assert kept <= described


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Studies that are not rendered: what is past its term, and what only looks so."""
    folder = tmp_path_factory.mktemp("plain") / "data"
    new_hub(folder).close()
    hub = keeping(folder, RetentionSettings(years=15))
    taken(hub, 20, "P-OLD")
    taken(hub, 21, "P-MADE-LATE", f"{TODAY:%Y%m%d}")
    taken(hub, 22, "P-CAME-LATE", years=1)
    taken(hub, 23, "P-NO-DATE", "")
    taken(hub, 24, "P-HELD")
    taken(hub, 25, "P-MERGED")
    taken(hub, 29, "P-NEW", f"{TODAY:%Y%m%d}", years=0)
    complete(hub)
    deliver_all_due(hub.database, hub.base.outbox)
    yield hub
    hub.close()


def due(hub: Hub) -> list[str]:
    return [one.study_instance_uid.rpartition(".")[2] for one in retention_plan(hub).due]


def test_both_dates_must_be_past_and_a_study_without_a_date_stays(plain: Hub) -> None:
    assert due(plain) == ["20", "24", "25"]


def test_a_hold_on_a_person_covers_what_is_merged_with_them_until_it_is_lifted(plain: Hub) -> None:
    holder, merged = (
        study.patient
        for study in (plain.index.study(f"{ROOT}.24"), plain.index.study(f"{ROOT}.25"))
        if study
    )
    person = plain.patients.resolve(holder)
    assert person is not None
    hold = plain.access.holds.place(HoldRequest(person, "wang", "complaint"), lambda *_: None)
    assert due(plain) == ["20", "25"]
    link_one_person(plain, holder, merged)
    assert due(plain) == ["20"]
    assert retention_plan(plain).kept == {Kept.HELD: 2}
    plain.access.holds.lift(hold.hold_id, "wang", "settled", lambda *_: None)
    assert due(plain) == ["20", "24", "25"]


def test_a_hold_placed_after_the_list_was_made_is_kept_to(plain: Hub) -> None:
    listed = retention_plan(plain).due
    patient = plain.index.study(f"{ROOT}.20")
    assert patient is not None
    person = plain.patients.resolve(patient.patient)
    assert person is not None
    hold = plain.access.holds.place(
        HoldRequest(person, "wang", "court", f"{ROOT}.20"), lambda *_: None
    )
    done = StudyDeletion(plain).run(listed[:1], REASONS, lambda *_: None)
    assert (done.amount.studies, done.kept) == (0, [f"{ROOT}.20"])
    assert plain.index.study(f"{ROOT}.20") is not None
    plain.access.holds.lift(hold.hold_id, "wang", "settled", lambda *_: None)


@pytest.mark.parametrize("years", [20, -1], ids=["ahead", "behind"])
def test_a_clock_that_jumps_deletes_nothing(plain: Hub, years: int) -> None:
    clock = plain.database.clock
    plain.database.clock = FixedClock(datetime.now(UTC) + timedelta(days=366 * years))
    try:
        with pytest.raises(ClockDoubtedError):
            retention_plan(plain)
    finally:
        plain.database.clock = clock
    assert due(plain) == ["20", "24", "25"]


def test_without_the_check_of_the_clock_a_jump_would_delete_what_is_new(plain: Hub) -> None:
    trusting = keeping(plain.settings.hub.data_dir, RetentionSettings(years=15, quiet_days=100_000))
    trusting.database.clock = FixedClock(datetime.now(UTC) + timedelta(days=366 * 20))
    try:
        assert "22" in due(trusting)
    finally:
        trusting.close()


def test_everything_is_kept_for_ever_unless_the_settings_say_otherwise(plain: Hub) -> None:
    hub = keeping(plain.settings.hub.data_dir, RetentionSettings())
    try:
        assert retention_plan(hub).due == []
    finally:
        hub.close()
    shown = eirhub("archive", "retention", data=plain.settings.hub.data_dir)
    assert "for ever" in shown.stdout


def test_of_several_modalities_the_longest_term_holds() -> None:
    policy = RetentionPolicy(
        years=0, rules=(RetentionRule(("CT", "MR"), 15), RetentionRule(("MG",), 30))
    )
    assert policy.shortest == 15
    assert policy.years_of(["CT"]) == 15
    assert policy.years_of(["CT", "MG"]) == 30
    assert policy.years_of(["CT", "US"]) == 0
    assert policy.years_of([]) == 0
    assert RetentionPolicy(years=10).years_of([]) == 10


def killed_deletion(folder: Path, after_objects: int) -> None:
    """Delete in a process that is killed: before its commit, or after so many objects went."""
    hub = keeping(folder, RetentionSettings(years=15))
    gone = 0
    remove, record = hub.base.backend.delete, hub.access.audit.record

    def removing(key: str) -> None:
        nonlocal gone
        if gone == after_objects:
            os.kill(os.getpid(), signal.SIGKILL)
        remove(key)
        gone += 1

    def recording(*given: object) -> None:
        record(*given)  # type: ignore[arg-type]
        if after_objects < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    hub.base.backend.delete = removing  # type: ignore[method-assign]
    hub.access.audit.record = recording  # type: ignore[method-assign,assignment]
    StudyDeletion(hub).run(retention_plan(hub).due, REASONS, lambda *_: None)


@pytest.mark.parametrize("after_objects", [-1, 0, 1])
def test_a_killed_deletion_leaves_everything_or_goes_on(tmp_path: Path, after_objects: int) -> None:
    folder = tmp_path / "data"
    new_hub(folder).close()
    hub = keeping(folder, RetentionSettings(years=15))
    old = taken(hub, 40, "K-OLD")
    taken(hub, 41, "K-NEW", f"{TODAY:%Y%m%d}", years=0)
    complete(hub)
    (key,) = [one for one in hub.base.backend.keys("instances") if one in storage_keys(hub, old)]
    hub.close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hub_runtime.cli"])
    child = context.Process(target=killed_deletion, args=(folder, after_objects))
    child.start()
    child.join(300)
    assert child.exitcode == -signal.SIGKILL

    after = keeping(folder, RetentionSettings(years=15))
    after.open()
    try:
        if after_objects < 0:
            with after.archive.open_dataset(old.instance) as stream:
                assert stream.read()
            return
        assert after.archive.reconcile(full=True).rebuilt == 0
        assert after.index.study(old.study) is None
        with after.database.read() as session:
            assert session.scalars(select(DELETED_STUDY.c.finished_at)).all() == [None]
        (job,) = [one for one in periodic_jobs(after) if one.name == "deletion-finish"]
        job.run()
        assert key not in set(after.base.backend.keys())
        with after.database.read() as session:
            assert session.scalars(select(DELETED_STUDY.c.finished_at)).all() != [None]
    finally:
        after.close()


def storage_keys(hub: Hub, shown: Shown) -> set[str]:
    instance = hub.index.instance(shown.instance)
    assert instance is not None
    return {instance.storage_key}


def test_without_the_list_of_what_is_to_go_a_start_would_bring_it_back(tmp_path: Path) -> None:
    hub = new_hub(tmp_path / "data")
    old = taken(hub, 50, "C-OLD")
    with hub.database.unit_of_work() as work:
        series = select(SERIES.c.id).where(SERIES.c.series_instance_uid == old.series)
        for statement in (
            delete(INSTANCE).where(INSTANCE.c.series_row_id.in_(series)),
            delete(SERIES).where(SERIES.c.series_instance_uid == old.series),
            delete(STUDY).where(STUDY.c.study_instance_uid == old.study),
        ):
            work.session.execute(statement)
    assert hub.archive.reconcile(full=True).rebuilt == 1
    assert hub.index.study(old.study) is not None
    hub.close()
