"""Ingest and rendering, embedded and distributed, in one run; and what a second worker adds.

python -m benchmarks.distributed [--studies 8] [--slices 20]

Embedded: SQLite, folder, threads. Distributed: PostgreSQL, folder, Celery on RabbitMQ; routers and
workers are processes of their own. The same studies are pushed while no worker runs; then the
workers start, and the clock runs from the last ready line until every version is recorded. Each
worker renders one study at a time with one decoding child. Processor time is that of all workers
with their children.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import create_engine, text

from benchmarks.rendering_data import write_study
from tests.support.brokers import running_broker
from tests.support.postgresql import running_postgresql

_READY = re.compile(r"eirhub ready.*")
_DICOM = re.compile(r"dicom=\S+?:([0-9]+)")
_QUICK = (
    "router.port=0",
    "router.accept_unknown_ae=true",
    "study.quiet_period_s=1",
    "tasks.workers=1",
    "eir.decode_processes=1",
)


@dataclass(frozen=True)
class Way:
    """One line of the table."""

    name: str
    workers: int
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Instances a second received; studies a second rendered; processor seconds for each study."""

    ingest: float
    rendered: float
    processor_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=8)
    parser.add_argument("--slices", type=int, default=20)
    options = parser.parse_args()
    print(f"load {', '.join(f'{one:.1f}' for one in os.getloadavg())}", flush=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        for number in range(options.studies):
            write_study(folder / "files" / str(number), 100 + number, options.slices, (512, 512))
        server = running.enter_context(running_postgresql())
        broker = running.enter_context(running_broker("rabbitmq"))
        celery = ("tasks.engine=celery", f"tasks.broker_url={broker.url}")
        for way in (
            Way("embedded, 1 worker", 1),
            Way("embedded, 2 workers", 2),
            Way("distributed, 1 worker", 1, celery),
            Way("distributed, 2 workers", 2, celery),
        ):
            with ExitStack() as database:
                url = database.enter_context(server.bare_database()) if way.settings else ""
                measured = _measure(folder, way, url, options)
            print(
                f"{way.name:24} {measured.ingest:7.0f} instances/s   "
                f"{measured.rendered:6.2f} studies/s   {measured.processor_s:5.2f} s CPU/study",
                flush=True,
            )


def _measure(folder: Path, way: Way, url: str, options: argparse.Namespace) -> Measured:
    data = folder / way.name.replace(", ", "-").replace(" ", "-")
    url = url or f"sqlite:///{data / 'eirhub.sqlite'}"
    settings = (*_QUICK, f"database.url={url}", *way.settings)
    with _started("router", data, settings) as router:
        port = (_DICOM.search(router.said) or [""])[1]
        began = time.monotonic()
        _push(int(port), folder / "files")
        ingest = options.studies * options.slices / (time.monotonic() - began)
    with ExitStack() as running:
        workers = [
            running.enter_context(_started("worker", data, settings)) for _ in range(way.workers)
        ]
        began = time.monotonic()
        _await_rendered(url, options.studies)
        took = time.monotonic() - began
        processor_s = sum(map(_processor_s, workers))
    return Measured(ingest, options.studies / took, processor_s / options.studies)


@dataclass
class _Started:
    process: "subprocess.Popen[str]"
    said: str


@contextmanager
def _started(role: str, data: Path, settings: tuple[str, ...]) -> Iterator[_Started]:
    command = [sys.executable, "-m", "hub_runtime.cli", role, "--data", str(data)]
    for setting in settings:
        command += ["--set", setting]
    data.mkdir(exist_ok=True)
    with (data / f"{role}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    line = process.stdout.readline() if process.stdout else ""
    if not _READY.match(line):
        raise SystemExit(f"{role} did not start: {(data / f'{role}.log').read_text()[-2000:]}")
    try:
        yield _Started(process, line)
    finally:
        process.terminate()
        process.wait(120)


def _push(port: int, files: Path) -> None:
    command = ["storescu", "+sd", "+r", "-R", "-aec", "EIRHUB", "127.0.0.1", str(port), str(files)]
    subprocess.run(command, check=True, capture_output=True)


def _await_rendered(url: str, studies: int) -> None:
    """Wait until each study is complete and nothing is owed to anybody."""
    engine = create_engine(url)
    asked = (
        "SELECT (SELECT count(*) FROM study WHERE generation = 1), "
        "(SELECT count(DISTINCT study_instance_uid) FROM eir_version), "
        "(SELECT count(*) FROM outbox_delivery)"
    )
    while True:
        with engine.connect() as connection:
            complete, rendered, owed = connection.execute(text(asked)).one()
        if (complete, rendered, owed) == (studies, studies, 0):
            break
        time.sleep(0.1)
    engine.dispose()


def _processor_s(started: _Started) -> float:
    process = psutil.Process(started.process.pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


if __name__ == "__main__":
    main()
