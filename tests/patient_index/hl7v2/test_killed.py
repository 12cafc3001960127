"""A node killed between receiving and acknowledging: its sender repeats, nothing happens twice.

At every point the change and its audit record are both there, or neither is.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from access_control.audit import AuditQuery
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.settings import IdentitySettings
from patient_index.service import PatientIndex
from tests.patient_index.hl7v2.conftest import EAST
from tests.patient_index.hl7v2.killed_node import trail_of
from tests.patient_index.hl7v2.messages import WANG, adt, merge
from tests.patient_index.hl7v2.wire import connected, value
from tests.support.tables import create_tables

ROOT = Path(__file__).resolve().parents[3]
POINTS = (
    "commit",
    "carried-out",
    "recorded",
    pytest.param("received", marks=pytest.mark.long),
)
SLOW = ("received", "commit", "recorded")
MERGE_POINTS = ("carried-out", *(pytest.param(one, marks=pytest.mark.long) for one in SLOW))
FIRST = adt(f"1^^^EAST||{WANG}||19850312|M", control_id="1")
SECOND = adt("2^^^EAST||赵^铁柱||19700101|M", control_id="2")
MERGE = merge("1^^^EAST", "2^^^EAST")


@contextmanager
def node(database: Path, point: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "tests.patient_index.hl7v2.killed_node"]
    process = subprocess.Popen(
        [*command, f"sqlite:///{database}", point],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.stdin.close()
        process.wait(120)
        process.stdout.close()


def send(database: Path, point: str, *messages: str) -> list[str]:
    """Send messages to a node; MSA-1 of each, "" where it died instead."""
    with node(database, point) as (port, process), connected(port) as sender:
        answers = []
        for message in messages:
            sender.send(message)
            raw = sender.raw_answer()
            answers.append("AA" if b"MSA|AA" in raw else "")
            if not raw:
                process.wait(120)
                break
        return answers


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PatientIndex]:
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    create_tables(database)
    yield PatientIndex(database, SystemClock(), IdentitySettings())
    database.dispose()


def on_record(index: PatientIndex) -> list[str]:
    """Whom the feed's audit records are about, the newest first; the chain holds."""
    trail = trail_of(index.database)
    assert trail.verify().ok
    return [one.resource_id for one in trail.search(AuditQuery(action="feed_patient")).records]


@pytest.mark.parametrize("point", POINTS)
def test_a_registration_repeated_after_a_kill_is_carried_out_once(
    tmp_path: Path, index: PatientIndex, point: str
) -> None:
    database = tmp_path / "hub.sqlite"
    own = PatientIdentifier("1", EAST.authority)
    assert send(database, point, FIRST) == [""]
    done = 1 if point == "recorded" else 0
    assert (len(index.history(own)), len(on_record(index))) == (done, done)
    assert send(database, "never", FIRST, FIRST) == ["AA", "AA"]
    assert [entry.action for entry in index.history(own)] == ["REGISTER"]
    assert on_record(index) == [index.resolve(own)] * (done + 2)


@pytest.mark.parametrize("point", MERGE_POINTS)
def test_a_merge_repeated_after_a_kill_is_carried_out_once(
    tmp_path: Path, index: PatientIndex, point: str
) -> None:
    database = tmp_path / "hub.sqlite"
    assert send(database, "never", FIRST, SECOND) == ["AA", "AA"]
    assert send(database, point, MERGE) == [""]
    two = PatientIdentifier("2", EAST.authority)
    merged = [entry.action for entry in index.history(two)].count("MERGE")
    assert (merged, len(on_record(index)) - 2) == ((1, 1) if point == "recorded" else (0, 0))
    with node(database, "never") as (port, _), connected(port) as sender:
        answer = sender.ask(MERGE)
    assert value(answer, "MSA.1") == "AA"
    assert value(answer, "ERR.3.1") == ""
    assert index.resolve(PatientIdentifier("1", EAST.authority)) == index.resolve(two)
    assert [entry.action for entry in index.history(two)].count("MERGE") == 1


def test_the_control_without_a_kill_is_acknowledged_at_once(tmp_path: Path) -> None:
    assert send(tmp_path / "hub.sqlite", "never", FIRST) == ["AA"]
