"""WADO-URI (PS3.18 9, RAD-55) and the retrieval of a manifest's images by token (RAD-107)."""

import io
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from pydicom import dcmread
from sqlalchemy import select
from werkzeug.test import TestResponse

from access_control.audit import AuditQuery
from access_control.model import Role
from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import Region, Shown
from xds_registry.tables import RepositoryDocumentRow

EXPLICIT = "1.2.840.10008.1.2.1"
DICOM = "application/dicom"


def ask(client: FlaskClient, shown: Shown, **parameters: object) -> TestResponse:
    query = {
        "requestType": "WADO",
        "studyUID": shown.study,
        "seriesUID": shown.series,
        "objectUID": shown.instance,
        **parameters,
    }
    return client.get("/wado", query_string={k: v for k, v in query.items() if v is not None})


@pytest.mark.parametrize("name", ["ct", "mr_multiframe", "us_colour"])
def test_an_object_comes_as_dicom_in_the_default_transfer_syntax(
    region: Region, radiologist: FlaskClient, name: str
) -> None:
    shown = getattr(region, name)
    answer = ask(radiologist, shown, contentType=DICOM)
    assert answer.content_type == f"{DICOM}; transfer-syntax={EXPLICIT}"
    assert answer.content_length == len(answer.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        received = dcmread(io.BytesIO(answer.data))
        assert received.file_meta.TransferSyntaxUID == EXPLICIT
        assert (received.StudyInstanceUID, received.PatientID) == (
            shown.study,
            shown.dataset.PatientID,
        )
        assert np.array_equal(received.pixel_array, shown.dataset.pixel_array)


def test_the_stored_transfer_syntax_is_sent_where_it_is_asked_for(
    region: Region, radiologist: FlaskClient
) -> None:
    shown = region.mr_multiframe
    stored = str(shown.dataset.file_meta.TransferSyntaxUID)
    for wanted in (stored, "*"):
        answer = ask(radiologist, shown, contentType=DICOM, transferSyntax=wanted)
        assert answer.content_type == f"{DICOM}; transfer-syntax={stored}"
        assert dcmread(io.BytesIO(answer.data)).PixelData == shown.dataset.PixelData


def test_the_accept_header_says_what_content_type_does_not(
    region: Region, radiologist: FlaskClient
) -> None:
    query = {
        "requestType": "WADO",
        "studyUID": region.ct.study,
        "seriesUID": region.ct.series,
        "objectUID": region.ct.instance,
    }
    answer = radiologist.get("/wado", query_string=query, headers={"Accept": DICOM})
    assert answer.mimetype == DICOM
    query["contentType"] = "image/png"
    answer = radiologist.get("/wado", query_string=query, headers={"Accept": DICOM})
    assert answer.mimetype == "image/png"


@pytest.mark.parametrize(
    ("wanted", "media_type"),
    [
        (None, "image/jpeg"),
        ("image/jpeg", "image/jpeg"),
        ("application/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/jp2, image/png;q=0.5", "image/png"),
        ("image/png;q=0.1, image/jpeg", "image/jpeg"),
    ],
)
def test_an_object_comes_as_the_picture_asked_for(
    region: Region, radiologist: FlaskClient, wanted: str | None, media_type: str
) -> None:
    answer = ask(radiologist, region.ct, contentType=wanted)
    assert answer.mimetype == media_type
    picture = Image.open(io.BytesIO(answer.data))
    assert picture.size == (region.ct.dataset.Columns, region.ct.dataset.Rows)


def test_rows_and_columns_bound_the_picture(region: Region, radiologist: FlaskClient) -> None:
    for parameters in ({"rows": 32, "columns": 64}, {"rows": 32}, {"columns": 32}):
        answer = ask(radiologist, region.ct, contentType="image/png", **parameters)
        assert Image.open(io.BytesIO(answer.data)).size == (32, 32)


def test_a_region_is_named_by_fractions_and_the_words_are_burned_in(
    region: Region, radiologist: FlaskClient
) -> None:
    def shown(**parameters: object) -> np.ndarray:
        answer = ask(radiologist, region.ct, contentType="image/png", **parameters)
        return np.asarray(Image.open(io.BytesIO(answer.data)))

    whole = shown()
    assert np.array_equal(shown(region="0.25,0.5,0.5,1"), whole[64:, 32:64])
    assert shown(region="0.25,0.5,0.5,1", rows=32).shape == (32, 16)
    assert not np.array_equal(shown(annotation="patient,technique")[:64], whole[:64])


def test_the_window_and_the_frame_change_the_picture(
    region: Region, radiologist: FlaskClient
) -> None:
    shown = region.mr_multiframe
    pictures = {
        ask(radiologist, shown, contentType="image/png", **parameters).data
        for parameters in (
            {},
            {"frameNumber": 5},
            {"windowCenter": 40, "windowWidth": 20},
            {"windowCenter": 300, "windowWidth": 20},
        )
    }
    assert len(pictures) == 4
    assert all(data.startswith(b"\x89PNG") for data in pictures)


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        pytest.param({"objectUID": "1.2.9"}, 404, id="unknown object"),
        pytest.param({"seriesUID": "1.2.9"}, 404, id="wrong series"),
        pytest.param({"studyUID": "1.2.9"}, 404, id="wrong study"),
        pytest.param({"studyUID": ""}, 404, id="empty study UID"),
        pytest.param({"seriesUID": ""}, 404, id="empty series UID"),
        pytest.param({"studyUID": "", "seriesUID": ""}, 404, id="both empty"),
        pytest.param({"objectUID": None}, 400, id="no object UID"),
        pytest.param({"objectUID": "../../x"}, 400, id="no UID at all"),
        pytest.param({"requestType": "STOW"}, 400, id="another request type"),
        pytest.param({"requestType": None}, 400, id="no request type"),
        pytest.param({"contentType": "video/mpeg"}, 406, id="unoffered type"),
        pytest.param({"contentType": DICOM, "transferSyntax": "1.2.9"}, 406, id="unknown syntax"),
        pytest.param({"contentType": "image/png", "transferSyntax": EXPLICIT}, 400, id="no DICOM"),
        pytest.param({"contentType": DICOM, "anonymize": "yes"}, 400, id="anonymize"),
        pytest.param({"region": "0,0,1,2"}, 400, id="region beyond the image"),
        pytest.param({"region": "0.5,0,0.5,1"}, 400, id="region without width"),
        pytest.param({"region": "0,0,1"}, 400, id="half a region"),
        pytest.param({"annotation": "diagnosis"}, 400, id="unknown annotation"),
        pytest.param({"windowCenter": "40"}, 400, id="half a window"),
        pytest.param({"windowCenter": "40", "windowWidth": "0"}, 400, id="no width"),
        pytest.param({"windowCenter": "NaN", "windowWidth": "1"}, 400, id="not a number"),
        pytest.param({"rows": "0"}, 400, id="no rows"),
        pytest.param({"columns": "99999999999999"}, 400, id="columns out of bounds"),
        pytest.param({"frameNumber": "0"}, 400, id="no frame"),
        pytest.param({"frameNumber": "2"}, 404, id="a frame too many"),
        pytest.param({"imageQuality": "101"}, 400, id="quality out of bounds"),
    ],
)
def test_what_cannot_be_answered_has_the_status_that_says_so(
    region: Region, radiologist: FlaskClient, parameters: dict[str, object], status: int
) -> None:
    assert ask(radiologist, region.ct, **parameters).status_code == status


def test_who_may_not_see_the_study_is_told_that_it_does_not_exist(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    stranger = machine(Role.RADIOLOGIST, sites=("central",))
    for wanted in (DICOM, "image/png", "video/mpeg"):
        assert ask(stranger, region.ct, contentType=wanted).status_code == 404
    assert ask(region.client(), region.ct).status_code == 401


def test_a_technician_sees_the_picture_and_not_the_object(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    technician = machine(Role.TECHNICIAN, sites=("sijing",))
    assert ask(technician, region.ct).mimetype == "image/jpeg"
    assert ask(technician, region.ct, contentType=DICOM).status_code == 404


def test_the_access_is_on_record(region: Region, machine: Callable[..., FlaskClient]) -> None:
    reader = machine(Role.CLINICIAN, sites=("jiuting",))
    assert ask(reader, region.mr_multiframe, contentType=DICOM).status_code == 200
    page = region.hub.access.audit.search(
        AuditQuery(resource_ids=frozenset({region.mr_multiframe.study}), limit=50)
    )
    assert ("success", "view_diagnostic") in {(r.outcome, r.action) for r in page.records}


def test_a_machine_follows_a_manifest_to_its_images(
    region: Region, radiologist: FlaskClient
) -> None:
    """RAD-107: the document consumer has the manifest, a token, and nothing else."""
    entry = region.hub.registry.manifest_of(region.ct.study)
    assert entry is not None
    with region.hub.database.read() as session:
        key = session.scalar(
            select(RepositoryDocumentRow.storage_key).where(
                RepositoryDocumentRow.unique_id == entry.unique_id
            )
        )
    assert key is not None
    with region.hub.base.backend.open(key) as stream:
        manifest = dcmread(io.BytesIO(stream.read()))
    (study,) = manifest.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    listed = [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence]
    address = urlsplit(series.RetrieveURL).path
    accept = 'multipart/related; type="application/dicom"'
    answer = radiologist.get(address, headers={"Accept": accept})
    received = [dcmread(io.BytesIO(part.body)).SOPInstanceUID for part in parts_of(answer)]
    assert received == listed == [region.ct.instance]
    assert region.client().get(address, headers={"Accept": accept}).status_code == 401
