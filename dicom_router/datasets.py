"""Small datasets of DIMSE messages, between bytes and pydicom: identifiers, lists, reports."""

import struct
import zlib
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicom_router.presentation import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

# Whatever pydicom can raise over hostile bytes, at once or when a value is looked at.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    AttributeError,
    OSError,
    RuntimeError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


def encode_dataset(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return `dataset` in one of the uncompressed transfer syntaxes."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def decode_dataset(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """Return the dataset in `data`; values are looked at later, and raise one of `UNREADABLE`.

    Raises:
        one of `UNREADABLE`: it cannot be taken apart.
    """
    return read_dataset(
        BytesIO(data),
        transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
        transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN,
    )
