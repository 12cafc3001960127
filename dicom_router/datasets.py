"""Small datasets of DIMSE messages, between bytes and pydicom: identifiers, lists, reports."""

from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicom_router.presentation import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN


def encode_dataset(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return `dataset` in one of the uncompressed transfer syntaxes."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def decode_dataset(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """Return the dataset in `data`; values are looked at later, and raise one of `VALUE_ERRORS`.

    Raises:
        one of `VALUE_ERRORS`: it cannot be taken apart.
    """
    return read_dataset(
        BytesIO(data),
        transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
        transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN,
    )
