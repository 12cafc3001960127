"""Orthanc's own C-STORE ingest with the hub's shim against without, interleaved in one run.

python -m benchmarks.orthanc_shim [--runs 5] [--ct 200] [--small 800]
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median

import psutil

from benchmarks.ingest import Result, Workload, generate, push
from benchmarks.receivers import HUB, HUB_COMMAND, Started, start_orthanc

_CONFIG = Path(__file__).resolve().parents[1] / "config" / "orthanc"


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--ct", type=int, default=200)
    parser.add_argument("--small", type=int, default=800)
    options = parser.parse_args()
    workloads = (Workload("CT 525 kB", options.ct, 512), Workload("10 kB", options.small, 70))
    with tempfile.TemporaryDirectory(prefix="eirhub-bench-") as temporary:
        folder = Path(temporary)
        (folder / "hub").mkdir()
        with HUB.running(folder / "hub") as hub:
            token = _token(folder / "hub" / "data")
            told = {"EIRHUB_URL": hub.web, "EIRHUB_TOKEN": token, "EIRHUB_ORTHANC_TOKEN": token}
            os.environ |= told
            for workload in workloads:
                _compare(workload, folder, options.runs)


def _compare(workload: Workload, folder: Path, runs: int) -> None:
    parts = generate(workload, folder / "instances", 1)
    results = {with_shim: Result() for with_shim in (False, True)}
    processor: dict[bool, list[float]] = {False: [], True: []}
    for run in range(runs):
        for with_shim in sorted(results, reverse=run % 2 == 1):
            home = folder / f"orthanc-{run}-{with_shim}"
            home.mkdir()
            started = _start(home, with_shim=with_shim)
            before = _processor_s(started)
            push(parts, started.port, results[with_shim])
            processor[with_shim].append(_processor_s(started) - before)
            started.process.terminate()
            started.process.wait(30)
            shutil.rmtree(home)
    shutil.rmtree(folder / "instances")
    bare, shimmed = (median(results[with_shim].seconds) for with_shim in (False, True))
    spent, shimmed_spent = (median(processor[with_shim]) for with_shim in (False, True))
    refused = sum(result.refused for result in results.values())
    print(
        f"{workload.count} × {workload.name}: without {workload.count / bare:.0f} /s, "
        f"with {workload.count / shimmed:.0f} /s, ratio {bare / shimmed:.2f}, "
        f"by Orthanc's processor time {spent / shimmed_spent:.2f}, {refused} failed"
    )


def _processor_s(started: Started) -> float:
    """Return the seconds of processor time that it has taken; other load changes them little."""
    times = psutil.Process(started.process.pid).cpu_times()
    return times.user + times.system


def _start(home: Path, *, with_shim: bool) -> Started:
    delivered = json.loads((_CONFIG / "orthanc.json").read_text(encoding="utf-8"))
    moved = {"StorageDirectory", "IndexDirectory", "DicomPort", "HttpPort"}
    settings = {name: value for name, value in delivered.items() if name not in moved}
    settings |= {"HttpServerEnabled": False, "PythonScript": str(_CONFIG / "eirhub_shim.py")}
    if not with_shim:
        settings["Plugins"] = [one for one in settings["Plugins"] if "Python" not in one]
    return start_orthanc(home, settings)


def _token(data: Path) -> str:
    command = [*HUB_COMMAND[:-1], "token", "create", "orthanc", "--role", "edge"]
    told = subprocess.run([*command, "--data", str(data)], check=True, capture_output=True)
    return told.stdout.decode().split()[0]


if __name__ == "__main__":
    main()
