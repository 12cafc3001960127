"""An independent client, `dicomweb-client`, against the hub over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from access_control.model import Role
from hub_kernel.settings import WebSettings
from hub_runtime.http_server import HttpServer
from tests.viewer_api.region import Region


@pytest.fixture(scope="module")
def address(region: Region) -> Iterator[str]:
    server = HttpServer(region.app, WebSettings(port=0))
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def client(region: Region, address: str) -> Iterator[DICOMwebClient]:
    token = region.hub.access.tokens.create(
        "dicomweb-client", [Role.RADIOLOGIST], None, datetime.now(UTC) + timedelta(days=1)
    )
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        yield DICOMwebClient(f"{address}/dicom-web", session=session)


def test_it_searches_at_every_level(region: Region, client: DICOMwebClient) -> None:
    studies = client.search_for_studies(search_filters={"PatientName": "Wang*"}, fuzzymatching=True)
    assert {study["0020000D"]["Value"][0] for study in studies} == {
        region.ct.study,
        region.mr_multiframe.study,
    }
    series = client.search_for_series(region.ct.study, fields=["Modality"], limit=10)
    assert [found["0020000E"]["Value"] for found in series] == [[region.ct.series]]
    instances = client.search_for_instances(region.ct.study, region.ct.series)
    assert [found["00080018"]["Value"] for found in instances] == [[region.ct.instance]]
    one_by_one = client.search_for_studies(limit=1, get_remaining=True)
    assert len(one_by_one) == len(client.search_for_studies()) >= 3


def test_it_reads_metadata_of_studies_series_and_instances(
    region: Region, client: DICOMwebClient
) -> None:
    shown = region.mr_multiframe
    uids = (shown.study, shown.series, shown.instance)
    for found in (
        client.retrieve_study_metadata(shown.study)[0],
        client.retrieve_series_metadata(*uids[:2])[0],
        client.retrieve_instance_metadata(*uids),
    ):
        assert found["00080018"]["Value"] == [shown.instance]


def test_it_retrieves_instances_series_and_studies(region: Region, client: DICOMwebClient) -> None:
    shown = region.mr_multiframe
    stored = client.retrieve_instance(shown.study, shown.series, shown.instance)
    assert stored.PixelData == shown.dataset.PixelData
    (of_series,) = client.retrieve_series(shown.study, shown.series)
    assert np.array_equal(of_series.pixel_array, shown.dataset.pixel_array)
    (of_study,) = client.iter_study(shown.study)
    assert of_study.SOPInstanceUID == shown.instance


def test_it_retrieves_frames_stored_and_decoded(region: Region, client: DICOMwebClient) -> None:
    shown = region.mr_multiframe
    uids = (shown.study, shown.series, shown.instance)
    for media_types in (None, ("image/jp2",), (("image/jp2", "1.2.840.10008.1.2.4.90"),)):
        frames = client.retrieve_instance_frames(*uids, [1, 2], media_types=media_types)
        assert all(frame.startswith(b"\xff\x4f") for frame in frames)
    plain = client.retrieve_instance_frames(*uids, [2], media_types=("application/octet-stream",))
    assert plain == [shown.dataset.pixel_array[1].astype("<u2").tobytes()]
    ct = region.ct
    (native,) = client.retrieve_instance_frames(ct.study, ct.series, ct.instance, [1])
    assert native == ct.dataset.PixelData


def test_it_retrieves_bulk_data_by_the_address_in_the_metadata(
    region: Region, client: DICOMwebClient
) -> None:
    ct = region.ct
    metadata = client.retrieve_instance_metadata(ct.study, ct.series, ct.instance)
    (pixels,) = client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"])
    assert pixels == ct.dataset.PixelData
    (some,) = client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"], byte_range=(4, 7))
    assert some == ct.dataset.PixelData[4:8]


def test_it_retrieves_pictures(region: Region, client: DICOMwebClient) -> None:
    shown = region.mr_multiframe
    uids = (shown.study, shown.series, shown.instance)
    jpeg = client.retrieve_instance_rendered(*uids, media_types=("image/jpeg",))
    assert jpeg.startswith(b"\xff\xd8")
    png = client.retrieve_instance_frames_rendered(
        *uids, [3], media_types=("image/png",), params={"viewport": "32,32"}
    )
    assert png.startswith(b"\x89PNG")


def test_who_has_no_token_is_asked_for_one(address: str) -> None:
    answer = requests.get(f"{address}/dicom-web/studies", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path",
    ["/dicom-web/studies/..%2f..%2fetc%2fpasswd", "/..%2f..%2fetc/passwd", "/%00", "/a/%2e%2e/b"],
)
def test_addresses_that_smuggle_end_at_the_door(address: str, path: str) -> None:
    connection = requests.Session()
    request = requests.Request("GET", address).prepare()
    request.url = address + path
    answer = connection.send(request, timeout=10)
    connection.close()
    assert answer.status_code in {400, 404}
    assert "Traceback" not in answer.text
