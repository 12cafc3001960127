"""What a rendered picture gets on its way out: region, words, profile; pictures in parts."""

import io

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageCms

from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import Region

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
    "query", ["iccprofile=rommrgb", "annotation=diagnosis", "viewport=1,1,a,,,"]
)
def test_what_is_not_offered_is_refused(
    region: Region, radiologist: FlaskClient, query: str
) -> None:
    assert radiologist.get(f"{region.ct.url}/rendered?{query}").status_code == 400


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
    assert radiologist.get(f"{one.url}/frames/999/thumbnail").status_code == 404
