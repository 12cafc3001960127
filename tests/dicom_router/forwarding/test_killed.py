"""Killed anywhere between the promise and the record of the answer: sent after the next start."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_router.peers import StoringPeer, storing_peer
from tests.dicom_router.wire import CT, EXPLICIT

PROGRAM = Path(__file__).with_name("killed_forwarding.py")


def run(folder: Path, peer: StoringPeer, stride: int, *control: str) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), str(folder), str(peer.port), str(stride), *control]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def digests(peer: StoringPeer) -> dict[str, set[str]]:
    """What the destination has been sent, by SOP Instance UID: every different thing once."""
    found: dict[str, set[str]] = {}
    for uid, _, data in peer.kept:
        found.setdefault(uid, set()).add(hashlib.sha256(data).hexdigest())
    return found


@pytest.mark.parametrize("stride", [2, pytest.param(1, marks=pytest.mark.long)])
def test_the_ledger_reconciles_to_zero_wherever_the_hub_is_killed(
    tmp_path: Path, stride: int
) -> None:
    with storing_peer({CT: [EXPLICIT]}) as peer:
        found = run(tmp_path, peer, stride)
    assert found["killed"] >= 10
    assert digests(peer) == {uid: {digest} for uid, digest in found["archive"].items()}
    assert found["states"] == dict.fromkeys(found["archive"], "sent")
    assert found["attempts"] > 1  # a lease was really taken back


def test_the_kill_test_can_fail(tmp_path: Path) -> None:
    """Control: a ledger that is written before the sending loses instances."""
    with storing_peer({CT: [EXPLICIT]}) as peer:
        found = run(tmp_path, peer, 6, "hasty")
    assert set(found["states"].values()) == {"sent"}
    assert set(digests(peer)) < set(found["archive"])
