"""C-STORE ingest: EIR Hub against Orthanc and storescp, interleaved in one run, printed as ratios.

python -m benchmarks.ingest [--runs 3] [--ct 500] [--small 2000] [--associations 1]
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from benchmarks.receivers import RECEIVERS, STORESCP, Receiver

_UID_ROOT = "1.2.826.0.1.3680043.10.1603"
_FINDABLE_WITHIN_S = 1.0


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
        for workload in workloads:
            if workload.count:
                folder = Path(temporary)
                _report(workload, _measure(workload, receivers, folder, options), options)


def _measure(
    workload: Workload, receivers: list[Receiver], folder: Path, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Return the seconds of every run, by receiver; runs are interleaved to share the noise."""
    parts = _generate(workload, folder / "instances", options.associations)
    seconds: dict[str, list[float]] = {receiver.name: [] for receiver in receivers}
    for run in range(options.runs):
        for receiver in receivers:
            home = folder / f"{receiver.program.rpartition('/')[2]}-{run}"
            home.mkdir()
            with receiver.running(home) as port:
                seconds[receiver.name].append(_push(parts, port))
                if receiver is not STORESCP:
                    _require_findable(workload, port)
            shutil.rmtree(home)
    shutil.rmtree(folder / "instances")
    return seconds


def _push(parts: Iterable[Path], port: int) -> float:
    """Send each part on an association of its own, all at once; return the seconds it took."""
    command = ["storescu", "--max-send-pdu", "131072", "--scan-directories", "-aec", "EIRHUB"]
    environment = os.environ | {"TCP_NODELAY": "1"}
    started = time.perf_counter()
    senders = [
        subprocess.Popen([*command, "127.0.0.1", str(port), str(part)], env=environment)
        for part in parts
    ]
    failures = [sender.wait() for sender in senders]
    if any(failures):
        raise SystemExit("a C-STORE failed")
    return time.perf_counter() - started


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


def _report(
    workload: Workload, seconds: dict[str, list[float]], options: argparse.Namespace
) -> None:
    medians = {name: median(runs) for name, runs in seconds.items()}
    hub = medians["EIR Hub"]
    print(
        f"\n{workload.count} × {workload.name}, {options.associations} association(s), "
        f"median of {options.runs} interleaved runs"
    )
    for receiver in RECEIVERS:
        if receiver.name in medians:
            took = medians[receiver.name]
            spread = " ".join(f"{run:.2f}" for run in seconds[receiver.name])
            print(
                f"  {receiver.name:9} {workload.count / took:7.0f} /s   "
                f"EIR Hub is {took / hub:5.2f} × as fast   "
                f"[{spread} s; promises {receiver.promises}]"
            )


def _generate(workload: Workload, folder: Path, parts: int) -> list[Path]:
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
    parser.add_argument("--associations", type=int, default=1, help="associations at once (1)")
    parser.add_argument("--folder", help="where the temporary files go; its disk is measured too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
