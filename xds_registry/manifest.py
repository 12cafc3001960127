"""Build the manifest of a study: a Key Object Selection document that lists every instance.

DICOM PS3.3 A.35.4 and C.17.6, PS3.16 TID 2010, and RAD TF-3 4.68.4.1.2.1 (XDS-I.b). Pure: the same
request gives the same bytes and the same UIDs, so that building twice is building once.
"""

import io
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

_NAMESPACE = uuid.UUID("6f0b5b1e-6f0d-5a39-9c0e-3f8e54a6d3c1")
_SERIES_NUMBER = 999
_IMPLEMENTATION_CLASS_UID = "2.25.210462703157083170963180273013264731141"
_TM = re.compile(r"\d{2}|\d{4}|\d{6}(\.\d{1,6})?")
_WAVEFORM_PREFIX = "1.2.840.10008.5.1.4.1.1.9."
_NOT_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.66",  # raw data, registrations, fiducials, surfaces
    "1.2.840.10008.5.1.4.1.1.67",
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.481.",  # radiotherapy, but for RT images
    "1.2.840.10008.5.1.4.34.",
)
_RT_IMAGE = "1.2.840.10008.5.1.4.1.1.481.1"
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True)
class ManifestSource:
    """Where the instances of a manifest can be retrieved from.

    `dicomweb_url` is the base of the DICOMweb service, without a slash at its end.
    """

    repository_unique_id: str
    retrieve_ae_title: str
    dicomweb_url: str


@dataclass(frozen=True)
class ManifestInstance:
    """One instance that the manifest lists."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class ManifestSeries:
    """One series that the manifest lists, with at least one instance."""

    series_instance_uid: str
    instances: tuple[ManifestInstance, ...]


@dataclass(frozen=True, kw_only=True)
class ManifestStudy:
    """The study as its manifest describes it; texts are DICOM values, empty where unknown."""

    study_instance_uid: str
    patient_id: str
    issuer_namespace: str
    issuer_oid: str
    patient_name: str
    patient_birth_date: date | None
    patient_sex: str
    accession_number: str
    study_id: str
    study_date: date | None
    study_time: str
    study_description: str
    referring_physician_name: str
    series: tuple[ManifestSeries, ...]


@dataclass(frozen=True)
class Manifest:
    """A manifest as a DICOM file."""

    sop_instance_uid: str
    series_instance_uid: str
    data: bytes


def manifest_uid(repository_unique_id: str, study_instance_uid: str, what: str) -> str:
    """Return the UID that `what` of this study always has in this repository (PS3.5 B.2)."""
    return f"2.25.{manifest_uuid(repository_unique_id, study_instance_uid, what).int}"


def manifest_uuid(repository_unique_id: str, study_instance_uid: str, what: str) -> uuid.UUID:
    """Return the UUID that `what` of this study always has in this repository."""
    return uuid.uuid5(_NAMESPACE, f"{repository_unique_id}|{study_instance_uid}|{what}")


def build_manifest(
    study: ManifestStudy, generation: int, source: ManifestSource, content_at: datetime
) -> Manifest:
    """Return the manifest of this generation of `study`, in Explicit VR Little Endian.

    `content_at` is aware; the file shows it in its own offset.
    """
    uid = study.study_instance_uid
    sop_instance_uid = manifest_uid(source.repository_unique_id, uid, f"manifest/{generation}")
    series_uid = manifest_uid(source.repository_unique_id, uid, "manifest-series")
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = KeyObjectSelectionDocumentStorage
    dataset.SOPInstanceUID = sop_instance_uid
    _patient(dataset, study)
    _study(dataset, study)
    dataset.Modality = "KO"
    dataset.SeriesInstanceUID = series_uid
    dataset.SeriesNumber = _SERIES_NUMBER
    dataset.ReferencedPerformedProcedureStepSequence = DicomSequence([])
    dataset.Manufacturer = "EIR Hub"
    dataset.InstanceNumber = generation
    _content_time(dataset, content_at)
    _references(dataset, study, source)
    _content(dataset, study)
    return Manifest(sop_instance_uid, series_uid, _file(dataset))


def value_type_of(sop_class_uid: str) -> str:
    """Return the SR value type that refers to an instance of this class (TID 2010, rows 7 to 9)."""
    if sop_class_uid.startswith(_WAVEFORM_PREFIX):
        return "WAVEFORM"
    if sop_class_uid in {_RT_IMAGE, _SEGMENTATION}:
        return "IMAGE"
    return "COMPOSITE" if sop_class_uid.startswith(_NOT_IMAGES) else "IMAGE"


def _patient(dataset: Dataset, study: ManifestStudy) -> None:
    dataset.PatientName = _person(study.patient_name)
    dataset.PatientID = _text(study.patient_id, 64)
    dataset.PatientBirthDate = _da(study.patient_birth_date)
    dataset.PatientSex = study.patient_sex if study.patient_sex in {"M", "F", "O"} else ""
    if study.patient_id:
        dataset.IssuerOfPatientID = _text(study.issuer_namespace, 64)
        qualifier = Dataset()
        qualifier.UniversalEntityID = study.issuer_oid
        qualifier.UniversalEntityIDType = "ISO"
        dataset.IssuerOfPatientIDQualifiersSequence = DicomSequence([qualifier])


def _study(dataset: Dataset, study: ManifestStudy) -> None:
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.StudyDate = _da(study.study_date)
    dataset.StudyTime = study.study_time if _TM.fullmatch(study.study_time) else ""
    dataset.ReferringPhysicianName = _person(study.referring_physician_name)
    dataset.StudyID = _text(study.study_id, 16)
    dataset.AccessionNumber = _text(study.accession_number, 16)
    if study.study_description:
        dataset.StudyDescription = _text(study.study_description, 64)


def _content_time(dataset: Dataset, content_at: datetime) -> None:
    dataset.ContentDate = content_at.strftime("%Y%m%d")
    dataset.ContentTime = content_at.strftime("%H%M%S")
    dataset.InstanceCreationDate = dataset.ContentDate
    dataset.InstanceCreationTime = dataset.ContentTime
    dataset.TimezoneOffsetFromUTC = content_at.strftime("%z")


def _references(dataset: Dataset, study: ManifestStudy, source: ManifestSource) -> None:
    """Key Object Document Module (PS3.3 C.17.6.2) with the retrieval attributes of C.17.2.1."""
    evidence = Dataset()
    evidence.ReferencedSeriesSequence = DicomSequence(
        [_referenced_series(study.study_instance_uid, series, source) for series in study.series]
    )
    evidence.StudyInstanceUID = study.study_instance_uid
    dataset.CurrentRequestedProcedureEvidenceSequence = DicomSequence([evidence])
    if study.accession_number:
        dataset.ReferencedRequestSequence = DicomSequence([_request(study)])


def _referenced_series(study_uid: str, series: ManifestSeries, source: ManifestSource) -> Dataset:
    item = Dataset()
    item.RetrieveAETitle = source.retrieve_ae_title
    if source.dicomweb_url:
        item.RetrieveURL = (
            f"{source.dicomweb_url}/studies/{study_uid}/series/{series.series_instance_uid}"
        )
    item.ReferencedSOPSequence = DicomSequence([_sop_reference(one) for one in series.instances])
    item.SeriesInstanceUID = series.series_instance_uid
    item.RetrieveLocationUID = source.repository_unique_id
    return item


def _sop_reference(instance: ManifestInstance) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.sop_class_uid
    item.ReferencedSOPInstanceUID = instance.sop_instance_uid
    return item


def _request(study: ManifestStudy) -> Dataset:
    item = Dataset()
    item.AccessionNumber = _text(study.accession_number, 16)
    issuer = Dataset()
    issuer.UniversalEntityID = study.issuer_oid
    issuer.UniversalEntityIDType = "ISO"
    item.IssuerOfAccessionNumberSequence = DicomSequence([issuer])
    item.ReferencedStudySequence = DicomSequence([])
    item.StudyInstanceUID = study.study_instance_uid
    item.RequestedProcedureDescription = ""
    item.RequestedProcedureCodeSequence = DicomSequence([])
    item.RequestedProcedureID = ""
    item.PlacerOrderNumberImagingServiceRequest = ""
    item.FillerOrderNumberImagingServiceRequest = ""
    return item


def _content(dataset: Dataset, study: ManifestStudy) -> None:
    """TID 2010: the title, and one item for each instance."""
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = DicomSequence([_code("113030", "Manifest")])
    dataset.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource = "DCMR"
    template.TemplateIdentifier = "2010"
    dataset.ContentTemplateSequence = DicomSequence([template])
    dataset.ContentSequence = DicomSequence(_items(study.series))


def _items(series: Sequence[ManifestSeries]) -> Iterator[Dataset]:
    for one in series:
        for instance in one.instances:
            item = Dataset()
            item.ReferencedSOPSequence = DicomSequence([_sop_reference(instance)])
            item.RelationshipType = "CONTAINS"
            item.ValueType = value_type_of(instance.sop_class_uid)
            yield item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item


def _da(day: date | None) -> str:
    return day.isoformat().replace("-", "") if day else ""


def _text(value: str, longest: int) -> str:
    """Return `value` as a valid SH or LO: devices send longer ones and control characters."""
    return "".join(letter for letter in value if letter.isprintable() and letter != "\\")[:longest]


def _person(name: str) -> str:
    """Return `name` as a valid PN: three groups of five parts, 64 characters each (PS3.5 6.2.1)."""
    groups = (_text(group, 64).split("^")[:5] for group in name.split("=")[:3])
    return "=".join("^".join(parts) for parts in groups)


def _file(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "EIRHUB"
    dataset.file_meta = meta
    target = io.BytesIO()
    dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()
