"""Studies to scroll through: an oblique-free CT of many slices and its prior, cine, slide, papers.

The slices are small and lossless, each with its own number painted as bars, so that a test can tell
which slice a picture is of. Positions are true: 2 mm apart, the prior 3 mm apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from access_control.model import Site
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin

SCROLL_CT, PRIOR_CT, CINE, SLIDE, PAPERS, BROKEN, OTHER_PERSON, PET, OTHER_PAPERS = (
    f"2.25.9057{n}" for n in range(9)
)
SLICES, PRIOR_SLICES = 300, 40
EDGE = 128
NAME, PATIENT_ID = "Shen^Yi=沈^逸", "Q9057"

_STORAGE = "1.2.840.10008.5.1.4.1.1."
CT_IMAGE, KEY_OBJECTS, GRAYSCALE_STATE, ENCAPSULATED_PDF, ENHANCED_SR, SLIDE_IMAGE, PET_IMAGE = (
    _STORAGE + tail for tail in ("2", "88.59", "11.1", "104.1", "88.22", "77.1.6", "128")
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@dataclass(frozen=True)
class Kind:
    """What an object of a study has in common with its series."""

    study: str
    series: int
    modality: str
    sop_class: str
    day: str = "20261120"
    description: str = ""
    patient_id: str = PATIENT_ID
    name: str = NAME


def store(hub: Hub, site: Site, instances: Iterator[bytes]) -> None:
    """Archive the instances as `site` would send them."""
    origin = InstanceOrigin(
        site.site_id, site.assigning_authority, site.ae_titles[0], "EIRHUB", "127.0.0.1"
    )
    for instance in instances:
        hub.archive.store_file(instance, origin)


def everything(slices: int = SLICES) -> Iterator[bytes]:
    """Yield the instances of all studies."""
    now = Kind(SCROLL_CT, 1, "CT", CT_IMAGE, description="胸部平扫")
    yield from stack(now, slices, 2.0, "2.25.90571")
    prior = Kind(PRIOR_CT, 1, "CT", CT_IMAGE, "20240302", "胸部平扫")
    yield from stack(prior, PRIOR_SLICES, 3.0, "2.25.90572")
    other = Kind(OTHER_PERSON, 1, "CT", CT_IMAGE, patient_id="Q9058", name="Ren^Wu=任^无")
    yield from stack(other, 2, 3.0, "2.25.90573")
    yield cine()
    yield from papers()
    yield slide()
    yield broken()
    yield from pet()


def stack(kind: Kind, count: int, apart_mm: float, frame_of_reference: str) -> Iterator[bytes]:
    """Yield `count` axial slices, feet first."""
    for number in range(1, count + 1):
        dataset = _common(kind, number)
        dataset.FrameOfReferenceUID = frame_of_reference
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-120, -120, -100 + apart_mm * number]
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
        dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
        _pixels(dataset, slice_values(number))
        yield _bytes(dataset)


def slice_values(number: int) -> np.ndarray:
    """Return stored values: a disc of soft tissue with lungs, and `number` in binary at the top."""
    y, x = np.mgrid[0:EDGE, 0:EDGE] - EDGE / 2
    wide = 40 + 15 * np.sin(number / 40)
    values = np.full((EDGE, EDGE), 24, np.uint16)
    values[x**2 + (y * 1.3) ** 2 < wide**2] = 1064
    for side in (-1, 1):
        values[(x - side * wide / 2.4) ** 2 + y**2 < (wide / 3.2) ** 2] = 224
    values[(x**2 + (y - wide / 2) ** 2) < 49] = 1500
    for bit in range(10):
        if number >> bit & 1:
            values[2:8, 4 + 12 * bit : 12 + 12 * bit] = 1400
    return values


def cine() -> bytes:
    """Return a real ultrasound cine of 120 frames under our patient."""
    return _bytes(_foreign("color3d_jpeg_baseline.dcm", Kind(CINE, 1, "US", "", "20260603")))


def broken() -> bytes:
    """Return a JPEG 2000 picture whose codestream is rubbish after its first marker."""
    dataset = _foreign("MR_small_jp2klossless.dcm", Kind(BROKEN, 1, "MR", ""))
    dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 60])
    return _bytes(dataset)


def slide() -> bytes:
    """Return the overview of a slide."""
    dataset = _common(Kind(SLIDE, 1, "SM", SLIDE_IMAGE, "20260101"), 1)
    dataset.ImageType = ["DERIVED", "PRIMARY", "OVERVIEW", "RESAMPLED"]
    colour = np.zeros((64, 96, 3), np.uint8)
    colour[..., 0], colour[16:48, 20:70, 2] = 230, 180
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = colour.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = colour.tobytes()
    return _bytes(dataset)


def papers() -> Iterator[bytes]:
    """Yield one picture and what is written about it: report, PDF, key images, display state."""
    picture = Kind(PAPERS, 1, "CT", CT_IMAGE, "20250505", "腹部平扫")
    yield from stack(picture, 3, 5.0, "2.25.90574")
    chosen = f"{PAPERS}.1.2"
    report = _common(Kind(PAPERS, 2, "SR", ENHANCED_SR, "20250505", "诊断报告"), 1)
    report.VerificationFlag, report.CompletionFlag = "VERIFIED", "COMPLETE"
    report.ValueType, report.ConceptNameCodeSequence = "CONTAINER", _code("影像诊断报告")
    findings = _item("CONTAINER", "影像所见")
    findings.ContentSequence = Items([_item("TEXT", "所见", TextValue="右肺上叶见结节<b>6mm</b>")])
    picked = _item("IMAGE", "关键图像")
    picked.ReferencedSOPSequence = Items([_reference(chosen)])
    report.ContentSequence = Items([findings, picked])
    yield _bytes(report)
    pdf = _common(Kind(PAPERS, 3, "DOC", ENCAPSULATED_PDF, "20250505", "纸质报告"), 1)
    pdf.MIMETypeOfEncapsulatedDocument, pdf.DocumentTitle = "application/pdf", "出院小结"
    pdf.EncapsulatedDocument = PDF + b"\0" * (len(PDF) % 2)
    pdf.EncapsulatedDocumentLength = len(PDF)
    yield _bytes(pdf)
    keys = _common(Kind(PAPERS, 4, "KO", KEY_OBJECTS, "20250505", "关键图像"), 1)
    keys.ValueType, keys.ConceptNameCodeSequence = "CONTAINER", _code("Of Interest")
    keys.ContentSequence = Items([picked])
    yield _bytes(keys)
    kind = Kind(PAPERS, 5, "PR", GRAYSCALE_STATE, "20250505", "显示状态")
    yield presentation_state(kind, 1, "LUNG", (-600, 1500), (chosen,))


def presentation_state(
    kind: Kind, number: int, label: str, window: tuple[int, int], shown: tuple[str, ...]
) -> bytes:
    """Return a state that shows CT slices of series 1 through `window`."""
    state = _common(kind, number)
    state.ContentLabel = label
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = window
    state.SoftcopyVOILUTSequence = Items([voi])
    state.RescaleIntercept, state.RescaleSlope, state.RescaleType = -1024, 1, "HU"
    series = Dataset()
    series.SeriesInstanceUID = f"{kind.study}.1"
    series.ReferencedImageSequence = Items([_reference(uid) for uid in shown])
    state.ReferencedSeriesSequence = Items([series])
    return _bytes(state)


def other_papers() -> Iterator[bytes]:
    """Yield somebody else's slice and state; the state also names a slice that is not theirs."""
    picture = Kind(OTHER_PAPERS, 1, "CT", CT_IMAGE, patient_id="Q9059", name="Tang^Mou=汤^某")
    yield from stack(picture, 1, 5.0, "2.25.90575")
    kind = replace(picture, series=5, modality="PR", sop_class=GRAYSCALE_STATE)
    named = (f"{PAPERS}.1.1", f"{OTHER_PAPERS}.1.1")
    yield presentation_state(kind, 1, "BONE", (300, 1500), named)


def pet() -> Iterator[bytes]:
    """Yield two slices of a PET series whose SUV can be told, and one series without a weight."""
    for series in (1, 2):
        kind = Kind(PET, series, "PT", PET_IMAGE, "20261101", "全身 PET")
        for number in (1, 2):
            dataset = _common(kind, number)
            dataset.SeriesDate = dataset.AcquisitionDate = "20261101"
            dataset.SeriesTime = dataset.AcquisitionTime = "110000"
            dataset.Units, dataset.DecayCorrection = "BQML", "START"
            dataset.CorrectedImage = ["DECY", "ATTN"]
            if series == 1:
                dataset.PatientWeight = 70
            dose = Dataset()
            dose.RadiopharmaceuticalStartTime = "110000"
            dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = 370e6, 6586.2
            dataset.RadiopharmaceuticalInformationSequence = Items([dose])
            dataset.RescaleIntercept, dataset.RescaleSlope = 0, 20
            dataset.WindowCenter, dataset.WindowWidth = 16000, 32000
            _pixels(dataset, slice_values(number))
            yield _bytes(dataset)


def _foreign(file: str, kind: Kind) -> FileDataset:
    dataset = pydicom.dcmread(str(get_testdata_file(file, download=False)))
    dataset.SpecificCharacterSet = "GB18030"
    _identify(dataset, kind, 1)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _common(kind: Kind, number: int) -> FileDataset:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = kind.sop_class
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "GB18030"
    dataset.SOPClassUID = kind.sop_class
    dataset.SeriesDescription = kind.description
    _identify(dataset, kind, number)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _identify(dataset: Dataset, kind: Kind, number: int) -> None:
    dataset.PatientName, dataset.PatientID = kind.name, kind.patient_id
    dataset.PatientSex, dataset.PatientBirthDate = "F", "19611203"
    dataset.StudyInstanceUID = kind.study
    dataset.SeriesInstanceUID = f"{kind.study}.{kind.series}"
    dataset.SOPInstanceUID = f"{kind.study}.{kind.series}.{number}"
    dataset.StudyDate, dataset.StudyTime = kind.day, "101500"
    dataset.AccessionNumber, dataset.StudyID = f"Q{kind.study[-5:]}", "1"
    dataset.Modality, dataset.BodyPartExamined = kind.modality, "CHEST"
    dataset.SeriesNumber, dataset.InstanceNumber = kind.series, number


def _pixels(dataset: Dataset, values: np.ndarray) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = values.tobytes()


def _code(meaning: str) -> Items:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99EIR", meaning
    return Items([code])


def _item(value_type: str, name: str, **values: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    item.ConceptNameCodeSequence = _code(name)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _reference(uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT_IMAGE, uid
    return reference


def _bytes(dataset: FileDataset) -> bytes:
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()
