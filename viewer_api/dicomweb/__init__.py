"""DICOMweb: QIDO-RS, WADO-RS, STOW-RS and WADO-URI (DICOM PS3.18 9, 10.4, 10.5 and 10.6)."""

from flask import Blueprint

from viewer_api.dicomweb import (
    bulkdata,
    frames,
    metadata,
    rendered,
    retrieve,
    search,
    storing,
    wado_uri,
)

STORE_PATH = "/dicom-web/studies"
"""Where STOW-RS is: bodies of requests to it may be large."""


def blueprints() -> list[Blueprint]:
    """Return the blueprints that answer under `/dicom-web` and `/wado`."""
    return [*reading_blueprints(), storing.blueprint]


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
