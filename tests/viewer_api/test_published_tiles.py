"""Slides of the published tiles (wsidicom-data): served as they are, drawn, read by wsidicom."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from wsidicom import WsiDicom, WsiDicomWebClient

from access_control.model import Role
from hub_kernel.settings import WebSettings
from hub_runtime.http_server import HttpServer
from hub_runtime.hub import Hub
from tests.eir_versions.test_transfer_syntaxes import LOSSY, TILES, tile
from tests.viewer_api.region import new_hub, settle, store, web_app
from tests.viewer_api.test_slides import level

ROOT = "2.25.905610"
EDGE = 240
JPEG = "1.2.840.10008.1.2.4.50"
# Published codestream, transfer syntax, photometric interpretation.
SLIDES = (
    ("JPEG_Baseline_(Process_1)-YBR-8.jpg", JPEG, "YBR_FULL_422"),
    ("JPEG_Baseline_(Process_1)-RGB-8.jpg", JPEG, "RGB"),
    ("JPEG_Lossless,_Non-Hierarchical_(Process_14)-RGB-8.jpg", "1.2.840.10008.1.2.4.57", "RGB"),
    ("JPEG-LS_Lossless_Image_Compression-RGB-8.jls", "1.2.840.10008.1.2.4.80", "RGB"),
    ("JPEG_2000_Image_Compression_(Lossless_Only)-RGB-8.jp2", "1.2.840.10008.1.2.4.90", "RGB"),
    ("JPEG_2000_Image_Compression_(Lossless_Only)-YBR-8.jp2", "1.2.840.10008.1.2.4.90", "YBR_RCT"),
    ("JPEG_2000_Image_Compression-YBR-8.jp2", "1.2.840.10008.1.2.4.91", "YBR_ICT"),
    ("RLE_Lossless-RGB-8.rle", "1.2.840.10008.1.2.5", "RGB"),
)
NUMBERS = range(len(SLIDES))
READ_BY_WSIDICOM = (0, 3, 4, 5)


def codestream(number: int) -> bytes:
    data = (TILES / SLIDES[number][0]).read_bytes()
    return data + b"\0" * (len(data) % 2)


def slide(number: int) -> Dataset:
    """Two by two tiles in one instance: a study of its own."""
    _, syntax, photometric = SLIDES[number]
    dataset = level(1, (2 * EDGE, 2 * EDGE))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}{number}", f"{ROOT}{number}.1"
    dataset.SOPInstanceUID = f"{ROOT}{number}.1.1"
    dataset.PatientID, dataset.PatientName = "TILES1", "Tiles^Published"
    dataset.AccessionNumber, dataset.FrameOfReferenceUID = f"PT-{number}", f"{ROOT}{number}.2"
    dataset.Rows = dataset.Columns = EDGE
    dataset.NumberOfFrames, dataset.PhotometricInterpretation = 4, photometric
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.ImagedVolumeWidth = dataset.ImagedVolumeHeight = 2 * EDGE * 0.0005
    dataset.ImagedVolumeDepth = 0.001
    del dataset.OpticalPathSequence
    dataset.PixelData = encapsulate([codestream(number)] * 4)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    opened = new_hub(tmp_path_factory.mktemp("tiles"))
    for number in NUMBERS:
        store(opened, "sijing", slide(number))
    settle(opened, studies=0)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def address(hub: Hub) -> Iterator[str]:
    server = HttpServer(web_app(hub), WebSettings(port=0))
    yield f"{server.start()}/dicom-web"
    server.stop()


@pytest.fixture(scope="module")
def session(hub: Hub) -> Iterator[requests.Session]:
    expires = datetime.now(UTC) + timedelta(days=1)
    token = hub.access.tokens.create("tiles", frozenset({Role.RADIOLOGIST}), None, expires)
    with requests.Session() as opened:
        opened.headers["Authorization"] = f"Bearer {token}"
        yield opened


@pytest.mark.parametrize("number", NUMBERS, ids=[name for name, *_ in SLIDES])
def test_a_published_tile_is_served_as_it_is_and_drawn(
    address: str, session: requests.Session, number: int
) -> None:
    name = SLIDES[number][0]
    url = f"{address}/studies/{ROOT}{number}/series/{ROOT}{number}.1/instances/{ROOT}{number}.1.1"
    stored = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    kept = session.get(f"{url}/frames/1,4", headers={"Accept": stored})
    assert kept.status_code == 200
    assert kept.content.count(codestream(number)) == 2
    png = session.get(f"{url}/frames/3/rendered", headers={"Accept": "image/png"})
    assert png.status_code == 200
    drawn = np.asarray(Image.open(io.BytesIO(png.content)))
    difference = int(np.abs(drawn.astype(int) - tile(name)).max())
    assert difference <= next((most for word, most in LOSSY.items() if word in name), 0)


@pytest.mark.filterwarnings("ignore")  # of wsidicom itself, about what it does not need
@pytest.mark.parametrize("number", READ_BY_WSIDICOM)
def test_wsidicom_reads_the_slide_over_dicomweb_and_sees_the_same(
    address: str, session: requests.Session, number: int
) -> None:
    client = WsiDicomWebClient(DICOMwebClient(address, session=session))
    with WsiDicom.open_web(
        client, f"{ROOT}{number}", f"{ROOT}{number}.1", requested_transfer_syntax=SLIDES[number][1]
    ) as opened:
        assert (opened.size.width, opened.size.height) == (2 * EDGE, 2 * EDGE)
        data = opened.read_encoded_tile(0, (1, 1))
        seen = np.asarray(opened.read_tile(0, (1, 0)).convert("RGB"))
    assert data == codestream(number)
    difference = int(np.abs(seen.astype(int) - tile(SLIDES[number][0])).max())
    assert difference <= (16 if number == 0 else 0)
