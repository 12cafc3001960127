"""Small real DICOM files, sent into the archive as if a modality had."""

import io
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from image_archive.model import InstanceOrigin
from tests.xds_registry.samples import TOWNSHIP

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ORIGIN = InstanceOrigin("t1", TOWNSHIP, "AET1", "EIRHUB", "127.0.0.1")


def instance(study: str, series: int = 1, number: int = 1, **changes: Any) -> bytes:
    """Return a Part 10 file of one CT slice of `study`; `changes` are DICOM keywords."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CT_IMAGE
    dataset.SOPInstanceUID = f"{study}.{series}.{number}"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = f"{study}.{series}"
    dataset.PatientName = "Wang^XiaoDong=王^小东"
    dataset.PatientID = "L-1"
    dataset.PatientBirthDate = "19600506"
    dataset.PatientSex = "M"
    dataset.StudyDate = "20240102"
    dataset.StudyTime = "030405"
    dataset.AccessionNumber = "A-1"
    dataset.StudyID = "1"
    dataset.StudyDescription = "胸部平扫"
    dataset.ReferringPhysicianName = "Li^Si"
    dataset.Modality = "CT"
    dataset.BodyPartExamined = "CHEST"
    dataset.SeriesNumber = series
    dataset.InstanceNumber = number
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    dataset.file_meta = meta
    target = io.BytesIO()
    dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()
