"""Rejection notes as a modality or a PACS sends them (IHE RAD IOCM)."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from tests.xds_registry import studies
from tests.xds_registry.samples import LOCAL, SOURCE, manifest_study
from xds_registry.manifest import ManifestInstance, ManifestSeries, build_manifest

AT = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)


def changed(data: bytes, change: Callable[[Dataset], None]) -> bytes:
    dataset = dcmread(io.BytesIO(data))
    change(dataset)
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def rejection(study: str, title: str, *uids: str, number: int = 1) -> bytes:
    """A rejection note (IOCM) of instances of the first series of `study`."""
    series = ManifestSeries(
        f"{study}.1", tuple(ManifestInstance(studies.CT_IMAGE, uid) for uid in uids)
    )
    made = manifest_study(
        study_instance_uid=study, patient_id=LOCAL.value, accession_number="", series=(series,)
    )

    def name(dataset: Dataset) -> None:
        dataset.SOPInstanceUID = f"{study}.9.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.9.{number}"
        dataset.SeriesInstanceUID = f"{study}.9"
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = title, "DCM", "Rejected"
        dataset.ConceptNameCodeSequence = DicomSequence([code])

    return changed(build_manifest(made, 1, SOURCE, AT).data, name)
