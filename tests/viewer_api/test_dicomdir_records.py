"""Every kind of object has the directory record that the standard gives it (PS3.3 F.4, F.5)."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from image_archive.reading import read_dataset
from tests.eir_versions.builders import image_dataset, item, part10
from tests.eir_versions.documents import document
from tests.support.dicom_judge import faults
from tests.support.tools import require_tool
from viewer_api.dicomdir import ListedImage, dicomdir
from viewer_api.dicomdir_records import records_of

STORAGE = "1.2.840.10008.5.1.4.1.1."
CT = f"{STORAGE}2"
IMAGES = [item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID="1.2.3.4")]
SERIES = [item(SeriesInstanceUID="1.2.3", ReferencedImageSequence=IMAGES)]
MADE = {"PresentationCreationDate": "20260301", "PresentationCreationTime": "101500"}
NAMED = {"ContentLabel": "LABEL", "ContentDescription": "说明", "ContentCreatorName": "王^小东"}
# SOP class, record, what the object says that its record repeats.
OBJECTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("481.2", "RT DOSE", {"DoseSummationType": "PLAN"}),
    ("481.3", "RT STRUCTURE SET", {"StructureSetLabel": "HEAD", "StructureSetDate": "20260301"}),
    ("481.5", "RT PLAN", {"RTPlanLabel": "PLAN1", "RTPlanDate": "20260301"}),
    ("481.8", "RT PLAN", {"RTPlanLabel": "IONS"}),
    ("481.4", "RT TREAT RECORD", {"TreatmentDate": "20260301"}),
    ("481.7", "RT TREAT RECORD", {"TreatmentTime": "101500"}),
    ("481.12", "RADIOTHERAPY", {"UserContentLabel": "SET", "ContentDescription": "说明"}),
    ("481.1", "IMAGE", {}),
    ("9.1.1", "WAVEFORM", {"ContentDate": "20260301"}),
    ("9.4.1", "WAVEFORM", {"ContentTime": "101500"}),
    ("11.1", "PRESENTATION", MADE | NAMED | {"ReferencedSeriesSequence": SERIES}),
    ("11.2", "PRESENTATION", MADE | NAMED | {"ReferencedSeriesSequence": SERIES}),
    (
        "11.4",
        "PRESENTATION",
        MADE
        | NAMED
        | {
            "BlendingSequence": [
                item(StudyInstanceUID="1.2", ReferencedSeriesSequence=SERIES) for _ in range(2)
            ]
        },
    ),
    ("66", "RAW DATA", {"ContentDate": "20260301"}),
    ("66.1", "REGISTRATION", NAMED),
    ("66.2", "FIDUCIAL", NAMED),
    ("66.4", "IMAGE", {}),
    ("66.5", "SURFACE", NAMED),
    ("67", "VALUE MAP", NAMED),
    ("77.1.5.3", "STEREOMETRIC", {}),
    ("78.1", "MEASUREMENT", NAMED),
    ("88.34", "SR DOCUMENT", {"CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED"}),
    ("88.59", "KEY OBJECT DOC", {"ContentDate": "20260301"}),
    ("104.1", "ENCAP DOC", {"DocumentTitle": "报告"}),
    ("12.1", "IMAGE", {}),
)


def objects() -> list[Dataset]:
    made = []
    for number, (tail, _, said) in enumerate(OBJECTS, 1):
        dataset = document(f"{STORAGE}{tail}", number, "OT")
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260301", "101500", "7"
        dataset.ConceptNameCodeSequence = [
            item(CodeValue="18748-4", CodingSchemeDesignator="LN", CodeMeaning="影像诊断报告")
        ]
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
        for keyword, value in said.items():
            setattr(dataset, keyword, value)
        made.append(dataset)
    return made


def listed(datasets: list[Dataset], folder: Path | None = None) -> bytes:
    found = []
    for number, dataset in enumerate(datasets):
        data, place = part10(dataset), ("DICOM", f"I{number:04d}")
        if folder is not None:
            (folder / "DICOM").mkdir(exist_ok=True)
            folder.joinpath(*place).write_bytes(data)
        header = read_dataset(io.BytesIO(data), stop_before_pixels=True)
        found.append(ListedImage(place, header.file_meta, records_of(header)))
    return dicomdir(found)


def leaves(directory: bytes | Path) -> dict[str, Dataset]:
    source = io.BytesIO(directory) if isinstance(directory, bytes) else directory
    records = pydicom.dcmread(source).DirectoryRecordSequence
    return {str(r.ReferencedSOPInstanceUIDInFile): r for r in records if "ReferencedFileID" in r}


def test_each_object_has_its_record_and_says_there_what_it_says_itself() -> None:
    datasets = objects()
    found = leaves(listed(datasets))
    for dataset, (tail, kind, said) in zip(datasets, OBJECTS, strict=True):
        record = found[dataset.SOPInstanceUID]
        assert record.DirectoryRecordType == kind, tail
        if kind != "IMAGE":
            assert {name: record[name].value for name in said} == {
                name: dataset[name].value for name in said
            }, tail


def test_an_independent_judge_finds_no_fault(tmp_path: Path) -> None:
    # It knows no RADIOTHERAPY yet: the standard has it since 2019.
    known = [one for one, row in zip(objects(), OBJECTS, strict=True) if row[1] != "RADIOTHERAPY"]
    assert faults(tmp_path / "DICOMDIR", listed(known)) == set()


def test_what_an_object_must_say_and_does_not_is_stood_in_for(tmp_path: Path) -> None:
    bare = []
    for number, (tail, kind, _) in enumerate(OBJECTS, 1):
        dataset = document(f"{STORAGE}{tail}", number, "OT")
        del dataset.InstanceNumber, dataset.ContentDate, dataset.ContentTime
        if kind not in {"RADIOTHERAPY", "PRESENTATION"}:  # which name what they are for
            bare.append(dataset)
    assert faults(tmp_path / "DICOMDIR", listed(bare)) == set()


def test_sequences_that_are_none_cost_no_directory() -> None:
    dataset = objects()[10]
    dataset.ReferencedSeriesSequence = [item(SeriesInstanceUID="1.2.3"), item()]
    (record,) = leaves(listed([dataset])).values()
    assert "ReferencedSeriesSequence" not in record
    assert record.ContentLabel == "LABEL"


def test_spectroscopy_keeps_its_numbers() -> None:
    dataset = document(f"{STORAGE}4.2", 1, "MR")
    dataset.Rows, dataset.Columns, dataset.DataPointRows, dataset.DataPointColumns = 4, 5, 1, 512
    dataset.ImageType, dataset.NumberOfFrames = ["ORIGINAL", "PRIMARY"], "3"
    (record,) = leaves(listed([dataset])).values()
    assert (record.Rows, record.Columns, record.DataPointColumns) == (4, 5, 512)
    assert (record.ImageType, record.NumberOfFrames) == (["ORIGINAL", "PRIMARY"], 3)


def test_other_programs_read_it_and_choose_the_same_records(tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    directory = listed([*objects(), image_dataset(np.zeros((8, 8), np.uint8))], medium)
    (tmp_path / "DICOMDIR").write_bytes(directory)
    ours = leaves(directory)
    told = subprocess.run(
        [require_tool("dcmdump"), "-q", tmp_path / "DICOMDIR"], capture_output=True, check=True
    )
    assert (told.stderr, told.stdout.count(b"ReferencedFileID")) == (b"", len(OBJECTS) + 1)
    # DCMTK makes a directory of the same files: of those it knows, inventing what is missing.
    subprocess.run(
        [require_tool("dcmmkdir"), "-q", "+r", "-W", "+I", "-Nxc", "-Nrc",
         "+id", medium, "+D", tmp_path / "DCMTK"],
        check=True,
    )  # fmt: skip
    theirs = leaves(tmp_path / "DCMTK")
    compared = {uid: record.DirectoryRecordType for uid, record in theirs.items()}
    assert compared == {uid: ours[uid].DirectoryRecordType for uid in theirs}
    assert len(set(compared.values())) >= 12, compared


@pytest.mark.parametrize("uid", [f"{STORAGE}6.1", "1.2.3.4", STORAGE.rstrip("."), ""])
def test_what_has_no_record_of_its_own_is_an_image(uid: str) -> None:
    dataset = document(CT, 1, "OT")
    dataset.SOPClassUID = uid
    assert [record.DirectoryRecordType for _, record in records_of(_read(dataset))] == [
        "PATIENT", "STUDY", "SERIES", "IMAGE",
    ]  # fmt: skip


def _read(dataset: Dataset) -> Dataset:
    data = part10(document(CT, 1, "OT"))
    header = read_dataset(io.BytesIO(data), stop_before_pixels=True)
    header.SOPClassUID = dataset.SOPClassUID
    return header
