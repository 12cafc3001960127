"""Datasets made to order, and a sender that pushes them as the router does."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from hub_kernel.identifiers import AssigningAuthority
from image_archive.model import IncomingHeader, InstanceOrigin, StoreOutcome
from image_archive.service import ArchiveService

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"

TOWNSHIP = InstanceOrigin(
    site_id="qingshan",
    issuer=AssigningAuthority("QINGSHAN", "1.2.156.1.1"),
    calling_ae_title="QINGSHAN_CT",
    called_ae_title="EIRHUB",
    source_address="127.0.0.1",
)
OTHER_TOWNSHIP = InstanceOrigin(
    site_id="baihe",
    issuer=AssigningAuthority("BAIHE", "1.2.156.1.2"),
    calling_ae_title="BAIHE_CT",
    called_ae_title="EIRHUB",
    source_address="127.0.0.1",
)


def ct_slice(number: int = 1, **attributes: object) -> Dataset:
    """A small CT slice; keyword arguments replace or add attributes, None removes one."""
    dataset = Dataset()
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CT_IMAGE_STORAGE,
        "SOPInstanceUID": f"1.2.3.1.1.{number}",
        "StudyDate": "20261120",
        "StudyTime": "101530.5",
        "AccessionNumber": "A-1",
        "Modality": "CT",
        "StudyDescription": "胸部",
        "PatientName": "Wang^XiaoDong=王^小东",
        "PatientID": "12345",
        "PatientBirthDate": "19700102",
        "PatientSex": "M",
        "BodyPartExamined": "CHEST",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "SamplesPerPixel": 1,
        "Rows": 4,
        "Columns": 4,
        "BitsAllocated": 16,
        "PixelData": bytes([number % 256]) * 32,
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    return dataset


def encoded(dataset: Dataset, *, implicit: bool = False, big_endian: bool = False) -> bytes:
    """The bytes of a dataset as a C-STORE carries them."""
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_implicit_VR = implicit
    stream.is_little_endian = not big_endian
    write_dataset(stream, dataset)
    return buffer.getvalue()


def kept_files(archive: Path) -> list[Path]:
    """Every file that holds anything: spool files waiting for their next instance hold nothing."""
    files = [path for path in archive.rglob("*") if path.is_file()]
    return [path for path in files if path.parent.name != "shared" and _holds_something(path)]


def stored_files(root: Path) -> list[Path]:
    return kept_files(root / "archive")


def _holds_something(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.parent.name != "incoming" or any(file.read(1024))
    except FileNotFoundError:  # published or discarded since it was listed
        return False


@dataclass
class Sender:
    """Sends datasets to an archive as the router does."""

    archive: ArchiveService
    origin: InstanceOrigin = TOWNSHIP

    def send(self, dataset: Dataset, **announced: str) -> StoreOutcome:
        return self.send_bytes(
            encoded(dataset), **{"sop_instance_uid": dataset.SOPInstanceUID, **announced}
        )

    def send_bytes(
        self,
        data: bytes,
        sop_instance_uid: str = "1.2.3.1.1.1",
        sop_class_uid: str = CT_IMAGE_STORAGE,
        transfer_syntax_uid: str = EXPLICIT_LITTLE,
    ) -> StoreOutcome:
        header = IncomingHeader(sop_class_uid, sop_instance_uid, transfer_syntax_uid, self.origin)
        with self.archive.incoming(header) as incoming:
            for start in range(0, len(data), 1000):
                incoming.write(data[start : start + 1000])
            return incoming.commit()
