"""Pictures and DICOMweb of EIR Hub beside Orthanc's, in one run: rendered, thumbnails, WADO-RS.

python -m benchmarks.rendering [--slices 1000] [--runs 3] [--folder FOLDER] [--seconds 20]

Both get the same studies by C-STORE; one client asks both over one connection each, the runs of a
line taking turns. It begins when both have done what they do with new studies: versions, metadata,
thumbnails made ahead. A rate counts whole answers, read to their end. Thumbnails and rendered
frames are of instances that nobody asked for before; what is asked again has lines of its own. What
comes from masters is asked after `eirhub archive compact`, in another quality. On a machine with
other work the processor time spent on an answer says more than the clock.
"""

import argparse
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil

from benchmarks.receivers import HUB, HUB_COMMAND, ORTHANC_WEB, Started
from benchmarks.rendering_data import CR_IMAGES, SLICES, Instance, Made, Study, studies
from eir_versions.instance_file import open_instance
from eir_versions.jobs import PictureJob
from eir_versions.pictures import make_picture

READERS = 32
_PICTURE = {"Accept": "image/jpeg"}
_FRAME = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
_DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_JSON = {"Accept": "application/dicom+json"}
_MASTERS_S = 2.0
_COMPLETE_S = 65.0  # a study completes when nothing came for a minute
_QUIET_SHARE, _QUIET_S, _QUIET_TIMES, _PATIENCE_S = 0.1, 5.0, 3, 300.0
_THUMBNAIL = 128
_USUAL, _ANOTHER = 90, 89
_AGAIN = 5


@dataclass
class Door:
    """One program's DICOMweb, asked over one connection."""

    name: str
    started: Started
    headers: dict[str, str]
    thumbnail: str

    def __post_init__(self) -> None:
        """Connect."""
        self._connection = self.connection()

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection of its own."""
        address = urlsplit(self.started.web)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)

    def get(
        self, path: str, headers: dict[str, str], over: http.client.HTTPConnection | None = None
    ) -> int:
        """Return how many bytes the answer had; anything but success ends the benchmark."""
        connection = over or self._connection
        asked = ("GET", f"/dicom-web{path}", None, headers | self.headers)
        try:
            connection.request(*asked)
            answer = connection.getresponse()
        except http.client.RemoteDisconnected:  # it keeps a connection for so many requests only
            connection.close()
            connection.request(*asked)
            answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or not body:
            raise SystemExit(f"{self.name}: {answer.status} for {path}: {body[:200]!r}")
        return len(body)


Ask = Callable[[Door, int], object]
"""Ask one thing; the number makes it another one each time."""


@dataclass(frozen=True)
class Line:
    """One line of the table: what is asked how often a run, and by how much we mean to win."""

    name: str
    ask: Ask
    times: int
    goal: float


def main() -> None:
    """Push, measure and print."""
    options = _options()
    print(f"load {', '.join(f'{one:.1f}' for one in os.getloadavg())}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name, ExitStack() as running:
        folder = Path(name)
        made = studies(folder / "files", options.slices)
        doors = [running.enter_context(_opened(kind, folder, made)) for kind in ("hub", "orthanc")]
        time.sleep(_COMPLETE_S)
        for door in doors:
            _await_quiet(door)
        _compare(doors, _lines(made), options.runs)
        _metadata(doors, made.small, options.runs)
        _readers(doors[0], made.ct, options.seconds)
        _compact(folder)
        print("\nAfter `eirhub archive compact`:")
        _compare(doors, _lines(made, first=CR_IMAGES // 2, quality=_ANOTHER), options.runs)
        _masters(folder)


def _await_quiet(door: Door) -> None:
    """Wait until a program has nothing more to do."""
    deadline, quiet = time.monotonic() + _PATIENCE_S, 0
    while quiet < _QUIET_TIMES and time.monotonic() < deadline:
        before = _processor_s(door)
        time.sleep(_QUIET_S)
        quiet = quiet + 1 if _processor_s(door) - before < _QUIET_SHARE * _QUIET_S else 0


def _lines(made: Made, first: int = 0, quality: int = _USUAL) -> list[Line]:
    """Return what is compared; thumbnails begin with the `first` CR.

    A picture of another `quality` is another picture: it has not been made before.
    """
    ct, cr = made.ct, made.cr
    return [
        Line("rendered frame, CT 512 x 512", _rendered(ct.instances, quality), 30, 2),
        Line("the same, asked again", _again(ct.instances, quality), 30, 2),
        Line("rendered frame, CR 2048 x 1760", _rendered(cr.instances, quality), 5, 10),
        Line("the same, asked again", _again(cr.instances, quality), 5, 10),
        Line("thumbnail of a CR", _thumbnails(cr.instances[first:]), CR_IMAGES // 6, 25),
        Line("WADO-RS frame, CT", _frames(ct.instances), 60, 2),
        Line("WADO-RS study of 100 CT slices", _study(ct), 1, 2),
    ]


def _rendered(instances: list[Instance], quality: int) -> Ask:
    """Ask for pictures that were not made before: in every round in another quality."""
    return lambda door, n: _picture(
        door, instances[n % len(instances)], quality - 2 * (n // len(instances))
    )


def _again(instances: list[Instance], quality: int) -> Ask:
    """Ask for the first few of them."""
    return lambda door, n: _picture(door, instances[n % _AGAIN], quality)


def _picture(door: Door, instance: Instance, quality: int) -> object:
    return door.get(f"{instance.path}/frames/1/rendered?quality={quality}", _PICTURE)


def _thumbnails(instances: list[Instance]) -> Ask:
    return lambda door, n: door.get(
        f"{instances[n % len(instances)].path}/{door.thumbnail}", _PICTURE
    )


def _frames(instances: list[Instance]) -> Ask:
    return lambda door, n: door.get(f"{instances[n % len(instances)].path}/frames/1", _FRAME)


def _study(study: Study) -> Ask:
    return lambda door, _: door.get(study.path, _DICOM)


def _compare(doors: list[Door], lines: list[Line], runs: int) -> None:
    print("| | EIR Hub | Orthanc | ratio | goal | by processor time |\n|---|---|---|---|---|---|")
    for line in lines:
        walls: dict[str, list[float]] = {door.name: [] for door in doors}
        spent: dict[str, list[float]] = {door.name: [] for door in doors}
        for run in range(runs):
            for door in doors:
                began, busy = time.perf_counter(), _processor_s(door)
                for number in range(line.times):
                    line.ask(door, run * line.times + number)
                walls[door.name].append((time.perf_counter() - began) / line.times)
                spent[door.name].append((_processor_s(door) - busy) / line.times)
        ours, theirs = (median(walls[door.name]) for door in doors)
        own, other = (median(spent[door.name]) * 1000 for door in doors)
        print(
            f"| {line.name} | {1 / ours:.1f}/s | {1 / theirs:.1f}/s | {theirs / ours:.1f} × "
            f"| {line.goal} × | {own:.1f} ms to {other:.1f} ms: {other / max(own, 0.1):.1f} × |",
            flush=True,
        )


def _processor_s(door: Door) -> float:
    """Processor time of a program and its children since they began, in seconds."""
    own = psutil.Process(door.started.process.pid)
    total = 0.0
    for one in (own, *own.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _metadata(doors: list[Door], study: Study, runs: int) -> None:
    for door in doors:
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            door.get(f"{study.path}/metadata", _JSON)
            times.append(time.perf_counter() - began)
        count = len(study.instances)
        print(f"metadata of {count} slices, {door.name}: {min(times) * 1000:.0f} ms", flush=True)


def _readers(door: Door, study: Study, seconds: float) -> None:
    """Let many readers scroll through one study at once, and look at the hub's memory."""
    before = _memory(door)
    stopped = threading.Event()
    seen = [0] * READERS
    most = [before]

    def scroll(reader: int) -> None:
        connection = door.connection()
        while not stopped.is_set():
            image = study.instances[(reader * 3 + seen[reader]) % len(study.instances)]
            door.get(f"{image.path}/frames/1/rendered", _PICTURE, connection)
            seen[reader] += 1

    readers = [threading.Thread(target=scroll, args=(n,)) for n in range(READERS)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        most.append(_memory(door))
        stopped.wait(0.25)
    stopped.set()
    for reader in readers:
        reader.join()
    print(
        f"{READERS} readers: {sum(seen) / seconds:.0f} pictures/s, memory {before / 1e6:.0f} MB "
        f"before, {max(most) / 1e6:.0f} MB at most",
        flush=True,
    )


def _memory(door: Door) -> int:
    """Resident bytes of the hub and of its children."""
    own = psutil.Process(door.started.process.pid)
    total = 0
    for one in (own, *own.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _masters(folder: Path) -> None:
    """Make thumbnails from masters in this process: what one core can do."""
    masters = (folder / "hub" / "data" / "archive" / "masters").rglob("*")
    files = {path: path.stat().st_size for path in masters if path.is_file()}
    large = [path for path, size in files.items() if size > 1_000_000]
    small = [path for path, size in files.items() if 20_000 < size <= 1_000_000]
    job = PictureJob(box=(_THUMBNAIL, _THUMBNAIL), quality=80, reduced=True)
    for name, chosen in (("CR", large), ("CT", small)):
        made, began = 0, time.process_time()
        while chosen and time.process_time() - began < _MASTERS_S:
            with chosen[made % len(chosen)].open("rb") as source:
                make_picture(open_instance(source), job)
            made += 1
        rate = made / (time.process_time() - began) if made else 0.0
        print(f"thumbnails of {_THUMBNAIL} pixels from masters, {name}: {rate:.0f}/s a core")


def _compact(folder: Path) -> None:
    command = [*HUB_COMMAND[:-1], "archive", "compact", "--data", str(folder / "hub" / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout.strip() or done.stderr.strip()[-400:], flush=True)


@contextmanager
def _opened(kind: str, folder: Path, made: Made) -> Iterator[Door]:
    own = folder / kind
    own.mkdir()
    with (HUB if kind == "hub" else ORTHANC_WEB).running(own) as started:
        for path in made.folders:
            push = ["storescu", "+sd", "-aec", "BENCH", "127.0.0.1", str(started.port), str(path)]
            subprocess.run(push, check=True, capture_output=True)
        headers = {"Authorization": f"Bearer {_token(own)}"} if kind == "hub" else {}
        thumbnail = (
            "thumbnail" if kind == "hub" else f"rendered?viewport={_THUMBNAIL * 2},{_THUMBNAIL * 2}"
        )
        yield Door("EIR Hub" if kind == "hub" else "Orthanc", started, headers, thumbnail)


def _token(folder: Path) -> str:
    command = [*HUB_COMMAND[:-1], "token", "create", "bench", "--role", "radiologist"]
    command += ["--data", str(folder / "data")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"eirhub_\S+", said)
    if found is None:
        raise SystemExit(f"no token: {said}")
    return found[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("--slices", type=int, default=SLICES, help="of the metadata study")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="that the readers scroll")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
