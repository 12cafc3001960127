"""Each process says at its monitor whether it lives, whether it is ready, and what it counts."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hub_kernel.settings_files import load_settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from hub_runtime.monitor import Monitor
from hub_runtime.serving import running

Answer = tuple[int, str]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, str]]:
    folder = tmp_path_factory.mktemp("worker")
    chosen = (f"hub.data_dir={folder}", "monitor.port=0", "study.quiet_period_s=60")
    hub = build_hub(load_settings(overrides=chosen))
    with running(hub, ("worker",)) as listening:
        assert listening.monitor
        assert f"monitor={listening.monitor}" in listening.ready_line
        yield hub, listening.monitor


def asked(url: str) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_worker_is_alive_and_ready_and_counts(worker: tuple[Hub, str]) -> None:
    _, url = worker
    assert asked(f"{url}/healthz")[0] == 200
    code, said = asked(f"{url}/readyz")
    assert (code, json.loads(said)["status"]) == (200, "ready")
    code, numbers = asked(f"{url}/metrics")
    assert code == 200
    assert "eirhub_outbox_deliveries" in numbers


def test_there_is_nothing_else(worker: tuple[Hub, str]) -> None:
    _, url = worker
    assert {asked(f"{url}{path}")[0] for path in ("/", "/dicom-web/studies", "/metrics/")} == {404}


def test_a_process_that_is_being_ended_is_not_ready(worker: tuple[Hub, str]) -> None:
    hub, _ = worker
    monitor = Monitor(hub)
    with ExitStack() as stack:
        server = monitor.server()
        url = server.start()
        stack.callback(server.stop)
        assert asked(f"{url}/readyz")[0] == 200
        monitor.begin_to_end()
        code, said = asked(f"{url}/readyz")
        assert (code, json.loads(said)["lacking"]) == (503, ["it is being ended"])
        assert asked(f"{url}/healthz")[0] == 200
