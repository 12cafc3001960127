"""Orthanc as front door of a whole hub: sent = in Orthanc = in the hub, whoever dies meanwhile."""

import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.dicom_router.instances import ct, part10
from tests.support.orthanc_server import PASSWORD, Orthanc, running_orthanc
from tests.support.serving_hub import eirhub, running_hub
from tests.support.tools import require_tool
from tests.support.waiting import eventually

STUDY = "1.2.826.0.1.3680043.10.1603.8.95"
BATCHES, OF_A_BATCH = 16, 4
SITE = """
[[site]]
site_id = "qingshan"
name = "青山"
ae_titles = ["QINGSHAN_CT"]
networks = ["127.0.0.0/8"]
assigning_authority = { namespace = "QINGSHAN", oid = "1.2.156.95.1" }
"""


def indexed(data: Path) -> dict[str, str]:
    """Site by SOP Instance UID, of all that the hub's index holds."""
    with closing(sqlite3.connect(data / "eirhub.sqlite")) as database:
        rows = database.execute(
            "SELECT sop_instance_uid, site_id FROM instance JOIN series ON "
            "series.id = series_row_id JOIN study ON study.id = study_row_id"
        )
        return dict(rows.fetchall())


def written(folder: Path) -> list[list[Path]]:
    """Files to send, by association; each of a study of its own."""
    made: list[list[Path]] = []
    for batch in range(BATCHES):
        made.append([])
        for number in range(OF_A_BATCH):
            instance = ct(number, f"{STUDY}.{batch}", PatientID="950", PatientName="Qiu^Shi")
            made[-1].append(folder / f"{batch}-{number}.dcm")
            made[-1][-1].write_bytes(part10(instance))
    return made


class Modality(threading.Thread):
    """Sends each batch with DCMTK's storescu until it was answered with success."""

    def __init__(self, port: int, batches: list[list[Path]]) -> None:
        super().__init__()
        self._to = ["-aet", "QINGSHAN_CT", "-aec", "ORTHANC", "127.0.0.1", str(port)]
        self._batches = batches
        self.done = 0

    def run(self) -> None:
        storescu = require_tool("storescu")
        deadline = time.monotonic() + 240.0
        for batch in self._batches:
            command = [storescu, "-to", "60", *self._to, *map(str, batch)]
            while subprocess.run(command, capture_output=True, check=False).returncode:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.2)
            self.done += len(batch)


@pytest.mark.timeout(900)
def test_hub_and_orthanc_are_killed_in_turns_and_every_instance_is_counted_in_both(
    tmp_path: Path,
) -> None:
    data, site = tmp_path / "data", tmp_path / "site.toml"
    site.write_text(SITE)
    (tmp_path / "password").write_text(PASSWORD)
    assert eirhub("site", "add", "--file", site, data=data).returncode == 0
    sent = written(tmp_path)
    total = BATCHES * OF_A_BATCH
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        settings = (
            "archive.backend=orthanc",
            f"orthanc.url={orthanc.url}",
            f"orthanc.password_file={tmp_path / 'password'}",
            "orthanc.timeout_s=3",
            "orthanc.poll_s=0.2",
        )
        modality = Modality(orthanc.dicom_port, sent)
        modality.start()
        with running_hub(data, *settings) as hub:
            eventually(lambda: len(indexed(data)) > OF_A_BATCH)
            restart(orthanc)
            before = len(indexed(data))
            eventually(lambda: len(indexed(data)) > before or modality.done == total)
            hub.kill()
        restart(orthanc)
        with running_hub(data, *settings):
            eventually(lambda: len(indexed(data)) > before or modality.done == total)
            restart(orthanc)
            eventually(lambda: len(indexed(data)) >= total)
        modality.join()
        assert orthanc.rest("GET", "/statistics")["CountInstances"] == total
    assert indexed(data) == {
        str(f"{STUDY}.{batch}.1.{number}"): "qingshan"
        for batch in range(BATCHES)
        for number in range(OF_A_BATCH)
    }


def restart(orthanc: Orthanc) -> None:
    orthanc.kill()
    orthanc.start()
