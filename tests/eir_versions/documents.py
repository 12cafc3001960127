"""DICOM documents of a test study: structured reports, PDF, key object selections."""

from pydicom.dataset import Dataset

from tests.eir_versions.hubs import STUDY

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
_KOS = "1.2.840.10008.5.1.4.1.1.88.59"
_BASIC_SR = "1.2.840.10008.5.1.4.1.1.88.11"
_PDF = "1.2.840.10008.5.1.4.1.1.104.1"


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(kind: str, name: str = "", **attributes: object) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = kind
    if name:
        item.ConceptNameCodeSequence = [code("121071", name)]
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def document(sop_class: str, number: int, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"{STUDY}.9.{number}"
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = f"{STUDY}.9"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID, dataset.PatientName = "P1", "Test^Only"
    dataset.Modality, dataset.SeriesNumber = modality, "9"
    dataset.InstanceNumber = str(number)
    dataset.ContentDate, dataset.ContentTime = "20260301", f"10{number:02d}00"
    return dataset


def report(number: int, text: str, *, verified: bool = True, after: int | None = None) -> Dataset:
    """A Basic Text SR; `after` is the number of the one it corrects."""
    dataset = document(_BASIC_SR, number, "SR")
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [code("18748-4", "影像诊断报告", "LN")]
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "VERIFIED" if verified else "UNVERIFIED"
    observer = content("PNAME", "观察者", PersonName="Li^Doctor")
    observer.RelationshipType = "HAS OBS CONTEXT"
    findings = content("CONTAINER", "影像所见")
    findings.ContentSequence = [content("TEXT", "所见", TextValue=text)]
    dataset.ContentSequence = [observer, findings]
    if after is not None:
        dataset.PredecessorDocumentsSequence = [_referring(f"{STUDY}.9.{after}", _BASIC_SR)]
    return dataset


def pdf_report(number: int, data: bytes = PDF, *, verified: bool = True) -> Dataset:
    """An Encapsulated PDF."""
    dataset = document(_PDF, number, "DOC")
    dataset.DocumentTitle = "检查报告"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.VerificationFlag = "VERIFIED" if verified else "UNVERIFIED"
    dataset.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
    dataset.EncapsulatedDocumentLength = len(data)
    return dataset


def key_object(number: int, title: str, *selected: str) -> Dataset:
    """A Key Object Selection of instances of the test study."""
    dataset = document(_KOS, number, "KO")
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [code(title, "title")]
    dataset.ContentSequence = [
        content("IMAGE", ReferencedSOPSequence=[_instance(uid)]) for uid in selected
    ]
    evidence = [_referring(uid) for uid in selected]
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence
    return dataset


def _referring(uid: str, sop_class: str = "1.2.840.10008.5.1.4.1.1.2") -> Dataset:
    study, series = Dataset(), Dataset()
    study.StudyInstanceUID, series.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    series.ReferencedSOPSequence = [_instance(uid, sop_class)]
    study.ReferencedSeriesSequence = [series]
    return study


def _instance(uid: str, sop_class: str = "1.2.840.10008.5.1.4.1.1.2") -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item
