"""C-STORE ingest: EIR Hub against Orthanc and storescp, interleaved in one run, printed as ratios.

python -m benchmarks.ingest [--runs 3] [--ct 500] [--small 2000] [--associations 1 8 64 200]
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from benchmarks.receivers import HUB, RECEIVERS, STORESCP, Receiver

_UID_ROOT = "1.2.826.0.1.3680043.10.1603"
_FINDABLE_WITHIN_S = 1.0
_LOGGING = """log4cplus.rootLogger = INFO, console
log4cplus.appender.console = log4cplus::ConsoleAppender
log4cplus.appender.console.ImmediateFlush = false
log4cplus.appender.console.layout = log4cplus::PatternLayout
log4cplus.appender.console.layout.ConversionPattern = %D{%s.%q} %m%n
"""


@dataclass(frozen=True)
class Workload:
    """`count` instances of one study, square, 16 bits a pixel."""

    name: str
    count: int
    columns: int

    @property
    def study_instance_uid(self) -> str:
        """The UID of the one study."""
        return f"{_UID_ROOT}.{self.columns}.{self.count}"


def main() -> None:
    """Run the comparison and print it."""
    options = _options()
    workloads = (Workload("CT 525 kB", options.ct, 512), Workload("10 kB", options.small, 70))
    receivers = [receiver for receiver in RECEIVERS if receiver.available]
    for missing in set(RECEIVERS) - set(receivers):
        print(f"{missing.name} is not installed and left out ({missing.program})")
    with tempfile.TemporaryDirectory(prefix="eirhub-bench-", dir=options.folder) as temporary:
        for associations in options.associations:
            for workload in workloads:
                if workload.count:
                    results = _measure(workload, receivers, Path(temporary), associations, options)
                    _report(workload, results, associations, options.runs)


@dataclass
class Result:
    """What one receiver did with one workload, run after run."""

    seconds: list[float] = field(default_factory=list)
    answers_s: list[float] = field(default_factory=list)
    findable_s: list[float] = field(default_factory=list)
    refused: int = 0
    peak_bytes: int = 0


def _measure(
    workload: Workload,
    receivers: list[Receiver],
    folder: Path,
    associations: int,
    options: argparse.Namespace,
) -> dict[str, Result]:
    """Return the results by receiver; runs are interleaved to share the noise."""
    parts = generate(workload, folder / "instances", associations)
    results = {receiver.name: Result() for receiver in receivers}
    for run in range(options.runs):
        for receiver in receivers:
            home = folder / f"{receiver.program.rpartition('/')[2]}-{run}"
            home.mkdir()
            with receiver.running(home) as started:
                result = results[receiver.name]
                push(parts, started.port, result)
                result.peak_bytes = max(result.peak_bytes, started.peak_bytes())
                if receiver is not STORESCP and not result.refused:
                    _require_findable(workload, started.port)
                if started.metrics:
                    result.findable_s.append(_findable_p99(started.metrics))
            shutil.rmtree(home)
    shutil.rmtree(folder / "instances")
    return results


def push(parts: list[Path], port: int, result: Result) -> None:
    """Send each part on an association of its own, all at once; note times and refusals."""
    logging = parts[0].parent / "logging.cfg"
    logging.write_text(_LOGGING)
    command = ["storescu", "--max-send-pdu", "131072", "--scan-directories", "-aec", "EIRHUB"]
    command += ["--log-config", str(logging), "-ta", "60", "127.0.0.1", str(port)]
    environment = os.environ | {"TCP_NODELAY": "1"}
    logs = [part.with_suffix(".log") for part in parts]
    started = time.perf_counter()
    senders = []
    for part, log in zip(parts, logs, strict=True):
        with log.open("wb") as output:
            senders.append(
                subprocess.Popen(
                    [*command, str(part)], env=environment, stdout=output, stderr=output
                )
            )
    result.refused += sum(1 for sender in senders if sender.wait())
    result.seconds.append(time.perf_counter() - started)
    for log in logs:
        result.answers_s += _answer_times(log.read_text(errors="replace"))
        log.unlink()


def _answer_times(log: str) -> list[float]:
    """Return the seconds from each request's beginning to its answer, by the sender's own log."""
    times, asked = [], 0.0
    for line in log.splitlines():
        moment, _, message = line.partition(" ")
        if message.startswith("Sending Store Request"):
            asked = float(moment)
        elif message.startswith("Received Store Response") and asked:
            times.append(float(moment) - asked)
    return times


def _findable_p99(address: str) -> float:
    """Return how late the index was for 99 of 100 instances: the upper end of their bucket."""
    with urllib.request.urlopen(address) as answer:  # noqa: S310 (the hub's own ready line)
        text = answer.read().decode()
    buckets = [
        (float(bound), float(count))
        for bound, count in re.findall(
            r'eirhub_findable_seconds_bucket\{le="([^"]+)"\} ([0-9.]+)', text
        )
    ]
    total = buckets[-1][1] if buckets else 0.0
    if not total:  # the receiving processes are others (`router.processes`): nothing is known
        return float("nan")
    return next((bound for bound, count in buckets if count >= 0.99 * total), float("inf"))


def _require_findable(workload: Workload, port: int) -> None:
    """Stop unless C-FIND counts every instance within a second of the last answer."""
    deadline = time.monotonic() + _FINDABLE_WITHIN_S
    while (found := _count(workload, port)) != workload.count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{found} of {workload.count} instances can be found")


def _count(workload: Workload, port: int) -> int:
    entity = AE("BENCH")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", port)
    if not association.is_established:
        raise SystemExit("a receiver refuses C-FIND")
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = workload.study_instance_uid
    query.NumberOfStudyRelatedInstances = None
    answers = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    found = [int(answer.NumberOfStudyRelatedInstances) for _, answer in answers if answer]
    association.release()
    return sum(found)


def _report(workload: Workload, results: dict[str, Result], associations: int, runs: int) -> None:
    hub = median(results[HUB.name].seconds)
    print(
        f"\n{workload.count} × {workload.name}, {associations} association(s), "
        f"median of {runs} interleaved runs"
    )
    for receiver in RECEIVERS:
        if receiver.name not in results:
            continue
        result = results[receiver.name]
        took = median(result.seconds)
        spread = " ".join(f"{run:.2f}" for run in result.seconds)
        print(
            f"  {receiver.name:9} {workload.count / took:7.0f} /s   "
            f"EIR Hub is {took / hub:5.2f} × as fast   "
            f"answer p50 {_quantile(result.answers_s, 0.5):6.1f} ms "
            f"p99 {_quantile(result.answers_s, 0.99):7.1f} ms   "
            f"{result.refused} failed   peak {result.peak_bytes / 2**20:4.0f} MB   "
            f"[{spread} s; promises {receiver.promises}]"
        )
        if not any(map(isnan, result.findable_s)) and result.findable_s:
            print(
                f"            found after the receipt: p99 ≤ {max(result.findable_s) * 1e3:.0f} ms"
            )


def _quantile(seconds: list[float], part: float) -> float:
    """Return that quantile in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1e3 if ordered else 0.0


def generate(workload: Workload, folder: Path, parts: int) -> list[Path]:
    """Write the instances into `parts` folders and return these."""
    folders = [folder / str(part) for part in range(parts)]
    for part in folders:
        part.mkdir(parents=True)
    pixels = np.random.default_rng(2026).integers(0, 4096, workload.columns**2, dtype=np.uint16)
    for number in range(workload.count):
        instance = _instance(workload, number)
        instance.PixelData = np.roll(pixels, number * 17).tobytes()
        instance.save_as(folders[number % parts] / f"{number:05}.dcm", enforce_file_format=True)
    return folders


def _instance(workload: Workload, number: int) -> Dataset:
    instance = Dataset()
    instance.SOPClassUID = CTImageStorage
    instance.SOPInstanceUID = f"{workload.study_instance_uid}.1.{number + 1}"
    instance.StudyInstanceUID = workload.study_instance_uid
    instance.SeriesInstanceUID = f"{workload.study_instance_uid}.1"
    instance.PatientName = "Bench^Ingest"
    instance.PatientID = f"BENCH{workload.columns}"
    instance.PatientBirthDate = "19700101"
    instance.PatientSex = "O"
    instance.StudyDate = instance.SeriesDate = "20261101"
    instance.StudyTime = instance.SeriesTime = "080000"
    instance.AccessionNumber = "BENCH1"
    instance.ReferringPhysicianName = ""
    instance.StudyID = "1"
    instance.Modality = "CT"
    instance.SeriesNumber = 1
    instance.InstanceNumber = number + 1
    instance.Rows = instance.Columns = workload.columns
    instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, 12, 11
    instance.PixelRepresentation, instance.SamplesPerPixel = 0, 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return instance


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=3, help="runs of each receiver (3)")
    parser.add_argument("--ct", type=int, default=500, help="instances of 525 kB (500)")
    parser.add_argument("--small", type=int, default=2000, help="instances of 10 kB (2000)")
    parser.add_argument(
        "--associations", type=int, nargs="+", default=[1], help="associations at once (1)"
    )
    parser.add_argument("--folder", help="where the temporary files go; its disk is measured too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
