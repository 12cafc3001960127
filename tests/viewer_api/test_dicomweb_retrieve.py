"""WADO-RS: instances, metadata, frames, bulk data, pictures (PS3.18 10.4), on real files."""

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import generate_frames

from access_control.model import Role
from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import Region

ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OHIF = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"


def dataset_bytes(data: bytes) -> bytes:
    """The dataset of a Part 10 file, without preamble and file meta."""
    meta = dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta
    return data[144 + meta.FileMetaInformationGroupLength :]


@pytest.mark.parametrize("name", ["ct", "mr_multiframe", "us_colour"])
def test_an_instance_leaves_bit_for_bit_as_it_came(
    region: Region, radiologist: FlaskClient, name: str
) -> None:
    shown = getattr(region, name)
    (part,) = parts_of(radiologist.get(shown.url, headers={"Accept": ANY_SYNTAX}))
    assert dataset_bytes(part.body) == dataset_bytes(shown.data)
    assert part.transfer_syntax == shown.dataset.file_meta.TransferSyntaxUID
    assert part.headers["content-location"] == f"http://localhost{shown.url}"


def test_who_sent_an_instance_and_when_does_not_leave_with_it(
    region: Region, radiologist: FlaskClient
) -> None:
    (part,) = parts_of(radiologist.get(region.ct.url, headers={"Accept": ANY_SYNTAX}))
    meta = dcmread(io.BytesIO(part.body)).file_meta
    assert {element.tag.element for element in meta} == {0, 1, 2, 3, 0x10, 0x12, 0x13}
    assert part.body[:128] == bytes(128)
    assert b"SIJING" not in part.body[:1024]
    with region.hub.archive.open_instance(region.ct.instance) as kept:
        assert b"SIJING" in kept.read(2048)


def test_a_single_part_is_sent_to_who_asks_for_one(
    region: Region, radiologist: FlaskClient
) -> None:
    answer = radiologist.get(
        region.ct.url, headers={"Accept": "application/dicom; transfer-syntax=*"}
    )
    assert answer.content_type == f"application/dicom; transfer-syntax={EXPLICIT}"
    assert dcmread(io.BytesIO(answer.data)).PatientID == "S001"


@pytest.mark.parametrize("level", ["study_url", "series_url", "url"])
def test_the_default_transfer_syntax_is_explicit_little_endian_with_equal_pixels(
    region: Region, radiologist: FlaskClient, level: str
) -> None:
    shown = region.mr_multiframe
    accept = 'multipart/related; type="application/dicom"'
    (part,) = parts_of(radiologist.get(getattr(shown, level), headers={"Accept": accept}))
    received = dcmread(io.BytesIO(part.body))
    assert part.transfer_syntax == received.file_meta.TransferSyntaxUID == EXPLICIT
    assert np.array_equal(received.pixel_array, shown.dataset.pixel_array)
    assert str(received.PatientName) == "Wang^XiaoDong=王^小东"


def test_several_instances_need_parts(region: Region, radiologist: FlaskClient) -> None:
    answer = radiologist.get(region.ct.study_url, headers={"Accept": "application/dicom"})
    assert answer.status_code == 406


@pytest.mark.parametrize("level", ["study_url", "series_url", "url"])
@pytest.mark.parametrize("name", ["ct", "mr_multiframe", "us_colour"])
def test_metadata_names_the_instance_and_where_its_pixels_are(
    region: Region, radiologist: FlaskClient, level: str, name: str
) -> None:
    shown = getattr(region, name)
    answer = radiologist.get(f"{getattr(shown, level)}/metadata")
    assert answer.content_type == "application/dicom+json; charset=utf-8"
    (found,) = json.loads(answer.data)
    assert found["00080018"]["Value"] == [shown.instance]
    assert found["00280010"] == {"vr": "US", "Value": [shown.dataset.Rows]}
    assert found["00083002"]["Value"] == [shown.dataset.file_meta.TransferSyntaxUID]
    assert found["7FE00010"]["BulkDataURI"] == f"http://localhost{shown.url}/bulkdata/7FE00010"
    assert "00020010" not in found


def test_plain_json_is_sent_to_who_takes_only_that(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.ct.url}/metadata"
    plain = radiologist.get(url, headers={"Accept": "application/json"})
    assert plain.content_type == "application/json; charset=utf-8"
    assert radiologist.get(url, headers={"Accept": "text/html"}).status_code == 406


def test_native_frames_are_the_bytes_of_the_pixel_data(
    region: Region, radiologist: FlaskClient
) -> None:
    (part,) = parts_of(radiologist.get(f"{region.ct.url}/frames/1", headers={"Accept": OHIF}))
    assert part.media_type == "application/octet-stream"
    assert part.transfer_syntax == EXPLICIT
    assert part.body == region.ct.dataset.PixelData


def test_compressed_frames_are_the_stored_codestreams_in_the_order_asked(
    region: Region, radiologist: FlaskClient
) -> None:
    shown = region.mr_multiframe
    stored = list(generate_frames(shown.dataset.PixelData, number_of_frames=10))
    parts = parts_of(radiologist.get(f"{shown.url}/frames/3,1,10", headers={"Accept": OHIF}))
    assert [part.body.rstrip(b"\0") for part in parts] == [
        stored[index].rstrip(b"\0") for index in (2, 0, 9)
    ]
    assert {part.media_type for part in parts} == {"image/jp2"}
    assert {part.transfer_syntax for part in parts} == {JPEG_2000_LOSSLESS}


def test_a_compressed_frame_is_decoded_for_who_asks_for_plain_bytes(
    region: Region, radiologist: FlaskClient
) -> None:
    shown = region.mr_multiframe
    accept = 'multipart/related; type="application/octet-stream"'
    first, last = parts_of(radiologist.get(f"{shown.url}/frames/1,10", headers={"Accept": accept}))
    expected = shown.dataset.pixel_array.astype("<u2")
    assert first.body == expected[0].tobytes()
    assert last.body == expected[9].tobytes()
    assert first.transfer_syntax == EXPLICIT


def test_one_frame_alone_needs_no_parts(region: Region, radiologist: FlaskClient) -> None:
    url = f"{region.mr_multiframe.url}/frames/1"
    answer = radiologist.get(url, headers={"Accept": "image/jp2"})
    assert answer.content_type == f"image/jp2; transfer-syntax={JPEG_2000_LOSSLESS}"
    listed = radiologist.get(f"{url},2", headers={"Accept": "image/jp2"})
    assert listed.status_code == 406


@pytest.mark.parametrize("frames", ["0", "11", "1,11", "-1", "a", "1,,2", "1" * 30, "%00", "1%2f2"])
def test_frames_that_are_not_there_answer_404(
    region: Region, radiologist: FlaskClient, frames: str
) -> None:
    answer = radiologist.get(f"{region.mr_multiframe.url}/frames/{frames}")
    assert answer.status_code == 404


def test_native_pixel_data_is_bulk_data_with_ranges(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.ct.url}/bulkdata/7FE00010"
    plain = {"Accept": "application/octet-stream"}
    whole = radiologist.get(url, headers=plain)
    pixels = region.ct.dataset.PixelData
    assert whole.data == pixels
    assert whole.content_length == len(pixels)
    some = radiologist.get(url, headers={**plain, "Range": "bytes=10-19"})
    assert (some.status_code, some.data) == (206, pixels[10:20])
    assert some.headers["Content-Range"] == f"bytes 10-19/{len(pixels)}"
    last = radiologist.get(url, headers={**plain, "Range": "bytes=-4"})
    assert last.data == pixels[-4:]
    beyond = radiologist.get(url, headers={**plain, "Range": f"bytes={len(pixels)}-"})
    assert beyond.status_code == 416
    ranges = ",".join(f"{start}-{start}" for start in range(0, 2000, 2))
    many = radiologist.get(url, headers={**plain, "Range": f"bytes={ranges}"})
    assert (many.status_code, len(many.data)) == (200, len(pixels))


def test_bulk_data_is_never_shown_inside_our_origin(
    region: Region, radiologist: FlaskClient
) -> None:
    answer = radiologist.get(
        f"{region.ct.url}/bulkdata/7FE00010", headers={"Accept": "application/octet-stream"}
    )
    assert answer.headers["Content-Disposition"] == "attachment"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_encapsulated_bulk_data_comes_frame_by_frame(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.mr_multiframe.url}/bulkdata/7FE00010"
    parts = parts_of(radiologist.get(url, headers={"Accept": 'multipart/related; type="*/*"'}))
    assert len(parts) == 10
    assert {part.media_type for part in parts} == {"image/jp2"}


@pytest.mark.parametrize("path", ["00100010/0/00100020", "00090099", "00020010", "zz", "..%2f1"])
def test_bulk_data_that_is_not_there_answers_404(
    region: Region, radiologist: FlaskClient, path: str
) -> None:
    assert radiologist.get(f"{region.ct.url}/bulkdata/{path}").status_code == 404


@pytest.mark.parametrize(
    ("accept", "media_type", "form"),
    [
        ("image/jpeg", "image/jpeg", "JPEG"),
        ("image/png", "image/png", "PNG"),
        ("*/*", "image/jpeg", "JPEG"),
        ("image/png;q=0.1, image/jpeg", "image/jpeg", "JPEG"),
    ],
)
def test_a_rendered_instance_is_a_picture_in_the_form_asked_for(
    region: Region, radiologist: FlaskClient, accept: str, media_type: str, form: str
) -> None:
    answer = radiologist.get(f"{region.ct.url}/rendered", headers={"Accept": accept})
    assert answer.content_type == media_type
    picture = Image.open(io.BytesIO(answer.data))
    assert (picture.format, picture.size) == (form, (128, 128))


def test_window_viewport_and_quality_change_the_picture(
    region: Region, radiologist: FlaskClient
) -> None:
    png = {"Accept": "image/png"}
    plain = radiologist.get(f"{region.ct.url}/rendered", headers=png)
    narrow = radiologist.get(f"{region.ct.url}/rendered?window=40%2C80%2Clinear", headers=png)
    small = radiologist.get(f"{region.ct.url}/rendered?viewport=64%2C64", headers=png)
    assert plain.data != narrow.data
    assert Image.open(io.BytesIO(small.data)).size == (64, 64)
    jpeg = {"Accept": "image/jpeg"}
    fine = radiologist.get(f"{region.ct.url}/rendered?quality=100", headers=jpeg)
    coarse = radiologist.get(f"{region.ct.url}/rendered?quality=10", headers=jpeg)
    assert len(coarse.data) < len(fine.data)


def test_rendered_frames_follow_their_numbers(region: Region, radiologist: FlaskClient) -> None:
    url = f"{region.mr_multiframe.url}/frames"
    first, tenth = (radiologist.get(f"{url}/{number}/rendered") for number in (1, 10))
    assert first.status_code == tenth.status_code == 200
    assert first.data != tenth.data
    assert radiologist.get(f"{url}/11/rendered").status_code == 404


@pytest.mark.parametrize("query", ["window=1", "viewport=0,0", "quality=1000", "window=nan,1"])
def test_a_rendering_that_makes_no_sense_is_refused(
    region: Region, radiologist: FlaskClient, query: str
) -> None:
    assert radiologist.get(f"{region.ct.url}/rendered?{query}").status_code == 400


@pytest.mark.parametrize("level", ["study_url", "series_url", "url"])
@pytest.mark.parametrize("name", ["ct", "mr_multiframe", "us_colour"])
def test_thumbnails_are_small_real_pictures(
    region: Region, radiologist: FlaskClient, level: str, name: str
) -> None:
    answer = radiologist.get(f"{getattr(getattr(region, name), level)}/thumbnail")
    picture = Image.open(io.BytesIO(answer.data))
    assert max(picture.size) <= 256
    assert np.asarray(picture.convert("L")).std() > 1


def test_a_picture_already_held_is_confirmed_and_not_sent_again(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.ct.study_url}/thumbnail"
    first = radiologist.get(url)
    again = radiologist.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert first.headers["Cache-Control"] == "private, no-cache"


def test_a_technician_sees_pictures_of_the_own_site_and_no_dicom(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    technician = machine(Role.TECHNICIAN, sites=("sijing",))
    assert technician.get(f"{region.ct.study_url}/thumbnail").status_code == 200
    assert technician.get(f"{region.ct.url}/rendered").status_code == 200
    assert technician.get(region.ct.url).status_code == 404
    # The same person elsewhere: another site's study.
    assert technician.get(f"{region.mr_multiframe.study_url}/thumbnail").status_code == 404


def test_an_instance_is_found_only_under_its_own_study_and_series(
    region: Region, radiologist: FlaskClient
) -> None:
    ct, mr = region.ct, region.mr_multiframe
    for crossed in (
        f"{mr.series_url}/instances/{ct.instance}",
        f"{ct.study_url}/series/{mr.series}/instances/{ct.instance}",
        f"{ct.study_url}/series/{mr.series}",
    ):
        assert radiologist.get(crossed).status_code == 404
        assert radiologist.get(f"{crossed}/metadata").status_code == 404
