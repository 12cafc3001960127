"""Several processes on one port promise together what one promises alone."""

import hashlib
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hub_kernel.settings_files import load_settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.serving import running
from tests.dicom_router.instances import ct, encoded
from tests.support.hub_process import START_S, HubProcess, start_router
from tests.support.pushing import Sent, push
from tests.support.waiting import comes_about, eventually

STUDY = "1.2.826.0.1.3680043.10.1603.12"
CONFLICT, OTHER_PATIENT = 0x0111, 0xC010
PATIENCE_S = 60
NOTHING_IS_INDEXED = (
    "CREATE TRIGGER nothing_is_indexed BEFORE INSERT ON instance "
    "BEGIN SELECT RAISE(ABORT, 'not now'); END"
)
PARENT_FORGETS = """
import os
from hub_runtime import cli
from hub_runtime.router_processes import RouterProcesses
from tests.support.waiting import comes_about, eventually

spawn = RouterProcesses._spawn

def forget(processes):
    child = spawn(processes)
    os.close(child.claims)
    child.claims = os.open(os.devnull, os.O_RDONLY)
    return child

RouterProcesses._spawn = forget
cli.main()
"""


def one(number: int, *, study: str = STUDY, tint: int = 0, patient: str = "12345") -> Sent:
    instance = ct(number, study, PixelData=bytes([tint + 1]) * 20_000, PatientID=patient)
    return Sent(str(instance.SOPInstanceUID), encoded(instance))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    hub = start_router(tmp_path / "data", "router.processes=2")
    yield hub
    if hub.process.poll() is None:
        hub.kill()


def children(hub: HubProcess) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(hub.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "hub_runtime.router_process" in child.cmdline():
                found.append(child)
    return found


def rows(tmp_path: Path, statement: str) -> list[tuple[str, ...]]:
    database = sqlite3.connect(f"file:{tmp_path / 'data' / 'eirhub.sqlite'}?mode=ro", uri=True)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


def test_of_many_bytes_under_one_uid_one_is_acknowledged_whoever_is_asked(
    hub: HubProcess, tmp_path: Path
) -> None:
    """And one patient of a study that two patients arrive with; all end in order with the hub."""
    kinds = [one(1, tint=tint) for tint in range(4)]
    patients = [one(n, study=f"{STUDY}.2", patient=f"P{n}") for n in range(2, 6)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda sent: push(hub.port, [sent]), [*kinds, *patients] * 8))
    said = [next(iter(answer.values())) for answer in answers]
    by_kind = {number: {said[at] for at in range(number, 64, 8)} for number in range(8)}
    assert sorted(map(sorted, (by_kind[n] for n in range(4)))) == [[0]] + [[CONFLICT]] * 3
    assert sorted(map(sorted, (by_kind[n] for n in range(4, 8)))) == [[0]] + [[OTHER_PATIENT]] * 3
    left = children(hub)
    assert len(left) == 2
    hub.stop()
    _, alive = psutil.wait_procs(left, timeout=1)
    assert not alive, "all end in order with the hub"
    (winner,) = [number for number in range(4) if by_kind[number] == {0}]
    dataset = kinds[winner].dataset
    assert isinstance(dataset, bytes)
    digest = hashlib.sha256(dataset).hexdigest()
    found = rows(
        tmp_path,
        f"SELECT dataset_sha256 FROM instance i WHERE "  # noqa: S608
        f"sop_instance_uid = '{kinds[0].sop_instance_uid}'",
    )
    assert found == [(digest,)]


def test_a_killed_process_loses_nothing_and_is_replaced(hub: HubProcess, tmp_path: Path) -> None:
    before = {child.pid for child in children(hub)}
    assert len(before) == 2
    promised: set[str] = set()

    def send(association: int) -> None:
        for number in range(60):
            sent = one(1000 * (association + 1) + number, study=f"{STUDY}.{association + 10}")
            promised.update(uid for uid, said in push(hub.port, [sent]).items() if said == 0)

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(send, association) for association in range(4)]
        eventually(lambda: len(promised) > 20)
        psutil.Process(min(before)).send_signal(signal.SIGKILL)
        for one_of in sending:
            one_of.result()
    # It is replaced, and what it promised is there.
    eventually(lambda: len({child.pid for child in children(hub)} - before) == 1)
    indexed = "SELECT sop_instance_uid FROM instance"
    eventually(lambda: promised <= {row[0] for row in rows(tmp_path, indexed)})
    hub.stop()


def answers_after_a_kill(hub: HubProcess, tmp_path: Path, *, may_wait_s: float) -> list[int]:
    """Let one process acknowledge what cannot be indexed, kill it, and contradict it at the other.

    Returns the answers to other bytes of the UID and to another patient of the study; it can be
    indexed again when the first of them is there, or after so long.
    """
    database = sqlite3.connect(tmp_path / "data" / "eirhub.sqlite", timeout=PATIENCE_S)
    database.execute(NOTHING_IS_INDEXED)
    assert set(push(hub.port, [one(1)]).values()) == {0}
    (progress,) = (tmp_path / "data").rglob("progress-*")
    killed = psutil.Process(int(progress.name.split("-")[1]))
    killed.kill()
    psutil.wait_procs([killed], timeout=PATIENCE_S)  # it takes no connection with it
    contradicting = [one(1, tint=1), one(2, patient="67890")]
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(push, hub.port, [sent], timeout_s=240.0) for sent in contradicting]
        comes_about(lambda: any(answer.done() for answer in asked), within_s=may_wait_s)
        database.execute("DROP TRIGGER nothing_is_indexed")
        said = [set(answer.result().values()) for answer in asked]
    database.close()
    return [next(iter(answer)) for answer in said]


def test_what_a_killed_process_acknowledged_stays_claimed_until_it_is_settled(
    hub: HubProcess, tmp_path: Path
) -> None:
    # Who keeps the claims answers nobody before it is settled.
    assert answers_after_a_kill(hub, tmp_path, may_wait_s=2) == [CONFLICT, OTHER_PATIENT]
    hub.stop()


def test_control_claims_that_end_with_the_process_let_a_contradiction_pass(tmp_path: Path) -> None:
    hub = start_router(tmp_path / "data", "router.processes=2", program=("-c", PARENT_FORGETS))
    try:
        assert 0 in answers_after_a_kill(hub, tmp_path, may_wait_s=PATIENCE_S)
    finally:
        hub.kill()


def test_one_process_that_is_asked_to_end_leaves_the_port_to_the_others(hub: HubProcess) -> None:
    """Who was connected to it is told to come again, and is served; none outlives the hub."""
    ending = children(hub)[0]
    ending.terminate()
    for number in range(10):
        sent = one(number)
        eventually(lambda sent=sent: set(push(hub.port, [sent]).values()) == {0})  # type: ignore[misc]
    eventually(lambda: ending not in children(hub) and len(children(hub)) == 2)
    left = children(hub)
    hub.kill()
    _, alive = psutil.wait_procs(left, timeout=START_S)
    assert not alive


def test_the_metrics_of_all_processes_are_shown(tmp_path: Path) -> None:
    ports = ("router.port=0", "web.port=0", "viewer.port=0")
    chosen = (*ports, "router.processes=2", "router.accept_unknown_ae=true")
    settings = load_settings(overrides=(f"hub.data_dir={tmp_path}", *chosen))
    with running(build_hub(settings), ("router", "web")) as listening:
        assert listening.dicom
        port = int(listening.dicom.rpartition(":")[2])
        for number in range(10):
            assert set(push(port, [one(number)]).values()) == {0}

        def received() -> float:
            with urllib.request.urlopen(f"{listening.http}/metrics") as answer:
                lines = answer.read().decode().splitlines()
            counted = [one for one in lines if one.startswith("eirhub_instances_received_total{")]
            assert all('process="' in one for one in counted)
            return sum(float(one.split()[-1]) for one in counted)

        eventually(lambda: received() == 10)
