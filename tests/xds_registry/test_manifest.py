"""The manifest: a Key Object Selection document that other readers understand."""

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.tools import require_conformance, require_tool
from tests.xds_registry.samples import REPOSITORY_UID, SOURCE, TOWNSHIP, manifest_study
from xds_registry.manifest import build_manifest, value_type_of

AT = datetime(2026, 11, 21, 16, 0, tzinfo=timezone(timedelta(hours=8)))


def read(**changes: object) -> Dataset:
    return dcmread(BytesIO(build_manifest(manifest_study(**changes), 1, SOURCE, AT).data))


def test_it_is_a_manifest_in_explicit_little_endian() -> None:
    dataset = read()
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.59"
    title = dataset.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113030", "DCM")
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert dataset.Modality == "KO"
    assert dataset.SeriesInstanceUID not in {"1.2.3.4.1", "1.2.3.4.2"}


def test_it_lists_every_instance_with_where_to_get_it() -> None:
    (study,) = read().CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == "1.2.3.4"
    listed = {
        (series.SeriesInstanceUID, sop.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    }
    assert listed == {
        ("1.2.3.4.1", "1.2.3.4.1.1"),
        ("1.2.3.4.1", "1.2.3.4.1.2"),
        ("1.2.3.4.2", "1.2.3.4.2.1"),
    }
    for series in study.ReferencedSeriesSequence:
        assert series.RetrieveAETitle == "EIRHUB"
        assert series.RetrieveLocationUID == REPOSITORY_UID
        assert series.RetrieveURL == (
            f"http://127.0.0.1:8080/dicom-web/studies/1.2.3.4/series/{series.SeriesInstanceUID}"
        )


def test_its_content_refers_to_each_instance_once() -> None:
    items = [
        (item.ValueType, item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in read().ContentSequence
    ]
    assert items == [
        ("IMAGE", "1.2.3.4.1.1"),
        ("IMAGE", "1.2.3.4.1.2"),
        ("COMPOSITE", "1.2.3.4.2.1"),
    ]


def test_it_carries_the_patient_as_the_site_knows_them() -> None:
    dataset = read()
    assert str(dataset.PatientName) == "Wang^XiaoDong=王^小东"
    assert (dataset.PatientID, dataset.IssuerOfPatientID) == ("L-1", "T1")
    qualifier = dataset.IssuerOfPatientIDQualifiersSequence[0]
    assert (qualifier.UniversalEntityID, qualifier.UniversalEntityIDType) == (TOWNSHIP.oid, "ISO")
    assert dataset.ReferencedRequestSequence[0].AccessionNumber == "A-1"


def test_its_time_is_that_of_the_sites_with_their_offset() -> None:
    dataset = read()
    assert (dataset.ContentDate, dataset.ContentTime) == ("20261121", "160000")
    assert dataset.TimezoneOffsetFromUTC == "+0800"


def test_the_same_generation_gives_the_same_bytes() -> None:
    first, again = (build_manifest(manifest_study(), 1, SOURCE, AT) for _ in range(2))
    assert first == again
    later = build_manifest(manifest_study(), 2, SOURCE, AT)
    assert later.sop_instance_uid != first.sop_instance_uid
    assert later.series_instance_uid == first.series_instance_uid


def test_what_devices_send_too_long_or_malformed_becomes_valid() -> None:
    dataset = read(
        patient_id="",
        patient_sex="male",
        patient_birth_date=None,
        study_date=None,
        study_time="25:99",
        accession_number="A" * 40,
        study_id="a\\b\x1b\n",
        study_description="x" * 200,
        patient_name="=".join(["王" * 100] * 5),
    )
    assert dataset.PatientID == ""
    assert "IssuerOfPatientID" not in dataset
    assert (dataset.PatientSex, dataset.PatientBirthDate, dataset.StudyTime) == ("", "", "")
    assert len(dataset.AccessionNumber) == 16
    assert dataset.StudyID == "ab"


@pytest.mark.parametrize(
    ("sop_class_uid", "value_type"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "WAVEFORM"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.66", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.88.11", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.481.1", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "COMPOSITE"),
        ("1.2.840.10008.5.1.4.1.1.7", "IMAGE"),
    ],
)
def test_an_instance_is_referred_to_by_its_kind(sop_class_uid: str, value_type: str) -> None:
    assert value_type_of(sop_class_uid) == value_type


def test_dcmtk_reads_it_as_a_key_object_document(tmp_path: Path) -> None:
    tool = require_tool("dsrdump")
    path = tmp_path / "manifest.dcm"
    path.write_bytes(build_manifest(manifest_study(), 1, SOURCE, AT.astimezone(UTC)).data)
    done = subprocess.run([tool, "+U8", str(path)], capture_output=True, check=False)
    text = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, text
    assert "Key Object Selection Document" in text
    assert text.count("contains IMAGE") == 2
    assert text.count("contains COMPOSITE") == 1
    assert not [line for line in text.splitlines() if line.startswith(("E:", "F:"))]


def test_it_has_every_attribute_that_manifests_of_others_have() -> None:
    """Compared with the XDS-I test data; a description in words (TID 2010 row 6) is optional."""
    ours = {element.keyword for element in read().iterall()}
    for path in sorted(require_conformance("xdsi").glob("IDS-*/kos/kos.dcm")):
        theirs = {element.keyword for element in dcmread(path).iterall()}
        assert theirs - ours <= {"TextValue"}, path.parent.parent.name
