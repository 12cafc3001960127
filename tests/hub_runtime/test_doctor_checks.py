"""`eirhub doctor` finds what is wrong around a hub, and says what to do."""

import errno
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from kombu import Connection
from sqlalchemy import select, update

from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.outbox_tables import PARKED, OutboxDelivery
from hub_kernel.settings import Settings, TasksSettings
from hub_kernel.settings_files import load_settings
from hub_runtime import doctor_checks
from hub_runtime.bootstrap import build_hub, opened_hub
from hub_runtime.celery_lane import queue, queue_name
from hub_runtime.doctor_checks import Finding, broker, clock, disks, ports, queues
from hub_runtime.hub import Hub
from hub_runtime.serving import running
from image_archive.model import InstanceOrigin
from tests.dicom_router.conftest import TOWNSHIP
from tests.dicom_router.instances import ct, part10
from tests.support.brokers import Broker
from tests.support.clock import FixedClock
from tests.support.ports import free_port
from tests.support.postgresql import PostgresqlServer
from tests.support.serving_hub import eirhub
from tests.support.waiting import eventually

STUDY = "1.2.826.0.1.3680043.10.1603.69.4"
ORIGIN = InstanceOrigin("chengguan", TOWNSHIP.assigning_authority, "CT1", "EIRHUB", "127.0.0.1")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    settings = load_settings(overrides=(f"hub.data_dir={tmp_path}",))
    with opened_hub(settings, may_create=True) as hub:
        yield hub


def wrong(findings: Iterator[Finding]) -> list[Finding]:
    return [one for one in findings if not one.ok]


def at(name: str, bind: str, port: int) -> Settings:
    others = [f"{one}.port=0" for one in ("router", "web", "hl7") if one != name]
    return load_settings(overrides=(f"{name}.port={port}", f"{name}.bind={bind}", *others))


def test_a_free_port_is_in_order(tmp_path: Path) -> None:
    (found,) = ports(at("router", "127.0.0.1", free_port()))
    assert found.ok
    assert "free" in found.words


def test_a_port_of_another_program_is_found() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        other.listen()
        (found,) = wrong(ports(at("web", "127.0.0.1", other.getsockname()[1])))
    assert "another program" in found.words


def test_the_hubs_own_port_is_in_order(tmp_path: Path) -> None:
    chosen = (f"hub.data_dir={tmp_path}", "web.port=0", "viewer.port=0")
    with running(build_hub(load_settings(overrides=chosen)), ("web",)) as listening:
        assert listening.http
        port = int(listening.http.rpartition(":")[2])
        (found,) = ports(at("web", "127.0.0.1", port))
    assert found.ok, found.words


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (errno.EACCES, "CAP_NET_BIND_SERVICE"),
        (errno.EADDRNOTAVAIL, "127.0.0.1 is no address of this machine"),
        (errno.EADDRINUSE, "another program holds it"),
    ],
)
def test_a_port_that_cannot_be_opened_is_found(
    monkeypatch: pytest.MonkeyPatch, reason: int, advice: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(socket, "create_server", refuse)
    (found,) = wrong(ports(at("router", "127.0.0.1", free_port())))
    assert advice in found.words


def test_a_disk_is_looked_at_once_and_found_full(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    folders = {"data": tmp_path, "archive": tmp_path / "archive"}
    (found,) = disks(folders)
    assert found.subject == "disk of data"
    (full,) = wrong(disks(folders, least_free=1.1))
    assert "larger volume" in full.words
    (absent,) = wrong(disks({"archive": tmp_path / "gone"}))
    assert "No such file" in absent.words


def test_a_clock_that_was_set_back_is_found(hub: Hub) -> None:
    assert not wrong(clock(hub))
    hub.archive.store_file(part10(ct(1, STUDY)), ORIGIN)
    ahead = hub.base.clock.now() + timedelta(days=1)
    with hub.database.unit_of_work() as work:
        work.session.execute(update(doctor_checks.STUDY).values(last_received_at=ahead))
    assert any("set back" in one.words for one in wrong(clock(hub)))


def test_a_clock_that_differs_from_the_databases_is_found(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgresql.bare_database() as url:
        settings = load_settings(overrides=(f"hub.data_dir={tmp_path}", f"database.url={url}"))
        with opened_hub(settings, may_create=True) as hub:
            monkeypatch.setattr(doctor_checks, "is_synchronised", lambda: True)
            assert not wrong(clock(hub))
            monkeypatch.setattr(doctor_checks, "is_synchronised", lambda: False)
            assert any("chrony" in one.words for one in wrong(clock(hub)))
            late = hub.base.clock.now() - timedelta(seconds=5)
            monkeypatch.setattr(hub.base.clock, "now", lambda: late, raising=False)
            assert any("from the database's by" in one.words for one in wrong(clock(hub)))


def test_a_queue_that_nobody_serves_and_what_is_parked_are_found(hub: Hub) -> None:
    assert not wrong(queues(hub))
    long_ago = FixedClock()
    with hub.database.unit_of_work() as work:
        work.publish(
            new_event(
                StudyCompleted, long_ago, study_instance_uid="1.2.3", site_id="s", generation=1
            )
        )
    assert any("start a worker" in one.words for one in wrong(queues(hub)))
    with hub.database.unit_of_work() as work:
        work.session.execute(update(OutboxDelivery).values(state=PARKED, reason="no such study"))
    assert any("no such study" in one.words for one in wrong(queues(hub)))


def test_what_is_owed_to_a_part_that_is_not_there_is_found(hub: Hub) -> None:
    fields = {"study_instance_uid": "1.2.3", "site_id": "s", "generation": 1}
    with hub.database.unit_of_work() as work:
        work.publish(new_event(StudyCompleted, hub.base.clock, **fields))
    assert not wrong(queues(hub))
    with hub.database.unit_of_work() as work:
        (one, *_) = work.session.scalars(select(OutboxDelivery)).all()
        one.subscriber = "forwarding"
    (found,) = wrong(queues(hub))
    assert "owed to forwarding" in found.words
    assert "router.rules" in found.words


def test_what_is_parked_is_listed_and_owed_again_by_command(hub: Hub) -> None:
    fields = {"study_instance_uid": "1.2.3", "site_id": "s", "generation": 1}
    with hub.database.unit_of_work() as work:
        work.publish(new_event(StudyCompleted, hub.base.clock, **fields))
        work.session.execute(update(OutboxDelivery).values(state=PARKED, reason="no such study"))
    data = hub.settings.hub.data_dir
    listed = json.loads(eirhub("outbox", "list", "--json", data=data).stdout)
    assert {(one["pending"], one["parked"]) for one in listed} == {(0, 1)}
    assert {one["reason"] for one in listed} == {"no such study"}
    assert "name one subscriber, or --all" in eirhub("outbox", "retry", data=data).stderr
    one = eirhub("outbox", "retry", listed[0]["subscriber"], data=data)
    assert one.stdout == "1 deliveries are owed again\n"
    others = json.loads(eirhub("outbox", "retry", "--all", "--json", data=data).stdout)
    assert others == {"owed_again": len(listed) - 1}
    with hub.database.read() as session:
        assert hub.base.outbox.status(session).parked == 0


def at_broker(url: str) -> TasksSettings:
    return TasksSettings(engine="celery", broker_url=url)


def test_a_broker_that_is_away_is_found_and_its_password_is_not_said() -> None:
    assert not list(broker(TasksSettings(), ["rendering"]))
    url = "redis://hub:secret@127.0.0.1:1/0"
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        port = mute.getsockname()[1]
        for tried in (
            url,
            url.replace(":1/", f":{port}/"),
            f"amqp://hub:secret@127.0.0.1:{port}//",
        ):
            (found,) = broker(at_broker(tried), ["rendering"])
            assert not found.ok
            assert "secret" not in found.words
            assert "start it" in found.words


@pytest.mark.parametrize("name", ["redis", "rabbitmq"])
def test_what_waits_at_a_broker_is_said_and_that_nobody_takes_it(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: Broker = request.getfixturevalue(name)
    kind = f"doctored-{uuid.uuid4().hex}"
    (found,) = broker(at_broker(server.url), [kind])
    assert (found.ok, "no message waits" in found.words) == (True, True), found.words
    waiting = queue_name(kind, urgent=True)
    with Connection(server.url) as connection:
        bound = queue(waiting)(connection.default_channel)
        bound.declare()
        connection.Producer().publish([1], routing_key=waiting, exchange=bound.exchange)

    def told() -> list[Finding]:
        return [one for one in broker(at_broker(server.url), [kind]) if waiting in one.words]

    eventually(lambda: told() and f"{waiting} 1" in told()[0].words)
    (_, *nobody) = told()
    assert [one.ok for one in nobody] == ([False] if name == "rabbitmq" else [])
    with Connection(server.url) as connection:
        queue(waiting)(connection.default_channel).delete()


def test_the_command_says_all_of_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    eirhub("token", "create", "t", "--role", "radiologist", data=data)
    said = json.loads(eirhub("doctor", "--json", "--set", "web.port=0", data=data).stdout)
    subjects = {one["subject"].partition(" ")[0] for one in said}
    assert {"database", "archive", "router.port", "disk", "queue", "time"} <= subjects
