"""What a rendered picture gets on its way out: region, words, profile; pictures in parts."""

import io

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageCms

from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import Region, sample, store

PNG = {"Accept": "image/png"}


def shown(client: FlaskClient, url: str, **headers: str) -> Image.Image:
    answer = client.get(url, headers=headers or PNG)
    assert answer.status_code == 200, answer.data
    return Image.open(io.BytesIO(answer.data))


def test_a_region_of_the_source_fills_the_viewport(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.ct.url}/rendered"
    whole = np.asarray(shown(radiologist, url))
    part = np.asarray(shown(radiologist, f"{url}?viewport=32%2C16%2C40%2C50%2C32%2C16"))
    assert np.array_equal(part, whole[50:66, 40:72])
    larger = shown(radiologist, f"{url}?viewport=64,64,40,50,32,16")
    assert larger.size == (64, 32)
    assert shown(radiologist, f"{url}?viewport=100,100,60,,,").size == (53, 100)
    outside = radiologist.get(f"{url}?viewport=10,10,128,0,5,5", headers=PNG)
    assert outside.status_code == 400


def test_a_region_may_lie_between_pixels_and_be_turned_over(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.ct.url}/rendered"
    whole = np.asarray(shown(radiologist, url))
    mirrored = np.asarray(shown(radiologist, f"{url}?viewport=32,16,40,50,-32,16"))
    assert np.array_equal(mirrored, whole[50:66, 40:72][:, ::-1])
    flipped = np.asarray(shown(radiologist, f"{url}?viewport=128,128,,,,-128"))
    assert np.array_equal(flipped, whole[::-1])
    between = np.asarray(shown(radiologist, f"{url}?viewport=32,16,40.5,50,32,16")).astype(int)
    beside = np.stack([whole[50:66, 40:72], whole[50:66, 41:73]]).astype(int)
    assert not np.array_equal(between, beside[0])
    assert np.abs(between - beside.mean(axis=0)).mean() < np.abs(beside[0] - beside[1]).mean()


def test_a_region_is_in_stored_pixels_where_they_are_shown_wider(
    region: Region, radiologist: FlaskClient
) -> None:
    """Rows twice as far apart as columns: what is shown is twice as high as the matrix."""
    study = "2.25.811018"
    where = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1"}
    tall = sample(
        "CT_small.dcm",
        PatientID="TALL1",
        PatientName="Tall^Pixel",
        AccessionNumber="TALL-1",
        SOPInstanceUID=f"{study}.1.1",
        PixelSpacing=[1.4, 0.7],
        **where,
    )
    url = f"{store(region.hub, 'sijing', tall).url}/rendered"
    whole = np.asarray(shown(radiologist, url))
    assert whole.shape == (256, 128)
    part = np.asarray(shown(radiologist, f"{url}?viewport=32,64,40,50,32,32"))
    assert np.array_equal(part, whole[100:164, 40:72])


@pytest.mark.parametrize("asked", ["patient", "technique", "patient,technique"])
def test_annotations_are_burned_in(region: Region, radiologist: FlaskClient, asked: str) -> None:
    url = f"{region.ct.url}/rendered"
    plain = np.asarray(shown(radiologist, url)).astype(int)
    written = np.asarray(shown(radiologist, f"{url}?annotation={asked}")).astype(int)
    changed = np.argwhere(plain != written)
    assert len(changed) > 100
    # The control: nothing but the corner with the words has changed.
    assert np.array_equal(plain[80:], written[80:])


@pytest.mark.parametrize("accept", ["image/jpeg", "image/png"])
def test_the_colour_profile_is_embedded_when_asked_for(
    region: Region, radiologist: FlaskClient, accept: str
) -> None:
    url = f"{region.us_colour.url}/rendered"
    plain = shown(radiologist, f"{url}?iccprofile=no", Accept=accept)
    tagged = shown(radiologist, f"{url}?iccprofile=srgb", Accept=accept)
    assert "icc_profile" not in plain.info
    profile = ImageCms.ImageCmsProfile(io.BytesIO(tagged.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert np.array_equal(np.asarray(plain), np.asarray(tagged))


@pytest.mark.parametrize(
    "query", ["iccprofile=rommrgb", "annotation=diagnosis", "accept=image/gif&iccprofile=yes"]
)
def test_what_is_not_offered_is_refused(
    region: Region, radiologist: FlaskClient, query: str
) -> None:
    assert radiologist.get(f"{region.ct.url}/rendered?{query}").status_code == 400


def test_a_picture_comes_as_gif_without_loss(region: Region, radiologist: FlaskClient) -> None:
    url = f"{region.ct.url}/rendered"
    drawn = shown(radiologist, url, Accept="image/gif")
    assert drawn.format == "GIF"
    assert np.array_equal(np.asarray(drawn.convert("L")), np.asarray(shown(radiologist, url)))


def test_a_refusal_says_what_is_offered_instead(region: Region, radiologist: FlaskClient) -> None:
    def detail(url: str, status: int, **headers: str) -> str:
        answer = radiologist.get(url, headers=headers)
        assert answer.status_code == status
        return str(answer.get_json()["error"]["detail"])

    one = region.ct.url
    assert "image/jpeg" in detail(f"{one}/rendered", 406, Accept="text/html")
    assert "application/octet-stream" in detail(f"{one}/frames/1", 406, Accept="image/jls")
    assert "bulk data" in detail(f"{one}/bulkdata/00991001", 404)
    plain = {"Accept": "application/octet-stream", "Range": "bytes=99999999-"}
    pixels = len(region.ct.dataset.PixelData)
    assert str(pixels) in detail(f"{one}/bulkdata/7FE00010", 416, **plain)
    answer = radiologist.get(f"{one}/bulkdata/7FE00010", headers=plain)
    assert answer.headers["Content-Range"] == f"bytes */{pixels}"


def test_the_entry_that_takes_bulk_data_says_whether_it_comes_in_parts(
    region: Region, radiologist: FlaskClient
) -> None:
    accept = 'multipart/related; type="image/jpeg", application/octet-stream;q=0.5'
    answer = radiologist.get(f"{region.ct.url}/bulkdata/7FE00010", headers={"Accept": accept})
    assert answer.mimetype == "application/octet-stream"
    assert answer.data == region.ct.dataset.PixelData


def test_a_series_and_a_study_are_rendered_in_parts(
    region: Region, radiologist: FlaskClient
) -> None:
    for url in (region.ct.study_url, region.ct.series_url):
        answer = radiologist.get(
            f"{url}/rendered?viewport=32,32",
            headers={"Accept": 'multipart/related; type="image/jpeg"'},
        )
        assert answer.status_code == 200
        (part,) = parts_of(answer)
        assert Image.open(io.BytesIO(part.body)).size == (32, 32)
    single = radiologist.get(f"{region.ct.study_url}/rendered", headers={"Accept": "image/jpeg"})
    assert single.status_code == 406


def test_thumbnails_at_every_level(region: Region, radiologist: FlaskClient) -> None:
    one = region.mr_multiframe
    for url in (one.study_url, one.series_url, one.url, f"{one.url}/frames/2"):
        picture = shown(radiologist, f"{url}/thumbnail", Accept="image/jpeg")
        assert max(picture.size) <= 256
        small = shown(radiologist, f"{url}/thumbnail?viewport=40,20", Accept="image/png")
        assert (small.format, small.size) == ("PNG", (20, 20))
        for wrong in ("40", "0,5", "40,20,1,1,5,5"):
            refused = radiologist.get(f"{url}/thumbnail?viewport={wrong}")
            assert refused.status_code == 400
    assert radiologist.get(f"{one.url}/frames/999/thumbnail").status_code == 404
