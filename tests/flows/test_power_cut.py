"""The power of a receiving hub's disk is cut, again and again: nothing acknowledged is lost.

A hundred cuts take a while. To follow and keep what they came to:
make test-long ARGS="-n 0 tests/flows/test_power_cut.py --log-file=cuts.log --log-file-level=INFO"
"""

import hashlib
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from tests.dicom_router.instances import ct, encoded
from tests.support.hub_process import HubProcess, start_router
from tests.support.pulled_plug import Disk, disk_of_its_own
from tests.support.serving_hub import eirhub

log = logging.getLogger(__name__)

HONEST = ("-m", "hub_runtime.cli")
CONTROL = ("tests/flows/hasty_hub.py", "never-flushes")
SETTINGS = ("archive.min_free_bytes=0",)
_ROOT = "1.2.826.0.1.3680043.10.1707"
_ENOUGH = 5
# One slow start among a hundred, on a machine that does other work, is no failure.
_PATIENCE_S = 600.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with disk_of_its_own(tmp_path) as disk:
        yield disk


@pytest.fixture
def data(disk: Disk, tmp_path: Path) -> Path:
    """The data folder on that disk; the hub's log lies beside it, on another."""
    (disk.mount / "data").mkdir(mode=0o700)
    os.sync()
    link = tmp_path / "data"
    link.symlink_to(disk.mount / "data")
    return link


def test_a_power_cut_loses_nothing_acknowledged(disk: Disk, data: Path) -> None:
    promised = cut_again_and_again(disk, data, rounds=1)
    assert len(promised) >= _ENOUGH
    assert lost(data, promised) == set()


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_a_hundred_power_cuts_lose_nothing_acknowledged(disk: Disk, data: Path) -> None:
    promised = cut_again_and_again(disk, data, rounds=100)
    assert len(promised) >= 100 * _ENOUGH
    assert lost(data, promised) == set()


@pytest.mark.long
def test_the_power_cut_test_sees_a_loss(disk: Disk, data: Path) -> None:
    """The control: a hub that leaves out its flushes loses what it acknowledged."""
    start_router(data, *SETTINGS, patience_s=_PATIENCE_S).stop()  # the schema is on the disk
    os.sync()
    promised = cut_again_and_again(disk, data, rounds=1, program=CONTROL)
    assert lost(data, promised)


def cut_again_and_again(
    disk: Disk, data: Path, *, rounds: int, program: tuple[str, ...] = HONEST
) -> dict[str, str]:
    """Cut the power in the middle of each round; return what was acknowledged, with its digest."""
    moments, promised = random.Random(1707), dict[str, str]()  # noqa: S311 - no secret
    for number in range(rounds):
        hub = start_router(data, *SETTINGS, program=program, patience_s=_PATIENCE_S)
        try:
            sender = _Sender(hub, f"{_ROOT}.{number + 1}", promised)
            sender.start()
            sender.await_acknowledged(_ENOUGH)
            time.sleep(moments.uniform(0, 0.4))  # any moment of the hub's work
            disk.cut()
        finally:
            hub.kill()
        sender.join(_PATIENCE_S)
        disk.turn_off()
        disk.turn_on()
        log.info("cut %d of %d, %d acknowledged so far", number + 1, rounds, len(promised))
    return promised


def lost(data: Path, promised: dict[str, str]) -> set[str]:
    """Start as every start does, read every byte again, and return what is not as promised."""
    start_router(data, *SETTINGS, patience_s=_PATIENCE_S).stop()
    eirhub("archive", "verify", *chain.from_iterable(("--set", one) for one in SETTINGS), data=data)
    # No part of a hub is opened here: it would hold files of the disk that is to be let go.
    with closing(sqlite3.connect(data / "eirhub.sqlite")) as database:
        rows = database.execute(
            "SELECT sop_instance_uid, dataset_sha256 FROM instance WHERE condition = 'intact'"
        )
        found = dict(rows.fetchall())
    missing = {uid for uid, digest in promised.items() if found.get(uid) != digest}
    log.info("%d acknowledged, %d lost", len(promised), len(missing))
    return missing


class _Sender(threading.Thread):
    """Sends slice after slice until the hub is gone; notes what it was told is safe."""

    def __init__(self, hub: HubProcess, study: str, promised: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._hub, self._study, self._promised = hub, study, promised
        self._acknowledged = 0

    def run(self) -> None:
        modality = AE("MODALITY")
        modality.acse_timeout = modality.dimse_timeout = _PATIENCE_S
        modality.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = modality.associate("127.0.0.1", self._hub.port)
        line = association.dul.socket.socket if association.dul.socket else None
        try:
            while association.is_established and self._send(association):
                pass
        finally:
            if association.is_established:
                association.abort()
            if line is not None:
                line.close()  # a peer that died leaves it open

    def _send(self, association: Association) -> bool:
        """Send one more slice; False once the hub takes no more."""
        instance = ct(
            self._acknowledged + 1, self._study, PatientID="PC1707", AccessionNumber="PC1707"
        )
        try:
            answer = association.send_c_store(instance)
        except (RuntimeError, ValueError):
            return False
        if "Status" not in answer or answer.Status != 0:
            return False
        self._promised[instance.SOPInstanceUID] = hashlib.sha256(encoded(instance)).hexdigest()
        self._acknowledged += 1
        return True

    def await_acknowledged(self, count: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self._acknowledged < count and self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert self._acknowledged >= count, "the hub acknowledges nothing"
