"""The quick viewer's routes: pictures below their ceiling, facts of slices, comparison, objects."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import (
    CHEST_CT,
    EVIL_CT,
    FOREIGN,
    NAMESAKE_CT,
    REPORT,
    SPINE_MR,
    Region,
)
from viewer_api.pages.content_tree import MOST_LINES, content_lines
from viewer_api.pages.presets import presets_for
from viewer_api.pages.slice_facts import (
    FrameFacts,
    InstanceFacts,
    Plane,
    StoredWindow,
    edges_of,
)
from viewer_api.pages.stack_facts import stack_facts

PICTURE = f"/studies/{CHEST_CT}/series/{CHEST_CT}.1/pictures/{CHEST_CT}.1.3/1"


def test_a_reference_picture_says_its_ratio_and_stays_below_the_ceiling(
    signed_in: Callable[..., Browser],
) -> None:
    answer = signed_in("doctor").get(f"{PICTURE}.jpg")
    pixels = Image.open(io.BytesIO(answer.data))
    if answer.content_type == "image/jpeg":
        ratio = float(answer.headers["X-Compression-Ratio"])
        assert ratio == pytest.approx(pixels.width * pixels.height / len(answer.data), abs=0.01)
        assert ratio <= 8
    else:
        assert "X-Compression-Ratio" not in answer.headers


def test_a_picture_is_kept_by_the_browser_and_asked_for_again(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("doctor")
    first = browser.get(f"{PICTURE}.png")
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = browser.get(f"{PICTURE}.png", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("address", ["/0.jpg", "/2.jpg", "/1.gif"])
def test_a_frame_that_is_not_there_answers_404(
    signed_in: Callable[..., Browser], address: str
) -> None:
    assert signed_in("doctor").get(PICTURE[:-2] + address).status_code == 404


@pytest.mark.parametrize(
    "query", ["window=1", "window=nan,5", "state=../../x", "state=" + "1" * 65]
)
def test_a_senseless_argument_is_refused(signed_in: Callable[..., Browser], query: str) -> None:
    assert signed_in("doctor").get(f"{PICTURE}.png?{query}").status_code in {400, 404}


def test_a_state_of_another_study_answers_like_one_that_does_not_exist(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("reader")
    for state in (f"{FOREIGN}.1.1", "1.2.3.4"):
        assert browser.get(f"{PICTURE}.png?state={state}").status_code == 404


def test_the_facts_tell_where_each_slice_lies(signed_in: Callable[..., Browser]) -> None:
    answer = signed_in("doctor").get(f"/studies/{CHEST_CT}/series/{CHEST_CT}.1/facts")
    told = answer.get_json()
    assert len(told["along"]) == len(told["edges"]) == 6
    assert all(isinstance(place, float) for place in told["along"])
    assert told["sides"] == [["R", "L", "A", "P"]]
    assert told["frameOfReference"]


@pytest.mark.parametrize("tail", ["facts", f"pictures/{FOREIGN}.1.1/1.png", "documents/1.2.3"])
def test_what_may_not_be_seen_answers_404(signed_in: Callable[..., Browser], tail: str) -> None:
    address = f"/studies/{FOREIGN}/series/{FOREIGN}.1/{tail}"
    assert signed_in("doctor").get(address).status_code == 404


def test_a_citizen_with_a_link_reaches_nothing_of_the_viewer(
    region: Region, signed_in: Callable[..., Browser]
) -> None:
    made = signed_in("doctor").send(f"/studies/{CHEST_CT}/share").get_data(as_text=True)
    link = re.search(r"/share/[\w-]{20,}", made)
    passcode = re.search(r'id="passcode"[^>]*>([^<]+)<', made)
    assert link
    assert passcode
    citizen = Browser(region)
    assert citizen.send(link[0], passcode=passcode[1].strip()).status_code == 303
    shown = citizen.get("/share/exam")
    assert shown.status_code == 200
    assert b"viewer" not in shown.data
    for address in (
        f"{PICTURE}.jpg",
        f"{PICTURE}.png",
        f"/studies/{CHEST_CT}/series/{CHEST_CT}.1/facts",
        f"/studies/{CHEST_CT}/clinical",
    ):
        assert citizen.get(address).status_code in {302, 303, 401, 404}, address


def test_a_prior_of_the_same_person_at_another_site_stands_beside(
    signed_in: Callable[..., Browser],
) -> None:
    page = signed_in("doctor").page(f"/studies/{CHEST_CT}/clinical?frame=2&prior={SPINE_MR}")
    slots = [viewer["data-slot"] for viewer in page.select("[data-viewer]")]
    assert slots == ["now", "prior"]
    days = [top.select_one(".viewer-when b").get_text() for top in page.select(".viewer-top")]
    assert len(set(days)) == 2
    onward = page.select_one("[data-slot=now] a[data-do=next]")["href"]
    assert f"prior={SPINE_MR}" in onward
    offered = [option["value"] for option in page.select("#prior option")]
    assert SPINE_MR in offered
    assert not {NAMESAKE_CT, EVIL_CT, FOREIGN, CHEST_CT} & set(offered)


@pytest.mark.parametrize("prior", [NAMESAKE_CT, EVIL_CT, FOREIGN, "1.2.3.4", "../x"])
def test_another_person_or_nobody_is_never_put_beside(
    signed_in: Callable[..., Browser], prior: str
) -> None:
    answer = signed_in("doctor").get(f"/studies/{CHEST_CT}/clinical?prior={prior}")
    assert answer.status_code == 404


def test_a_script_in_a_report_is_text(signed_in: Callable[..., Browser]) -> None:
    page = signed_in("doctor").page(f"/studies/{REPORT}/clinical")
    assert page.select_one(".content-tree")
    assert not page.select(".content-tree script, .content-tree b")


def test_modules_share_one_digest_so_that_none_is_kept_beside_a_newer_one(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("doctor")
    page = browser.page(f"/studies/{CHEST_CT}/clinical")
    main = page.select_one("script[type=module]")["src"]
    text = browser.get(main).get_data(as_text=True)
    named = re.findall(r'from "\./([a-z]+\.js)"', text)
    assert len(named) >= 8
    for name in named:
        answer = browser.get(main.replace("main.js", name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.content_type.startswith("text/javascript")


@pytest.mark.parametrize(
    ("row", "column", "edges"),
    [
        ((1, 0, 0), (0, 1, 0), ("R", "L", "A", "P")),
        ((1, 0, 0), (0, 0, -1), ("R", "L", "H", "F")),
        ((0, 1, 0), (0, 0, -1), ("A", "P", "H", "F")),
        ((-1, 0, 0), (0, 1, 0), ("L", "R", "A", "P")),
        ((0.8, 0.6, 0), (0, 0, -1), ("RA", "LP", "H", "F")),
        ((0.99, 0.1, 0), (0, 0, -1), ("R", "L", "H", "F")),
    ],
)
def test_the_letters_stand_where_the_body_is(
    row: tuple[float, float, float],
    column: tuple[float, float, float],
    edges: tuple[str, str, str, str],
) -> None:
    assert edges_of(row, column) == edges


def test_a_slice_of_another_direction_has_no_place_on_the_common_axis() -> None:
    axial = Plane((0, 0, 12.5), (1, 0, 0), (0, 1, 0))
    sagittal = Plane((30, 0, 0), (0, 1, 0), (0, 0, -1))
    frames = tuple(FrameFacts(plane, None) for plane in (axial, sagittal, None))
    assert stack_facts([InstanceFacts(frames)])["along"] == [12.5, None, None]


def test_presets_elsewhere_than_in_ct_are_steps_from_the_stored_window() -> None:
    stored = (StoredWindow(500, 1000, "linear"), StoredWindow(100, 50, "sigmoid", "BONE" * 20))
    presets = presets_for("MR", stored)
    assert presets[0].value == "100,50,sigmoid"
    assert len(presets[0].word) <= 24
    assert [one.value for one in presets[1:3]] == ["500,600,linear", "500,1700,linear"]
    assert presets_for("MR", ()) == ()


def test_a_report_of_many_nodes_costs_what_the_limit_allows() -> None:
    root = Dataset()
    node = root
    for _ in range(40):
        item = Dataset()
        item.ValueType, item.TextValue = "TEXT", "x"
        node.ContentSequence = Items([item] + [_text() for _ in range(60)])
        node = item
    lines = content_lines(root)
    assert len(lines) <= MOST_LINES + 1
    assert max(line.depth for line in lines) <= 12


def _text() -> Dataset:
    item = Dataset()
    item.ValueType, item.TextValue = "TEXT", "y"
    return item
