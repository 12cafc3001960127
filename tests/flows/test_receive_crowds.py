"""Receiving one instance from a crowd of senders at once, and conflicts of a hub that is killed."""

import hashlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flows.receiving_trial import (
    CONFLICT,
    INSTANCES,
    Trial,
    series_of,
    trial_in,
)
from tests.support.hub_process import START_S, HubProcess, traced
from tests.support.pushing import push
from tests.support.tools import require_tool


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with trial_in(tmp_path / "data") as opened:
        yield opened


# How often each of forty senders sends: a thousand in all is the long form.
EACH = pytest.mark.parametrize("each", [3, pytest.param(25, marks=pytest.mark.long)])


def _crowd(trial: Trial, hub: HubProcess, variants: int, each: int) -> list[tuple[str, int]]:
    """Forty senders of one UID at once, each so often in a row; (digest, status) of each send."""
    kinds = [series_of(1, tint=variant)[0] for variant in range(variants)]

    def send(number: int) -> list[tuple[str, int]]:
        sent = kinds[number % variants]
        assert isinstance(sent.dataset, bytes)
        digest = hashlib.sha256(sent.dataset).hexdigest()
        statuses = []
        for _ in range(each):
            answered = push(hub.port, [sent], timeout_s=180.0)
            statuses.append((digest, answered[sent.sop_instance_uid]))
        return statuses

    with ThreadPoolExecutor(40) as pool:
        return [one for some in pool.map(send, range(40)) for one in some]


@EACH
def test_many_sends_of_one_instance_store_it_once(trial: Trial, each: int) -> None:
    hub = trial.start()
    answers = _crowd(trial, hub, 1, each)
    assert {status for _, status in answers} == {0}
    assert len(answers) == 40 * each
    hub.stop()
    assert trial.rows("SELECT count(*) FROM instance") == [(1,)]
    assert len([path for path in _objects(trial) if path.is_file()]) == 1


@EACH
def test_of_many_bytes_under_one_uid_exactly_one_is_acknowledged(trial: Trial, each: int) -> None:
    hub = trial.start()
    answers = _crowd(trial, hub, 8, each)
    hub.stop()
    acknowledged = {digest for digest, status in answers if status == 0}
    assert {status for _, status in answers} == {0, CONFLICT}
    assert len(acknowledged) == 1, "two senders were promised different bytes"
    assert trial.rows("SELECT dataset_sha256 FROM instance") == [tuple(acknowledged)]
    # The others are kept for a person, each once.
    kept = trial.rows("SELECT dataset_sha256 FROM quarantine")
    assert len(kept) == 7
    assert {row[0] for row in kept} == {digest for digest, _ in answers} - acknowledged


def test_the_crowd_test_can_fail(trial: Trial) -> None:
    """Control: a hub that matches by UID promises different bytes to several."""
    hub = trial.start(misdeed="matches-by-uid")
    answers = _crowd(trial, hub, 8, 1)
    assert len({digest for digest, status in answers if status == 0}) == 8


def _objects(trial: Trial) -> list[Path]:
    return list((trial.data / "archive" / "instances").rglob("*"))


# One conflicting instance costs writes to the spool, a copy, a flush, a rename, a flush of its
# folder, pages of the database's log, a flush of it, an answer.
CONFLICT_KILLS = (
    ("writing the other bytes", "pwrite64", 2),
    ("copying them", "sendfile", 1),
    ("flushing them", "fdatasync", 1),
    ("renaming them", "rename", 1),
    ("flushing their folder", "fsync", 1),
    ("writing the row", "pwrite64", 5),
    ("flushing the row", "fdatasync", 2),
    ("answering", "sendto", 2),
    ("after an answer", "recvfrom", 8),
)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.long)])
def test_what_was_answered_as_a_conflict_is_kept_whenever_the_hub_is_killed(
    trial: Trial, tmp_path: Path, every: int
) -> None:
    require_tool("strace")
    hub = trial.start()
    for number, (moment, call, when) in enumerate(CONFLICT_KILLS[::every]):
        assert set(trial.send(hub.port, series_of(number)).values()) == {0}
        kill = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}")
        with traced(hub, tmp_path / "kill.trace", *kill):
            answered = push(hub.port, series_of(number, tint=100))
        assert hub.process.wait(START_S) == -signal.SIGKILL, f"not killed: {moment}"
        assert set(answered.values()) <= {CONFLICT}, moment
        hub = trial.start()
        kept = {row[0] for row in trial.rows("SELECT sop_instance_uid FROM quarantine")}
        assert set(answered) <= kept, moment
        again = push(hub.port, series_of(number, tint=100))
        assert list(again.values()) == [CONFLICT] * INSTANCES, moment
    hub.stop()
    counted = trial.rows("SELECT count(*), count(DISTINCT storage_key) FROM quarantine")
    assert counted == [(INSTANCES * len(CONFLICT_KILLS[::every]),) * 2]
    assert trial.lost() == []
