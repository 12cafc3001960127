"""A study as portable media: a zip with DICOMDIR that other programs read."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from access_control.audit import AuditQuery
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import CHEST_CT, Region

ZIP = f"/studies/{CHEST_CT}/medium.zip"


def test_the_medium_holds_every_image_and_a_directory_that_lists_them(
    signed_in: Callable[..., Browser], region: Region, tmp_path: Path
) -> None:
    answer = signed_in("doctor").get(ZIP)
    assert answer.mimetype == "application/zip"
    assert answer.headers["Cache-Control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(answer.data)) as medium:
        assert medium.testzip() is None
        medium.extractall(tmp_path)
        names = medium.namelist()
    directory = pydicom.dcmread(tmp_path / "DICOMDIR")
    listed = [
        "/".join(record.ReferencedFileID)
        for record in directory.DirectoryRecordSequence
        if record.DirectoryRecordType == "IMAGE"
    ]
    assert len(listed) == 6
    assert {*listed, "DICOMDIR", "README.TXT"} == set(names)
    for name in listed:
        image = pydicom.dcmread(tmp_path / name)
        assert image.StudyInstanceUID == CHEST_CT
        assert image.PixelData
        assert all(len(part) <= 8 and part == part.upper() for part in name.split("/"))
    records = region.hub.access.audit.search(AuditQuery(action="retrieve_document")).records
    assert any("medium: 6 images" in one.detail for one in records)


@pytest.mark.skipif(not shutil.which("dcmdump"), reason="needs dcmtk (dcmdump)")
def test_other_programs_read_the_directory(
    signed_in: Callable[..., Browser], tmp_path: Path
) -> None:
    answer = signed_in("doctor").get(ZIP)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as medium:
        medium.extractall(tmp_path)
    told = subprocess.run(
        ["dcmdump", "-q", str(tmp_path / "DICOMDIR")], capture_output=True, check=True
    )
    assert told.stderr == b""
    assert told.stdout.count(b"DirectoryRecordType") == 9  # patient, study, series, six images


def test_who_may_not_see_the_study_and_a_shared_link_get_no_medium(
    signed_in: Callable[..., Browser], browser: Browser
) -> None:
    for username in ("stranger", "tech", "boss", "auditor"):
        assert signed_in(username).get(ZIP).status_code == 404
    page = soup(signed_in("doctor").send(f"/studies/{CHEST_CT}/share", days="1", views="1"))
    path = "/share/" + page.select_one("#link").get_text(strip=True).rsplit("/share/", 1)[1]
    passcode = page.select_one("#passcode").get_text()
    assert browser.send(path, passcode=passcode).status_code == 303
    assert browser.get(ZIP).status_code in {303, 401}
    # It may be opened once: the second time reads like any dead link.
    assert browser.send(path, passcode=passcode).status_code == 404
