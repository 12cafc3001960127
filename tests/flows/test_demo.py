"""The newcomer's first command: the whole path, verified by the demo itself from outside."""

import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from tests.support.brokers import Broker
from tests.support.postgresql import PostgresqlServer
from tests.support.s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server

ROOT = Path(__file__).resolve().parents[2]


COUNTED = ("study", "instance", "document_entry", "eir_version", "eir_version_picture")


@dataclass(frozen=True)
class Demo:
    """A demo that has ended; its hub's log and database."""

    returncode: int
    said: str
    told: str
    log: str
    counts: dict[str, int]


def demo(folder: Path, database_url: str, *settings: str) -> Demo:
    command = [sys.executable, "-m", "hub_runtime.cli", "demo", "--exit", "--data", str(folder)]
    for setting in (f"database.url={database_url}", *settings):
        command += ["--set", setting]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    log = (folder / "demo.log").read_text(encoding="utf-8")
    return Demo(ended.returncode, ended.stdout, ended.stderr, log, counted(database_url))


def counted(database_url: str) -> dict[str, int]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        tables = (*COUNTED, "outbox_delivery WHERE state = 'parked'")
        counts = {one: text(f"SELECT count(*) FROM {one}") for one in tables}  # noqa: S608 (above)
        found = {one: connection.execute(query).scalar_one() for one, query in counts.items()}
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo as a newcomer runs it."""
    folder = tmp_path_factory.mktemp("embedded") / "demo"
    return demo(folder, f"sqlite:///{folder / 'eirhub.sqlite'}")


def assert_verified(ended: Demo) -> None:
    assert ended.returncode == 0, ended.told
    assert ended.said.strip() == "every step was verified"
    assert ended.told.count("✓") == 6
    assert "Traceback" not in ended.log
    for name in ("XiaoDong", "小东", "310117"):
        assert name not in ended.log, "patient data in the log"


def test_the_demo_verifies_every_step_and_ends_with_zero(embedded: Demo) -> None:
    assert_verified(embedded)


def test_the_demo_on_postgresql_an_object_store_and_celery_counts_the_same(
    embedded: Demo,
    postgresql: PostgresqlServer,
    s3_server: S3Server,
    rabbitmq: Broker,
    tmp_path: Path,
) -> None:
    secret = tmp_path / "s3.secret"
    secret.write_text(SECRET_ACCESS_KEY)
    secret.chmod(0o600)
    with postgresql.bare_database() as url:
        distributed = demo(
            tmp_path / "demo",
            url,
            "archive.backend=s3",
            f"s3.endpoint={s3_server.endpoint}",
            "s3.bucket=eir",
            f"s3.prefix=demo-{uuid.uuid4().hex}",
            f"s3.access_key_id={ACCESS_KEY_ID}",
            f"s3.secret_access_key_file={secret}",
            "tasks.engine=celery",
            f"tasks.broker_url={rabbitmq.url}",
        )
    assert_verified(distributed)
    assert "the broker answers" in distributed.log
    assert distributed.counts == embedded.counts


def test_a_demo_that_is_told_to_end_takes_its_hub_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hub_runtime.cli", "demo", "--data", str(tmp_path / "demo")]
    told = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert told.stderr is not None
    assert told.stderr.readline(), "the hub runs once the demo has named it"
    hubs = psutil.Process(told.pid).children()
    told.terminate()
    told.communicate(timeout=600)
    assert hubs
    assert not any(hub.is_running() for hub in hubs)
