"""Many ward doctors scroll one CT in the quick viewer at once: pictures a second, the hub's memory.

python -m benchmarks.readers [--readers 32] [--seconds 30]

Each reader fetches slice after slice at the addresses the page's script uses, over one connection,
as fast as the answers come, every tenth under another window. Memory is resident, with children;
it is told by thirds of the run, so that growth would be seen.
"""

import argparse
import http.client
import re
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import psutil

from benchmarks.receivers import HUB, HUB_COMMAND, Started
from benchmarks.rendering_data import CT_SLICES, studies

_SAMPLE_S = 0.25
_LUNG = "?window=-600,1500,linear"


@dataclass
class Seen:
    """What the readers saw: seconds a picture took, and samples of the hub's memory."""

    times_s: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def main() -> None:
    """Push, scroll and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, HUB.running(Path(name)) as started:
        addresses = _pushed(Path(name), started)
        token = _token(Path(name))
        before = _memory(started)
        seen = _scroll(started, addresses, token, options)
    times = quantiles(seen.times_s, n=20)
    third = len(seen.memory) // 3
    thirds = (max(seen.memory[part * third : (part + 1) * third]) / 1e6 for part in range(3))
    most = ", ".join(f"{one:.0f}" for one in thirds)
    print(
        f"{options.readers} readers: {len(seen.times_s) / options.seconds:.0f} pictures/s, "
        f"p50 {times[9] * 1000:.0f} ms, p95 {times[18] * 1000:.0f} ms; memory "
        f"{before / 1e6:.0f} MB before, at most {most} MB by thirds"
    )


def _pushed(folder: Path, started: Started) -> list[str]:
    """Push a CT; return the addresses of its pictures, as the clinical page has them."""
    ct = studies(folder / "files", 1).ct
    push = ["storescu", "+sd", "-aec", "BENCH", "127.0.0.1", str(started.port), str(ct.folder)]
    subprocess.run(push, check=True, capture_output=True)
    series, _, first = ct.instances[0].path.partition("/instances/")
    stem = first.rpartition(".")[0]
    return [f"{series}/pictures/{stem}.{number + 1}/1.jpg" for number in range(CT_SLICES)]


def _token(folder: Path) -> str:
    command = [*HUB_COMMAND[:-1], "token", "create", "readers", "--role", "clinician"]
    command += ["--data", str(folder / "data")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"eirhub_\S+", said)
    if found is None:
        raise SystemExit(f"no token: {said}")
    return found[0]


def _scroll(
    started: Started, addresses: list[str], token: str, options: argparse.Namespace
) -> Seen:
    seen, stopped = Seen(), threading.Event()

    def read(reader: int) -> None:
        place = urlsplit(started.web)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
        number = reader * 3
        while not stopped.is_set():
            number += 1
            address = addresses[number % len(addresses)] + (_LUNG if number % 10 == 0 else "")
            began = time.perf_counter()
            _fetch(connection, address, token)
            seen.times_s.append(time.perf_counter() - began)

    readers = [threading.Thread(target=read, args=(n,)) for n in range(options.readers)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline:
        seen.memory.append(_memory(started))
        stopped.wait(_SAMPLE_S)
    stopped.set()
    for reader in readers:
        reader.join()
    return seen


def _fetch(connection: http.client.HTTPConnection, address: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Accept": "image/jpeg, image/png"}
    try:
        connection.request("GET", address, headers=headers)
        answer = connection.getresponse()
    except http.client.RemoteDisconnected:  # it keeps a connection for so many requests only
        connection.close()
        connection.request("GET", address, headers=headers)
        answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status} for {address}: {body[:200]!r}")


def _memory(started: Started) -> int:
    own = psutil.Process(started.process.pid)
    total = 0
    for one in (own, *own.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
