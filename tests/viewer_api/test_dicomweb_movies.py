"""`/rendered` of a multi-frame instance as a movie, whole and in ranges, in a browser too."""

import base64

import pytest
from flask.testing import FlaskClient

from tests.support.browser import chromium_browser
from tests.support.tools import require_openh264
from tests.viewer_api.region import Region

_PLAYED = """async (data) => {
  const video = document.getElementById('v');
  video.src = 'data:video/mp4;base64,' + data;
  await new Promise((ok, no) => { video.onloadeddata = ok; video.onerror = no; });
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  video.currentTime = 0.2;
  await new Promise((ok) => { video.onseeked = ok; });
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return [video.videoWidth, video.videoHeight, video.duration, Math.max(...pixels.slice(0, 40000))];
}"""


@pytest.fixture(autouse=True)
def _with_encoder() -> None:
    require_openh264()


def as_movie(region: Region, **headers: str) -> dict[str, str]:
    return {"Accept": "video/mp4", **headers}


def test_who_asks_for_video_gets_a_movie_and_others_a_picture(
    region: Region, radiologist: FlaskClient
) -> None:
    url = f"{region.us_colour.url}/rendered"
    movie = radiologist.get(url, headers=as_movie(region))
    assert (movie.status_code, movie.content_type) == (200, "video/mp4")
    assert movie.data[4:8] == b"ftyp"
    assert movie.headers["Accept-Ranges"] == "bytes"
    assert radiologist.get(f"{url}?accept=video/mp4").data == movie.data
    for accept in ("*/*", "image/jpeg, video/mp4;q=0.5"):
        assert radiologist.get(url, headers={"Accept": accept}).content_type == "image/jpeg"
    poster = radiologist.get(f"{region.us_colour.url}/thumbnail")
    assert poster.content_type == "image/jpeg"
    single = radiologist.get(f"{region.ct.url}/rendered", headers=as_movie(region))
    assert single.status_code == 406


def test_a_movie_comes_in_ranges(region: Region, radiologist: FlaskClient) -> None:
    url = f"{region.us_colour.url}/rendered"
    whole = radiologist.get(url, headers=as_movie(region))
    part = radiologist.get(url, headers=as_movie(region, Range="bytes=100-299"))
    assert (part.status_code, part.data) == (206, whole.data[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole.data)}"
    last = radiologist.get(url, headers=as_movie(region, Range="bytes=-7"))
    assert last.data == whole.data[-7:]
    beyond = radiologist.get(url, headers=as_movie(region, Range="bytes=999999999-"))
    assert beyond.status_code == 416
    tag = whole.headers["ETag"]
    other = {"Range": "bytes=5-9", "If-Range": '"something else"'}
    assert radiologist.get(url, headers=as_movie(region, **other)).status_code == 200
    same = {"Range": "bytes=5-9", "If-Range": tag}
    assert radiologist.get(url, headers=as_movie(region, **same)).status_code == 206
    known = radiologist.get(url, headers=as_movie(region, **{"If-None-Match": tag}))
    assert (known.status_code, known.data) == (304, b"")


def test_a_movie_is_for_those_who_may_see_the_study(region: Region, anybody: FlaskClient) -> None:
    answer = anybody.get(f"{region.us_colour.url}/rendered", headers=as_movie(region))
    assert answer.status_code in {401, 404}


@pytest.mark.long  # a browser's start
def test_a_browser_plays_it(region: Region, radiologist: FlaskClient) -> None:
    movie = radiologist.get(f"{region.us_colour.url}/rendered", headers=as_movie(region)).data
    with chromium_browser() as browser:
        page = browser.new_page()
        page.set_content("<video id=v muted></video>")
        width, height, seconds, brightest = page.evaluate(_PLAYED, base64.b64encode(movie).decode())
    dataset = region.us_colour.dataset
    assert (width, height) == (dataset.Columns, dataset.Rows)
    assert seconds == pytest.approx(dataset.NumberOfFrames * float(dataset.FrameTime) / 1000, 0.02)
    assert brightest > 150
