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
from lxml import etree

from access_control.audit import AuditQuery
from image_archive.reading import read_dataset
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import key_object, pdf_report, report
from tests.support.dicom_judge import faults
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import CHEST_CT, EVIL_CT, REPORT, Region
from viewer_api.dicomdir import ListedImage, dicomdir
from viewer_api.dicomdir_records import records_of
from viewer_api.pages import portable

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
    assert {*listed, "DICOMDIR", "INDEX.HTM", "README.TXT"} == set(names)
    for name in listed:
        image = pydicom.dcmread(tmp_path / name)
        assert image.StudyInstanceUID == CHEST_CT
        assert image.PixelData
        assert all(len(part) <= 8 and part == part.upper() for part in name.split("/"))
    records = region.hub.access.audit.search(AuditQuery(action="retrieve_document")).records
    assert any("medium: 6 images" in one.detail for one in records)


def test_a_person_without_a_viewer_reads_what_is_on_the_medium(
    signed_in: Callable[..., Browser],
) -> None:
    # Chinese and English whatever the reader of the page speaks.
    english = signed_in("doctor").get(ZIP).data
    for data in (english, signed_in("reader", "zh").get(ZIP).data):
        with zipfile.ZipFile(io.BytesIO(data)) as medium:
            index, readme = medium.read("INDEX.HTM"), medium.read("README.TXT").decode()
        root = etree.fromstring(index, etree.XMLParser(no_network=True, load_dtd=False))
        text = " ".join(root.itertext())
        for said in ("王小东", "2026-11-20", "CT · 胸部", "CT scan · Chest", "泗泾", "Sijing"):
            assert said in text
        assert "6 个 DICOM 文件" in readme
        assert "6 DICOM file(s)" in readme
        links = root.xpath("//@href | //@src")
        assert links
        assert all(link == "README.TXT" for link in links), "nothing is fetched from elsewhere"
        assert not root.xpath("//*[local-name()='script']")


def test_the_first_page_of_a_medium_shows_names_as_text(
    signed_in: Callable[..., Browser],
) -> None:
    answer = signed_in("doctor").get(f"/studies/{EVIL_CT}/medium.zip")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as medium:
        index = medium.read("INDEX.HTM").decode()
    assert "&lt;script&gt;" in index
    assert "<script" not in index
    assert "onerror=alert" not in index.replace("&lt;img src=x onerror=alert(1)&gt;", "")


def test_the_directory_has_no_fault_an_independent_judge_would_find(
    signed_in: Callable[..., Browser], tmp_path: Path
) -> None:
    for study in (CHEST_CT, EVIL_CT, REPORT):
        answer = signed_in("doctor").get(f"/studies/{study}/medium.zip")
        with zipfile.ZipFile(io.BytesIO(answer.data)) as medium:
            directory = medium.read("DICOMDIR")
        assert faults(tmp_path / "DICOMDIR", directory) == set(), study
    # The control: the judge sees what is missing.
    spoilt = pydicom.dcmread(io.BytesIO(directory))
    spoilt.DirectoryRecordSequence[1].StudyDate = ""
    out = io.BytesIO()
    spoilt.save_as(out)
    assert faults(tmp_path / "DICOMDIR", out.getvalue())


def test_documents_are_listed_as_what_they_are(tmp_path: Path) -> None:
    verified = report(1, "x")
    unsigned = report(4, "y", verified=False)
    listed = []
    for made in (verified, pdf_report(2), key_object(3, "113000", "1.2.3"), unsigned):
        header = read_dataset(io.BytesIO(part10(made)), stop_before_pixels=True)
        place = ("DICOM", "0000", f"I{len(listed):04d}")
        listed.append(ListedImage(place, header.file_meta, records_of(header)))
    directory = dicomdir(listed)
    assert faults(tmp_path / "DICOMDIR", directory) == set()
    leaves = pydicom.dcmread(io.BytesIO(directory)).DirectoryRecordSequence[3:]
    assert [one.DirectoryRecordType for one in leaves] == [
        "SR DOCUMENT", "ENCAP DOC", "KEY OBJECT DOC", "SR DOCUMENT",
    ]  # fmt: skip
    titles = [one.ConceptNameCodeSequence[0] for one in leaves]
    assert (titles[0].CodeMeaning, titles[2].CodeValue) == ("影像诊断报告", "113000")
    assert leaves[0].VerificationDateTime == "20260301100100"
    assert leaves[1].DocumentTitle == "检查报告"
    assert "VerificationDateTime" not in leaves[3]


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


def test_what_no_medium_can_take_is_said_with_what_to_do_instead(
    signed_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "MOST_INSTANCES", 0)
    for language, said in (("zh", "请用诊断工作站"), ("en", "Fetch it with a workstation")):
        answer = signed_in("doctor").get(f"{ZIP}?lang={language}")
        assert answer.status_code == 413
        assert said in answer.get_data(as_text=True)


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
