"""The studies of the rendering benchmark: CT, CR and a study of many small slices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

SLICES, CT_SLICES, CR_IMAGES = 1000, 100, 24
_ROOT = "1.2.826.0.1.3680043.10.1717.11"
_CT, _CR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1"


@dataclass(frozen=True)
class Instance:
    """Where an instance is found below the DICOMweb root."""

    path: str


@dataclass(frozen=True)
class Study:
    """Where a study is found, and its instances."""

    path: str
    instances: list[Instance]
    folder: Path


@dataclass(frozen=True)
class Made:
    """The studies of one benchmark."""

    ct: Study
    cr: Study
    small: Study

    @property
    def folders(self) -> list[Path]:
        """The folders of their files."""
        return [self.ct.folder, self.cr.folder, self.small.folder]


def studies(folder: Path, slices: int) -> Made:
    """Write them below `folder`: smooth pictures with the noise that detectors have."""
    return Made(
        write_study(folder / "ct", 1, CT_SLICES, (512, 512)),
        write_study(folder / "cr", 2, CR_IMAGES, (2048, 1760)),
        write_study(folder / "small", 3, slices, (64, 64)),
    )


def write_study(folder: Path, number: int, count: int, size: tuple[int, int]) -> Study:
    """Write a study of so many slices into the new folder."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    noise = np.random.default_rng(number).normal(0, 9, size).astype(np.float32)
    uid = f"{_ROOT}.{number}"
    found = []
    for index in range(count):
        shape = np.sin(columns / (40 + index)) * np.cos(rows / 60)
        pixels = (2000 + 900 * shape + np.roll(noise, index * 7)).astype("<u2")
        dataset = _dataset(uid, number, index, pixels)
        dataset.save_as(folder / f"{index:05}.dcm", enforce_file_format=True)
        found.append(Instance(f"/studies/{uid}/series/{uid}.1/instances/{uid}.1.{index + 1}"))
    return Study(f"/studies/{uid}", found, folder)


def _dataset(uid: str, number: int, index: int, pixels: np.ndarray) -> Dataset:  # type: ignore[type-arg]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = _CR if number == 2 else _CT
    dataset.SOPInstanceUID = f"{uid}.1.{index + 1}"
    dataset.StudyDate, dataset.StudyTime = "20260101", "101500"
    dataset.AccessionNumber, dataset.StudyID = f"B{number}", str(number)
    dataset.Modality = "CR" if number == 2 else "CT"
    dataset.Manufacturer, dataset.StationName = "Bench", "BENCH1"
    dataset.StudyDescription, dataset.SeriesDescription = "Bench", "1.0 mm"
    dataset.PatientName, dataset.PatientID = "Bench^One=基^准", "BENCH1"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.BodyPartExamined, dataset.SliceThickness = "CHEST", "1.0"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.1"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, index + 1
    dataset.ImagePositionPatient = [0, 0, index]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.FrameOfReferenceUID = f"{uid}.9"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = "2000", "2000"
    dataset.RescaleIntercept, dataset.RescaleSlope = "0", "1"
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(dataset.SOPClassUID)
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(dataset.SOPInstanceUID)
    return dataset
