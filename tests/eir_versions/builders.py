"""Small DICOM objects, made to order, as the bytes of Part 10 files."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data_store
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from eir_versions.instance_file import InstanceFile, open_instance
from eir_versions.pixels.model import PictureArray
from eir_versions.presentation_states import GRAYSCALE
from eir_versions.rendering import FrameRequest, render_frame

WHEEL = Path(data_store.__file__).parent
OWN = Path(pydicom.__file__).parent / "data"
SAMPLES = WHEEL / "data"
TEST_FILES = OWN / "test_files"
_CT = "1.2.840.10008.5.1.4.1.1.2"


def real_files() -> Iterator[tuple[str, Path]]:
    """Every file of the pydicom-data wheel and of pydicom itself, by a stable name."""
    for root in (WHEEL, OWN):
        for path in sorted(root.rglob("*")):
            skipped = {".py", ".pyc", ".json", ".csv", ".txt", ".md", ".icc", ".dump"}
            if path.is_file() and path.suffix not in skipped:
                yield path.relative_to(root).as_posix(), path


def image_dataset(pixels: NDArray[Any], **attributes: Any) -> Dataset:
    """A CT of these pixels: (rows, columns) or (frames, rows, columns), any integer type."""
    dataset = Dataset()
    dataset.SOPClassUID = _CT
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Modality = "CT"
    dataset.PatientID = "P1"
    dataset.PatientName = "Test^Only"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = pixels.dtype.itemsize * 8 - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        dataset.NumberOfFrames = pixels.shape[0]
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def presentation_state(image: Dataset, kind: str = GRAYSCALE, **attributes: Any) -> Dataset:
    """A softcopy presentation state for all frames of an image, in its study."""
    state, series, reference = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    series.SeriesInstanceUID = image.SeriesInstanceUID
    series.ReferencedImageSequence = [reference]
    state.ReferencedSeriesSequence = [series]
    state.SOPClassUID = kind
    state.SOPInstanceUID, state.SeriesInstanceUID = generate_uid(), generate_uid()
    state.StudyInstanceUID, state.Modality = image.StudyInstanceUID, "PR"
    state.PatientID, state.PatientName = image.PatientID, image.PatientName
    state.PresentationCreationDate, state.PresentationCreationTime = "20260101", "120000"
    state.PresentationLUTShape, state.SpecificCharacterSet = "IDENTITY", "ISO_IR 192"
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    return state


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def part10(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """The dataset as a file; encapsulated syntaxes need `encapsulated` before."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def part10_of_new_syntax(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """As `part10`, for an encapsulated syntax that is newer than pydicom."""
    data = part10(dataset, JPEGBaseline8Bit)
    at = data.index(b"\x02\0\x10\0UI") + 6
    end = at + 2 + int.from_bytes(data[at : at + 2], "little")
    uid = transfer_syntax_uid.encode() + b"\0" * (len(transfer_syntax_uid) % 2)
    meta = int.from_bytes(data[140:144], "little") + len(uid) - (end - at - 2)
    head = data[:140] + meta.to_bytes(4, "little") + data[144:at]
    return head + len(uid).to_bytes(2, "little") + uid + data[end:]


def encapsulated(dataset: Dataset, frames: list[bytes], *, has_bot: bool = True) -> Dataset:
    dataset.PixelData = encapsulate(frames, has_bot=has_bot)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def opened(data: bytes | Path) -> InstanceFile:
    return open_instance(io.BytesIO(data if isinstance(data, bytes) else data.read_bytes()))


def rendered(data: bytes | Path | Dataset, request: FrameRequest | None = None) -> PictureArray:
    instance = opened(part10(data) if isinstance(data, Dataset) else data)
    return render_frame(instance, request or FrameRequest())
