"""An instance under other UIDs, or another patient ID, that says so itself (PS3.3 C.12.1.1.9).

What was there before stands in Original Attributes Sequence (0400,0561). The new UIDs follow from
the old ones and from the decision, so carrying it out twice makes the very same bytes.
"""

import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from image_archive.elements import encoding_of
from image_archive.errors import UnreadableInstanceError
from image_archive.reading import VALUE_ERRORS, read_dataset

LARGEST_BYTES = 536_870_912
_MODIFYING_SYSTEM = "EIRHUB"


@dataclass(frozen=True)
class Coercion:
    """What to change. `scope` names the decision: one scope gives one new UID for one old UID.

    With `new_study` study and series get new UIDs too. `patient_id` is kept where it is empty.
    """

    scope: str
    decided_at: datetime
    new_study: bool = False
    patient_id: str = ""


@dataclass(frozen=True)
class Coerced:
    """A dataset in the transfer syntax it came in, and its new SOP Instance UID."""

    sop_instance_uid: str
    dataset: bytes


def coerced(stream: BinaryIO, wanted: Coercion) -> Coerced:
    """Return the Part 10 file `stream` under other identifiers.

    Raises:
        UnreadableInstanceError: it cannot be read or written.
    """
    try:
        dataset = read_dataset(stream, stop_before_pixels=False)
        _change(dataset, wanted)
        return Coerced(str(dataset.SOPInstanceUID), _written(dataset))
    except VALUE_ERRORS as error:
        raise UnreadableInstanceError("the dataset cannot be rewritten") from error


def derived_uid(scope: str, uid: str) -> str:
    """Return the UID that stands for `uid` after the decision `scope` (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'eirhub conflict {scope} {uid}').int}"


def _change(dataset: Dataset, wanted: Coercion) -> None:
    changes = {"SOPInstanceUID": derived_uid(wanted.scope, str(dataset.SOPInstanceUID))}
    if wanted.new_study:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            changes[keyword] = derived_uid(wanted.scope, str(dataset[keyword].value))
    if wanted.patient_id:
        changes["PatientID"] = wanted.patient_id
    before = Dataset()
    for keyword, value in changes.items():
        setattr(before, keyword, getattr(dataset, keyword, ""))
        setattr(dataset, keyword, value)
    said = Dataset()
    said.SourceOfPreviousValues = ""
    said.AttributeModificationDateTime = wanted.decided_at.strftime("%Y%m%d%H%M%S+0000")
    said.ModifyingSystem = _MODIFYING_SYSTEM
    said.ReasonForTheAttributeModification = "COERCE"
    said.ModifiedAttributesSequence = Sequence([before])
    earlier = dataset.get("OriginalAttributesSequence") or []
    dataset.OriginalAttributesSequence = Sequence([*earlier, said])


def _written(dataset: Dataset) -> bytes:
    encoding = encoding_of(str(dataset.file_meta.TransferSyntaxUID))
    out = DicomBytesIO()
    out.is_implicit_VR = encoding.implicit
    out.is_little_endian = not encoding.big_endian
    write_dataset(out, dataset)
    if not encoding.deflated:
        return out.getvalue()
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(out.getvalue()) + compressor.flush()
    return deflated + b"\0" * (len(deflated) % 2)
