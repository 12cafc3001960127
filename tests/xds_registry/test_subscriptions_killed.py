"""Killed anywhere between the registration and the record of the sending: told after the start."""

import subprocess
import sys
from pathlib import Path

from tests.xds_registry.subscribing import listening

PROGRAM = Path(__file__).with_name("killed_notification.py")


def test_what_is_registered_is_told_wherever_the_hub_is_killed(tmp_path: Path) -> None:
    with listening() as consumer:
        command = [sys.executable, str(PROGRAM), str(tmp_path), consumer.address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        killed, *registered = done.stdout.split()
        told = [one for ids in consumer.ids() for one in ids]
    assert int(killed) > 15
    assert len(registered) > 10  # before the first commit there is nothing to tell
    assert set(told) == set(registered)
    assert len(set(consumer.message_ids())) == len(registered)
