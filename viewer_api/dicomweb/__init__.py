"""DICOMweb: QIDO-RS, WADO-RS and WADO-URI (DICOM PS3.18 9, 10.4 and 10.6)."""

from flask import Blueprint

from viewer_api.dicomweb import (
    bulkdata,
    frames,
    metadata,
    rendered,
    retrieve,
    search,
    wado_uri,
)


def reading_blueprints() -> list[Blueprint]:
    """Return the blueprints that answer under `/dicom-web` and `/wado` and change nothing."""
    return [
        search.blueprint,
        retrieve.blueprint,
        metadata.blueprint,
        frames.blueprint,
        bulkdata.blueprint,
        rendered.blueprint,
        wado_uri.blueprint,
    ]
