"""Research export by PS3.15 Annex E, in the shape of the checks of the MIDI-B challenge."""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from sqlalchemy import select

from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.boxes import Box
from eir_versions.deidentification.descriptors import cleaned_text
from eir_versions.deidentification.exporting import (
    IDENTIFIER_LEFT,
    NOT_AN_IMAGE,
    Exporter,
    ExportOrder,
    ExportParts,
    StudyContents,
    StudyExport,
)
from eir_versions.deidentification.identifiers import KnownIdentifiers
from eir_versions.deidentification.profile import Option, Profile, table
from eir_versions.deidentification.pseudonyms import ProjectKey
from eir_versions.deidentification.tables import DeidentifiedExportRow
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.outbox import Outbox
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceOrigin
from image_archive.service import ArchiveService
from tests.support.canaries import Canaries, planted_object
from tests.support.clock import FixedClock
from tests.support.dicom_judge import faults

ORIGIN = InstanceOrigin(
    "east", AssigningAuthority("EAST", "1.2.3.4"), "EASTCT", "EIRHUB", "127.0.0.1"
)
MASTER = b"m" * 32
ALL = frozenset(Option) - {Option.RETAIN_UIDS, Option.CLEAN_PIXELS}


@dataclass
class Desk:
    """An archive and what exports from it; `masked` is what every frame has blackened."""

    archive: ArchiveService
    index: ArchiveIndex
    database: Database
    pool: DecoderPool
    folder: Path
    masked: tuple[Box, ...] = ()

    def store(self, data: bytes | FileDataset) -> str:
        if not isinstance(data, bytes):
            out = io.BytesIO()
            data.save_as(out, enforce_file_format=True)
            data = out.getvalue()
        self.archive.store_file(data, ORIGIN)
        return str(dcmread(io.BytesIO(data), stop_before_pixels=True).StudyInstanceUID)

    def export(
        self, study_uid: str, *options: Option, project: str = "alpha", folder: str = "out"
    ) -> StudyExport:
        study = self.index.study(study_uid)
        assert study is not None
        series = [
            (one, self.index.instances_of(study_uid, one.series_instance_uid))
            for one in self.index.series_of(study_uid)
        ]
        parts = ExportParts(
            self.database,
            self.archive.open_instance,
            self.pool,
            lambda *_: self.masked,
            lambda found: found.patient.cx,
        )
        order = ExportOrder(
            ProjectKey.derive(MASTER, project),
            Profile(frozenset(options)),
            self.folder / folder,
            "steward",
        )
        return Exporter(parts).export(StudyContents(study, series), order, lambda *_: None)

    def file(self, done: StudyExport, folder: str = "out") -> Path:
        return self.folder / folder / done.files[0][0]

    def only(self, done: StudyExport, folder: str = "out") -> FileDataset:
        return dcmread(self.file(done, folder))


@pytest.fixture
def desk(tmp_path: Path, pool: DecoderPool) -> Iterator[Desk]:
    clock = FixedClock()
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}", outbox=Outbox(), clock=clock)
    database.create_all()
    archive = ArchiveService(database, FilesystemBackend(tmp_path / "archive"), clock)
    yield Desk(archive, ArchiveIndex(database), database, pool, tmp_path)
    database.dispose()


def sample(name: str = "CT_small.dcm", **attributes: object) -> FileDataset:
    dataset = dcmread(str(get_testdata_file(name, download=False)))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


@pytest.mark.parametrize("options", [frozenset(), ALL], ids=["basic", "all options"])
def test_none_of_eighty_planted_identifiers_is_in_any_byte_that_leaves(
    desk: Desk, options: frozenset[Option]
) -> None:
    canaries = Canaries()
    data = planted_object(canaries, "2.25.580011")
    assert len(canaries.planted) >= 75
    assert canaries.found_in(data) == set(canaries.planted)  # the control: all are in the original
    done = desk.export(desk.store(data), *options - {Option.INSTITUTION_IDENTITY} - _KEPT_BY_WISH)
    assert len(done.files) == 1, done.left_out
    leaving = desk.file(done).read_bytes() + "".join(path for path, _ in done.files).encode()
    assert canaries.found_in(leaving) == set()


# What an option keeps on purpose keeps what was planted there.
_KEPT_BY_WISH = frozenset({Option.DEVICE_IDENTITY, Option.PATIENT_CHARACTERISTICS})


def test_tags_are_retained_that_research_needs(desk: Desk) -> None:
    source = sample()
    new = desk.only(desk.export(desk.store(source)))
    for keyword in (
        "Modality",
        "Rows",
        "SliceThickness",
        "KVP",
        "PixelSpacing",
        "Manufacturer",
        "ImageOrientationPatient",
        "RescaleIntercept",
    ):
        assert new[keyword].value == source[keyword].value, keyword
    assert np.array_equal(new.pixel_array, source.pixel_array)


def test_identity_is_replaced_and_the_profile_is_on_record_in_the_object(desk: Desk) -> None:
    new = desk.only(desk.export(desk.store(sample()), Option.MODIFIED_DATES))
    assert str(new.PatientName) == new.PatientID
    assert new.PatientID.startswith("alpha-")
    assert new.PatientIdentityRemoved == "YES"
    codes = [item.CodeValue for item in new.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]
    assert "PS3.15" in new.DeidentificationMethod
    assert new.LongitudinalTemporalInformationModified == "MODIFIED"


def test_dates_move_together_and_keep_their_distance(desk: Desk) -> None:
    first = sample(StudyDate="20240110", SeriesDate="20240112", ContentDate="20240115")
    new = desk.only(desk.export(desk.store(first), Option.MODIFIED_DATES))
    days = [_ordinal(new[word].value) for word in ("StudyDate", "SeriesDate", "ContentDate")]
    assert [day - days[0] for day in days] == [0, 2, 5]
    assert 30 <= _ordinal("20240110") - days[0] <= 3650
    assert not new.PatientBirthDate
    assert new.StudyTime == first.StudyTime
    plain = desk.only(desk.export(str(first.StudyInstanceUID), folder="plain"), "plain")
    assert not plain.StudyDate
    assert plain.LongitudinalTemporalInformationModified == "REMOVED"


def test_uids_are_consistent_in_a_project_and_differ_between_projects(desk: Desk) -> None:
    source = sample(FrameOfReferenceUID="1.2.3.4.5")
    study = desk.store(source)
    other = sample("MR_small.dcm", FrameOfReferenceUID="1.2.3.4.5")
    first, second = desk.only(desk.export(study)), desk.only(desk.export(desk.store(other)))
    foreign = desk.only(desk.export(study, project="beta", folder="beta"), "beta")
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID != "1.2.3.4.5"
    assert first.StudyInstanceUID not in {source.StudyInstanceUID, foreign.StudyInstanceUID}
    assert first.PatientID.split("-")[1] != foreign.PatientID.split("-")[1]
    assert first.SOPClassUID == source.SOPClassUID
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    kept = desk.only(desk.export(study, Option.RETAIN_UIDS, folder="kept"), "kept")
    assert kept.StudyInstanceUID == source.StudyInstanceUID


def test_the_same_study_gives_the_same_bytes_again(desk: Desk) -> None:
    study = desk.store(sample())
    first, second = desk.export(study, *ALL), desk.export(study, *ALL, folder="again")
    assert first.content_sha256 == second.content_sha256
    assert desk.file(first).read_bytes() == desk.file(second, "again").read_bytes()
    with desk.database.read() as session:
        rows = session.scalars(select(DeidentifiedExportRow)).all()
        told = [(row.project, row.study_instance_uid) for row in rows]
    assert told == [("alpha", study)] * 2


def test_text_is_removed_word_by_word_and_codes_keep_their_words(desk: Desk) -> None:
    source = sample(
        SpecificCharacterSet="GB18030",
        StudyDescription="CT CHEST WITH CONTRAST Herr Wang 胸部平扫王小东",
    )
    new = desk.only(desk.export(desk.store(source), Option.CLEAN_DESCRIPTORS))
    assert new.StudyDescription == "CT CHEST WITH CONTRAST 胸部 平扫"
    assert "StudyDescription" not in desk.only(
        desk.export(str(source.StudyInstanceUID), folder="basic"), "basic"
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("T1 TSE SAG 3 mm", "T1 TSE SAG 3 mm"),
        ("ZHANG WEI 440106199001011234", ""),
        ("头颅增强 张伟", "头颅 增强"),
        ("Dr. Smith: brain MRI 20240131", "brain MRI"),
        ("", ""),
    ],
)
def test_only_known_words_of_a_descriptor_survive(text: str, kept: str) -> None:
    cleaned = cleaned_text(text)
    assert [word for word in cleaned.split() if word not in ":.-"] == kept.split()


def test_private_attributes_curves_and_overlays_are_gone(desk: Desk) -> None:
    new = desk.only(desk.export(desk.store(planted_object(Canaries(), "2.25.580012"))))
    assert not [e for e in new if e.tag.is_private or 0x5000 <= e.tag.group <= 0x60FF]
    assert (0x0028, 0x2000) not in new


def test_masked_pixels_are_hidden_and_bits_above_the_stored_ones_cleared(desk: Desk) -> None:
    values = np.full((16, 16), 0xF123, np.uint16)
    source = sample(Rows=16, Columns=16, BitsStored=12, HighBit=11, PixelRepresentation=0)
    if "PixelPaddingValue" in source:
        del source.PixelPaddingValue
    source.PixelData = values.tobytes()
    study = desk.store(source)
    desk.masked = (Box(2, 3, 5, 4), Box(14, 14, 99, 99))
    shown = desk.only(desk.export(study)).pixel_array
    assert set(np.unique(shown)) == {0, 0x123}
    assert not shown[3:7, 2:7].any()
    assert not shown[14:, 14:].any()
    assert shown[0, 0] == 0x123


def test_age_survives_with_patient_characteristics_and_is_capped(desk: Desk) -> None:
    study = desk.store(sample(PatientAge="097Y", PatientSex="F"))
    new = desk.only(desk.export(study, Option.PATIENT_CHARACTERISTICS))
    assert (new.PatientAge, new.PatientSex) == ("090Y", "F")
    assert "PatientAge" not in desk.only(desk.export(study, folder="basic"), "basic")


def test_what_is_no_image_stays_behind_and_is_counted(desk: Desk) -> None:
    done = desk.export(desk.store(sample("reportsi.dcm")))
    assert done.files == ()
    assert done.left_out == {NOT_AN_IMAGE: 1}


def test_an_object_that_still_names_the_person_is_not_written(desk: Desk) -> None:
    # A maker's name is kept as it is; the last look at the bytes finds who stands in it.
    study = desk.store(sample(PatientName="Kowalski^Jan", Manufacturer="ACME Kowalski"))
    done = desk.export(study)
    assert done.left_out == {IDENTIFIER_LEFT: 1}
    assert not list((desk.folder / "out").rglob("*.dcm"))


def test_a_short_number_that_stands_in_a_uid_by_chance_leaves_nothing_out(desk: Desk) -> None:
    source = sample(PatientID="12322", PatientName="Lu")
    assert "12322" in source.StudyInstanceUID
    done = desk.export(desk.store(source), Option.RETAIN_UIDS)
    assert done.left_out == {}


def test_known_identifiers_are_found_in_every_coding() -> None:
    known = KnownIdentifiers(frozenset({"王小东", "kowalski", "Li"}))
    for coding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"):
        assert known.found_in(b"..." + "王小东".encode(coding) + b"...")
    assert known.found_in(b"KOWALSKI")
    assert known.found_in(b"kowalski".hex().encode())
    assert not known.found_in(b"Light is no name")


def test_the_table_is_that_of_the_standard() -> None:
    rows = table()
    assert len(rows) == 655
    counted = Counter(row.basic for row in rows.values())
    assert set(counted) == {"X", "Z", "D", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}
    assert rows["00100010"].basic == "Z"
    assert rows["0008103e"].options["descriptors"] == "C"
    assert rows["00080020"].options["dates"] == "C"
    assert rows["00181000"].options["device"] == "K"


@pytest.mark.parametrize("project", ["", "a b", "../x", "x" * 33, "-x", "项目"])
def test_a_project_has_a_plain_name(project: str) -> None:
    with pytest.raises(InvalidValueError):
        ProjectKey.derive(MASTER, project)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_ybr_color.dcm"])
def test_no_error_is_added_that_the_original_did_not_have(desk: Desk, name: str) -> None:
    source = sample(name)
    path = desk.folder / "source.dcm"
    source.save_as(path, enforce_file_format=True)
    done = desk.export(desk.store(source), *ALL)
    assert done.files, done.left_out
    before = faults(path, path.read_bytes())
    assert faults(path, desk.file(done).read_bytes()) <= before


def _ordinal(day: str) -> int:
    from datetime import date

    return date(int(day[:4]), int(day[4:6]), int(day[6:8])).toordinal()
