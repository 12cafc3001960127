"""Small datasets to send, and their bytes as they travel."""

from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

STUDY = "1.2.826.0.1.3680043.10.1603.1"


def ct(number: int = 1, study: str = STUDY, **changes: object) -> Dataset:
    """One CT slice of 8 × 8 pixels; `changes` are attributes by keyword, None removes one."""
    instance = Dataset()
    instance.SOPClassUID = CTImageStorage
    instance.SOPInstanceUID = f"{study}.1.{number}"
    instance.StudyInstanceUID = study
    instance.SeriesInstanceUID = f"{study}.1"
    instance.PatientName = "Wang^XiaoDong"
    instance.PatientID = "12345"
    instance.PatientBirthDate = "19700101"
    instance.PatientSex = "M"
    instance.StudyDate = "20261101"
    instance.StudyTime = "101500"
    instance.AccessionNumber = "A100"
    instance.StudyID = "1"
    instance.StudyDescription = "CHEST"
    instance.ReferringPhysicianName = "Li^Na"
    instance.Modality = "CT"
    instance.SeriesNumber = 3
    instance.InstanceNumber = number
    instance.Rows = instance.Columns = 8
    instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, 12, 11
    instance.PixelRepresentation, instance.SamplesPerPixel = 0, 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.PixelData = bytes([number % 256, 0]) * 64
    for keyword, value in changes.items():
        if value is None:
            delattr(instance, keyword)
        else:
            setattr(instance, keyword, value)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return instance


def encoded(instance: Dataset) -> bytes:
    """The dataset in explicit VR little endian, without file meta."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, instance)
    return buffer.getvalue()


def part10(instance: Dataset) -> bytes:
    """The Part 10 file."""
    buffer = BytesIO()
    dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()
