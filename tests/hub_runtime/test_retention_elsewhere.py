"""What is past its term goes from PostgreSQL and from the bucket too; killed on the way as well."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from sqlalchemy import delete, select

from access_control.legal_holds import HoldRequest
from hub_kernel.settings import DatabaseSettings, HubSettings, S3Settings, Settings, StudySettings
from hub_kernel.settings_archive import ArchiveSettings
from hub_kernel.settings_retention import RetentionSettings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from hub_runtime.jobs import periodic_jobs
from hub_runtime.retention.deleting import StudyDeletion
from hub_runtime.retention.planning import Kept, retention_plan
from hub_runtime.tiers import tiering
from image_archive.tables import INSTANCE, SERIES, STUDY
from image_archive.tables_deletion import DELETED_INSTANCE, DELETED_STUDY
from image_archive.tiering import TierPolicy
from tests.hub_runtime.retained import REASONS, ROOT, TODAY, complete, taken
from tests.support.postgresql import PostgresqlServer
from tests.support.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.viewer_api.region import Shown, site


@dataclass(frozen=True)
class Elsewhere:
    """A hub with its rows in PostgreSQL and its instances in a bucket, at once or moved there."""

    hub: Hub
    server: S3Server
    moved: bool

    def store(self, number: int, *, new: bool = False) -> Shown:
        """Take one study in, of long ago or of today, with its bytes in the bucket."""
        made = (f"{TODAY:%Y%m%d}", 0) if new else ()
        shown = taken(self.hub, number, f"E-{number}", *made)  # type: ignore[arg-type]
        complete(self.hub)
        deliver_all_due(self.hub.database, self.hub.base.outbox)
        if self.moved:
            tiering(self.hub).run(TierPolicy(grace_days=0), lambda _done, _total: None)
        return shown

    def key(self, shown: Shown) -> str:
        instance = self.hub.index.instance(shown.instance)
        assert instance is not None
        return instance.storage_key

    def in_bucket(self) -> set[str]:
        """The instances that the object store itself names."""
        bucket = self.server.bucket(self.hub.settings.s3.prefix).store()
        paths = (one["path"] for page in obstore.list(bucket, "instances") for one in page)
        return {path[path.index("instances/") :] for path in paths}

    def hold(self, shown: Shown) -> None:
        study = self.hub.index.study(shown.study)
        assert study is not None
        person = self.hub.patients.resolve(study.patient)
        request = HoldRequest(person or "", "wang", "court", shown.study)
        self.hub.access.holds.place(request, lambda *_: None)

    def tombstone(self, shown: Shown) -> tuple[str, bool]:
        """The digest that stays of a study's instance, and whether all its bytes are gone."""
        with self.hub.database.read() as session:
            row = session.execute(
                select(DELETED_INSTANCE.c.dataset_sha256, DELETED_STUDY.c.finished_at)
                .join(DELETED_STUDY, DELETED_STUDY.c.id == DELETED_INSTANCE.c.deleted_study_id)
                .where(DELETED_STUDY.c.study_instance_uid == shown.study)
            ).one()
        return row.dataset_sha256, row.finished_at is not None


def settings_of(folder: Path, url: str, server: S3Server, backend: str) -> Settings:
    (folder / "key").write_text(SECRET_ACCESS_KEY)
    return Settings(
        hub=HubSettings(data_dir=folder / "data"),
        database=DatabaseSettings(url=url),
        study=StudySettings(quiet_period_s=0.001),
        retention=RetentionSettings(years=15),
        archive=ArchiveSettings(backend=backend),  # type: ignore[arg-type]  # one of the two
        s3=S3Settings(
            bucket="eir",
            endpoint=server.endpoint,
            prefix=f"retention-{backend}",
            access_key_id=ACCESS_KEY_ID,
            secret_access_key_file=folder / "key",
        ),
    )


@pytest.fixture(scope="module", params=["s3", "filesystem"], ids=["bucket", "far tier"])
def elsewhere(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgresql: PostgresqlServer,
    s3_server: S3Server,
) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    with postgresql.bare_database() as url:
        hub = build_hub(settings_of(folder, url, s3_server, request.param))
        hub.open()
        hub.access.sites.add(site("sijing", 1))
        yield Elsewhere(hub, s3_server, moved=request.param == "filesystem")
        hub.close()


def test_rows_and_bytes_go_and_what_is_held_stays(elsewhere: Elsewhere) -> None:
    hub = elsewhere.hub
    old, held = elsewhere.store(60), elsewhere.store(61)
    elsewhere.hold(held)
    new = elsewhere.store(62, new=True)
    gone, kept, fresh = map(elsewhere.key, (old, held, new))
    instance = hub.index.instance(old.instance)
    assert instance is not None
    assert {gone, kept, fresh} <= elsewhere.in_bucket()

    plan = retention_plan(hub)
    assert [one.study_instance_uid for one in plan.due] == [old.study]
    assert plan.kept == {Kept.HELD: 1}
    done = StudyDeletion(hub).run(plan.due, REASONS, lambda *_: None)
    assert (done.amount.studies, done.kept) == (1, [])
    assert hub.index.study(old.study) is None
    assert elsewhere.in_bucket() & {gone, kept, fresh} == {kept, fresh}
    assert gone not in set(hub.base.backend.keys("instances"))
    assert elsewhere.tombstone(old) == (instance.dataset_sha256, True)
    for shown in (held, new):
        assert hub.archive.prove(shown.instance)
    report = hub.archive.reconcile(full=True)
    assert (report.rebuilt, report.missing) == (0, ())
    assert hub.access.audit.verify(lambda *_: None).ok


def killed_deletion(settings: Settings, *, after_commit: bool) -> None:
    """Delete in a process that is killed before its commit, or when the first bytes are to go."""
    hub = build_hub(settings)
    record = hub.access.audit.record

    def die(*_given: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def recording(*given: object) -> None:
        record(*given)  # type: ignore[arg-type]
        die()

    if after_commit:
        hub.base.backend.delete = die  # type: ignore[method-assign,assignment]
    else:
        hub.access.audit.record = recording  # type: ignore[method-assign,assignment]
    StudyDeletion(hub).run(retention_plan(hub).due, REASONS, lambda *_: None)


def kill(settings: Settings, *, after_commit: bool) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hub_runtime.cli"])
    child = context.Process(
        target=killed_deletion, args=(settings,), kwargs={"after_commit": after_commit}
    )
    child.start()
    child.join(300)
    assert child.exitcode == -signal.SIGKILL


def test_a_killed_deletion_leaves_everything_or_is_finished_by_the_job(
    elsewhere: Elsewhere,
) -> None:
    hub, old = elsewhere.hub, elsewhere.store(63)
    elsewhere.store(64, new=True)
    key = elsewhere.key(old)
    kill(hub.settings, after_commit=False)
    assert hub.archive.prove(old.instance)

    kill(hub.settings, after_commit=True)
    assert hub.index.study(old.study) is None
    assert key in elsewhere.in_bucket()
    assert not elsewhere.tombstone(old)[1]
    assert hub.archive.reconcile(full=True).rebuilt == 0  # what a start does
    (job,) = [one for one in periodic_jobs(hub) if one.name == "deletion-finish"]
    job.run()
    assert key not in elsewhere.in_bucket()
    assert elsewhere.tombstone(old)[1]


def test_control_without_the_list_of_what_is_to_go_a_start_would_bring_it_back(
    elsewhere: Elsewhere,
) -> None:
    hub, old = elsewhere.hub, elsewhere.store(65)
    elsewhere.store(66, new=True)
    with hub.database.unit_of_work() as work:
        study = select(STUDY.c.id).where(STUDY.c.study_instance_uid == f"{ROOT}.65")
        series = select(SERIES.c.id).where(SERIES.c.study_row_id.in_(study))
        work.session.execute(delete(INSTANCE).where(INSTANCE.c.series_row_id.in_(series)))
        work.session.execute(delete(SERIES).where(SERIES.c.study_row_id.in_(study)))
        work.session.execute(delete(STUDY).where(STUDY.c.study_instance_uid == f"{ROOT}.65"))
    assert hub.index.study(old.study) is None
    assert hub.archive.reconcile(full=True).rebuilt == 1
    assert hub.index.study(old.study) is not None
