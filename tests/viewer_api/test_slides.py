"""Whole-slide pathology: the pyramid of a series, tiles exactly as stored, labels never public."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from flask.testing import FlaskClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from access_control.model import Role
from eir_versions.slide_labels import shows_label
from tests.viewer_api.region import new_hub, settle, store, web_app

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
ROOT = "1.2.826.0.1.3680043.10.1717.71"
URL = f"/dicom-web/studies/{ROOT}/series/{ROOT}.1"
TILE = 32
PROFILE = b"not a real profile, and kept all the same"


def tile(number: int) -> bytes:
    pixels = np.full((TILE, TILE, 3), (number * 11) % 256, np.uint8)
    data: bytes = simplejpeg.encode_jpeg(pixels, 90, "RGB", "420")
    return data + b"\0" * (len(data) % 2)


def level(
    number: int, size: tuple[int, int], flavor: str = "VOLUME", *, sparse: bool = False
) -> Dataset:
    """One instance of the pyramid, (width, height) in pixels."""
    columns, rows = (-(-edge // TILE) for edge in size)
    places = [(column, row) for row in range(rows) for column in range(columns)]
    dataset = Dataset()
    said: dict[str, Any] = {
        "SOPClassUID": WHOLE_SLIDE, "SOPInstanceUID": f"{ROOT}.1.{number}",
        "StudyInstanceUID": ROOT, "SeriesInstanceUID": f"{ROOT}.1",
        "StudyDate": "20260102", "PatientID": "SLIDE1", "PatientName": "Slide^One",
        "PatientBirthDate": "19600101", "PatientSex": "F", "AccessionNumber": "SL-1",
        "Modality": "SM", "InstanceNumber": number, "ImageType": ["DERIVED", "PRIMARY", flavor],
        "BurnedInAnnotation": "NO", "SpecimenLabelInImage": "NO",
        "TotalPixelMatrixColumns": size[0], "TotalPixelMatrixRows": size[1],
        "Rows": TILE, "Columns": TILE, "SamplesPerPixel": 3, "BitsAllocated": 8,
        "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "PlanarConfiguration": 0,
        "PhotometricInterpretation": "YBR_FULL_422",
        "DimensionOrganizationType": "TILED_SPARSE" if sparse else "TILED_FULL",
    }  # fmt: skip
    if sparse:
        places = places[::-1]
        said["PerFrameFunctionalGroupsSequence"] = [_group(*place) for place in places]
    path, shared, measures = Dataset(), Dataset(), Dataset()
    path.ICCProfile = PROFILE + b"\0"
    measures.PixelSpacing = [0.0005 * number, 0.0005 * number]
    shared.PixelMeasuresSequence = [measures]
    said |= {
        "NumberOfFrames": len(places),
        "OpticalPathSequence": [path],
        "SharedFunctionalGroupsSequence": [shared],
        "PixelData": encapsulate([tile(n) for n in range(len(places))]),
    }
    for keyword, value in said.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.file_meta.MediaStorageSOPClassUID = WHOLE_SLIDE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _group(column: int, row: int) -> Dataset:
    group, position = Dataset(), Dataset()
    position.ColumnPositionInTotalImagePixelMatrix = column * TILE + 1
    position.RowPositionInTotalImagePixelMatrix = row * TILE + 1
    group.PlanePositionSlideSequence = [position]
    return group


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, FlaskClient]]:
    folder: Path = tmp_path_factory.mktemp("slide")
    hub = new_hub(folder)
    store(hub, "sijing", level(2, (70, 50), sparse=True))
    store(hub, "sijing", level(1, (140, 100)))
    store(hub, "sijing", level(3, (TILE, TILE), "LABEL"))
    store(hub, "sijing", level(4, (TILE, TILE), "OVERVIEW"))
    alone = level(5, (TILE, TILE), "LABEL")
    alone.SeriesInstanceUID = f"{ROOT}.2"
    store(hub, "sijing", alone)
    settle(hub, studies=1)
    expires = datetime.now(UTC) + timedelta(days=1)
    token = hub.access.tokens.create("slides", frozenset({Role.RADIOLOGIST}), None, expires)
    client = web_app(hub).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {getattr(token, 'plain', token)}"
    yield hub, client
    hub.close()


def test_the_pyramid_names_its_levels_from_large_to_small(slide: tuple[Any, FlaskClient]) -> None:
    _, client = slide
    answer = client.get(f"/api/v1/studies/{ROOT}/series/{ROOT}.1/pyramid")
    levels = answer.get_json()["levels"]
    assert [(one["role"], one["width"], one["height"]) for one in levels] == [
        ("volume", 140, 100),
        ("volume", 70, 50),
        ("label", TILE, TILE),
        ("overview", TILE, TILE),
    ]
    large, small = levels[:2]
    assert (large["tiles"], large["order"], large["places"]) == ([5, 4], "rows", [])
    assert (small["tiles"], small["order"]) == ([3, 2], "listed")
    assert small["places"] == [[2, 1], [1, 1], [0, 1], [2, 0], [1, 0], [0, 0]]
    assert large["mm_per_pixel"] == 0.0005
    assert large["media_type"] == "image/jpeg"
    assert large["has_icc_profile"]
    assert client.get(f"/api/v1/studies/{ROOT}/series/{ROOT}.9/pyramid").status_code == 404


def test_a_level_whose_tiles_lie_off_the_grid_or_nowhere_is_left_out(
    slide: tuple[Any, FlaskClient],
) -> None:
    hub, client = slide
    whole, shifted, lost = (level(number, (70, 50), sparse=True) for number in (6, 7, 8))
    (position,) = shifted.PerFrameFunctionalGroupsSequence[1].PlanePositionSlideSequence
    position.ColumnPositionInTotalImagePixelMatrix += 5
    del lost.PerFrameFunctionalGroupsSequence[1].PlanePositionSlideSequence
    for one in (whole, shifted, lost):
        one.SeriesInstanceUID = f"{ROOT}.3"
        store(hub, "sijing", one)
    answer = client.get(f"/api/v1/studies/{ROOT}/series/{ROOT}.3/pyramid").get_json()
    assert [one["sop_instance_uid"] for one in answer["levels"]] == [f"{ROOT}.1.6"]


def test_tiles_and_profile_leave_exactly_as_they_are_stored(
    slide: tuple[Any, FlaskClient],
) -> None:
    _, client = slide
    levels = client.get(f"/api/v1/studies/{ROOT}/series/{ROOT}.1/pyramid").get_json()["levels"]
    address = levels[0]["frames_url"].removeprefix("http://localhost")
    for number in (1, 7, 20):
        found = client.get(f"{address}{number}", headers={"Accept": "image/jpeg"})
        assert found.content_type.startswith("image/jpeg")
        assert found.data == tile(number - 1)
    assert client.get(f"{address}21", headers={"Accept": "image/jpeg"}).status_code == 404
    kept = client.get(
        f"{URL}/instances/{ROOT}.1.1/bulkdata/00480105/0/00282000",
        headers={"Accept": "application/octet-stream"},
    )
    if kept.status_code == 200:  # short profiles stand in the metadata itself
        assert kept.data.startswith(PROFILE)
    whole = client.get(
        f"{URL}/instances/{ROOT}.1.1",
        headers={"Accept": "application/dicom; transfer-syntax=*"},
    )
    assert PROFILE in whole.data


def test_label_and_overview_are_never_public(slide: tuple[Any, FlaskClient]) -> None:
    """They say that no text is burned in; that is not believed."""
    hub, _ = slide
    version = hub.eir.version(ROOT, "public")
    shown = {picture.sop_instance_uid for picture in version.pictures}
    assert not shown & {f"{ROOT}.1.3", f"{ROOT}.1.4", f"{ROOT}.1.5"}
    reasons = {one.sop_instance_uid: one.reason for one in hub.eir.sources(version.version_id)}
    assert reasons[f"{ROOT}.1.5"] == "slide_label"
    assert hub.eir.thumbnail(instance=f"{ROOT}.1.5").data  # who may see the study sees it


@pytest.mark.parametrize(
    ("said", "is_label"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "OVERVIEW "]}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "VOLUME"]}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "VOLUME"], "SpecimenLabelInImage": "YES"}, True),
        ({"ImageType": "LABEL"}, True),
        ({}, False),
    ],
)
def test_a_label_is_known_by_what_it_is(said: dict[str, Any], is_label: bool) -> None:  # noqa: FBT001
    dataset = Dataset()
    for keyword, value in said.items():
        setattr(dataset, keyword, value)
    assert shows_label(dataset) is is_label
