"""The engine of threads: what it carries out at once, again, and after a kill."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from hub_kernel.database import Database
from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.outbox import Outbox, Subscriber
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.tasks import ThreadTaskEngine
from tests.support.clock import FixedClock


@pytest.fixture
def outbox() -> Outbox:
    return Outbox([Subscriber("collect", StudyCompleted, lambda _event: None)])


def test_heavy_work_does_not_stand_in_the_way_of_quick_work(
    database: Database, clock: FixedClock
) -> None:
    heavy_begun, quick_done, may_finish = (threading.Event() for _ in range(3))

    def heavy(_event: object) -> None:
        heavy_begun.set()
        may_finish.wait(60)

    outbox = Outbox(
        [
            Subscriber("render", StudyCompleted, heavy, heavy=True),
            Subscriber("resolve", StudyCompleted, lambda _e: quick_done.set()),
        ]
    )
    database._outbox = outbox
    engine = ThreadTaskEngine(database, outbox, workers=1)
    database.on_published = engine.wake
    engine.start()
    try:
        with database.unit_of_work() as work:
            fields = {"study_instance_uid": "1.2.3", "site_id": "s", "generation": 1}
            work.publish(new_event(StudyCompleted, clock, **fields))
        assert heavy_begun.wait(60)
        assert quick_done.wait(60)
    finally:
        may_finish.set()
        engine.stop()
    with database.read() as session:
        assert outbox.status(session).pending == 0


def test_a_periodic_job_runs_again_after_it_failed(database: Database, outbox: Outbox) -> None:
    twice = threading.Event()
    calls: list[int] = []

    def job() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise LookupError
        twice.set()

    engine = ThreadTaskEngine(database, outbox, [PeriodicJob("probe", 0.01, job)])
    engine.start()
    try:
        assert twice.wait(60)
    finally:
        engine.stop()


def test_a_long_job_is_interrupted_when_the_engine_stops(
    database: Database, outbox: Outbox
) -> None:
    begun, interrupted = threading.Event(), threading.Event()
    seen: list[bool] = []

    def job() -> None:
        begun.set()
        seen.append(interrupted.wait(60))

    engine = ThreadTaskEngine(
        database, outbox, [PeriodicJob("patient", 0.01, job, interrupted.set)]
    )
    engine.start()
    try:
        assert begun.wait(60)
    finally:
        engine.stop()
    assert seen == [True]


KILLED_IN_THE_MIDDLE = """
    import sys, os, signal
    from hub_kernel.database import Database
    from hub_kernel.events import StudyCompleted, new_event
    from hub_kernel.outbox import Outbox, Subscriber
    from hub_kernel.tasks import ThreadTaskEngine

    def die(_event):
        os.kill(os.getpid(), signal.SIGKILL)

    outbox = Outbox([Subscriber("collect", StudyCompleted, die)])
    database = Database(sys.argv[1], outbox=outbox)
    database.create_all()
    with database.unit_of_work() as work:
        fields = dict(study_instance_uid="1.2", site_id="s", generation=1)
        work.publish(new_event(StudyCompleted, database.clock, **fields))
    ThreadTaskEngine(database, outbox).start()
    signal.pause()
"""


def test_a_delivery_survives_the_kill_of_its_worker(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'killed.sqlite'}"
    script = textwrap.dedent(KILLED_IN_THE_MIDDLE)
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", script, url], check=False, cwd=root, env={**os.environ}, timeout=600
    )
    assert killed.returncode == -signal.SIGKILL

    done = threading.Event()
    outbox = Outbox([Subscriber("collect", StudyCompleted, lambda _e: done.set())])
    database = Database(url, outbox=outbox)
    engine = ThreadTaskEngine(database, outbox)
    engine.start()
    try:
        assert done.wait(30)
    finally:
        engine.stop()
        database.dispose()
