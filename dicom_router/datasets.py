"""Small datasets of DIMSE messages, between bytes and pydicom: identifiers, lists, reports."""

import struct
from io import BytesIO

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from dicom_router.presentation import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

_ITEM = (0xFFFE, 0xE000)
_NO_TEXT = ["iso8859"]


def encode_dataset(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return `dataset` in one of the uncompressed transfer syntaxes.

    Raw elements, which are text, go out as they are: pydicom would read and write them once more,
    and what it does not like about a name would end the answer.
    """
    return b"".join(
        _encoded(dataset.get_item(tag), transfer_syntax_uid) for tag in sorted(dataset.keys())
    )


def _encoded(element: DataElement | RawDataElement, transfer_syntax_uid: str) -> bytes:
    if isinstance(element, RawDataElement):
        return _written(element.tag, str(element.VR), element.value or b"", transfer_syntax_uid)
    if element.VR == VR.SQ:
        order = _order(transfer_syntax_uid)
        items = (encode_dataset(item, transfer_syntax_uid) for item in element.value)
        whole = b"".join(struct.pack(f"{order}HHI", *_ITEM, len(item)) + item for item in items)
        return _written(element.tag, "SQ", whole, transfer_syntax_uid)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    write_data_element(buffer, element, _NO_TEXT)
    return bytes(buffer.getvalue())


def _written(tag: BaseTag, vr: str, value: bytes, transfer_syntax_uid: str) -> bytes:
    """Return one element (PS3.5 7.1)."""
    order = _order(transfer_syntax_uid)
    numbers = struct.pack(f"{order}HH", tag.group, tag.element)
    if transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN:
        return numbers + struct.pack("<I", len(value)) + value
    form = f"{order}HI" if vr in EXPLICIT_VR_LENGTH_32 else f"{order}H"
    length = (0, len(value)) if vr in EXPLICIT_VR_LENGTH_32 else (len(value),)
    return numbers + vr.encode("ascii") + struct.pack(form, *length) + value


def _order(transfer_syntax_uid: str) -> str:
    return ">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<"


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
