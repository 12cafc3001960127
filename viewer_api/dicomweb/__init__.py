"""DICOMweb: QIDO-RS and WADO-RS (DICOM PS3.18 10.4 and 10.6)."""

from flask import Blueprint

from viewer_api.dicomweb import bulkdata, frames, metadata, rendered, retrieve, search


def blueprints() -> list[Blueprint]:
    """Return the blueprints that answer under `/dicom-web`."""
    return [
        search.blueprint,
        retrieve.blueprint,
        metadata.blueprint,
        frames.blueprint,
        bulkdata.blueprint,
        rendered.blueprint,
    ]
