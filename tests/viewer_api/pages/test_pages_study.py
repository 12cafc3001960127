"""The study page: diagnostic, clinical, and the frames their viewer fetches."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from PIL import Image, ImageChops

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import (
    CHEST_CT,
    EVIL_CT,
    EVIL_TEXT,
    FOREIGN,
    REPORT,
    SPINE_MR,
    Region,
)


def addresses(page) -> list[str]:  # type: ignore[no-untyped-def]
    stack = json.loads(page.select_one("#viewer-frames").string)
    return [
        f"{stack['prefix']}{uid}{stack['middle']}{frame}{stack['suffix']}"
        for uid, frames in stack["instances"]
        for frame in range(1, frames + 1)
    ]


def test_a_radiologist_lands_on_diagnostic_and_a_ward_doctor_on_clinical(
    signed_in: Callable[..., Browser],
) -> None:
    assert (
        signed_in("reader").get(f"/studies/{CHEST_CT}").headers["Location"].endswith("/diagnostic")
    )
    assert signed_in("doctor").get(f"/studies/{CHEST_CT}").headers["Location"].endswith("/clinical")


def test_the_diagnostic_stack_shows_every_slice_in_order_without_loss(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("reader")
    page = browser.page(f"/studies/{CHEST_CT}/diagnostic")
    frames = addresses(page)
    assert len(frames) == 6
    pictures = []
    for address in frames[:2]:
        answer = browser.get(address)
        assert answer.content_type == "image/png"
        pictures.append(Image.open(io.BytesIO(answer.data)).convert("L"))
    assert ImageChops.difference(*pictures).getbbox(), "two slices look the same"
    assert page.select_one(".viewer-stage img")["src"] == frames[2]


def test_a_window_changes_the_picture(signed_in: Callable[..., Browser]) -> None:
    browser = signed_in("reader")
    page = browser.page(f"/studies/{CHEST_CT}/diagnostic")
    frame = addresses(page)[0]
    windows = [button["data-window"] for button in page.select("[data-window]")]
    assert windows[0] == ""
    assert len(windows) == 6
    bodies = {browser.get(f"{frame}?window={value}").data for value in windows[1:]}
    assert len(bodies) == 5


def test_the_diagnostic_page_gives_the_addresses_for_a_workstation_and_the_digests(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    page = signed_in("reader").page(f"/studies/{CHEST_CT}/diagnostic")
    port = region.hub.address.dicom_port
    assert page.select_one("#dicom-node").get_text() == f"EIRHUB@localhost:{port}"
    assert page.select_one("#dicomweb").get_text().endswith(f"/dicom-web/studies/{CHEST_CT}")
    for recipe in ("diagnostic", "clinical", "public"):
        version = region.hub.eir.version(CHEST_CT, recipe)
        assert version is not None
        assert version.inputs_sha256 in page.select_one(".versions").get_text()


def test_the_clinical_page_says_that_it_is_not_for_diagnosis_twice(
    signed_in: Callable[..., Browser],
) -> None:
    page = signed_in("doctor").page(f"/studies/{CHEST_CT}/clinical")
    words = "Clinical reference, not for primary diagnosis"
    assert page.select_one(".not-primary").get_text(strip=True) == words
    assert page.select_one(".viewer-top .stamp").get_text(strip=True) == words
    assert "No signed report" in page.get_text()


def test_without_script_frames_are_reached_by_links(signed_in: Callable[..., Browser]) -> None:
    browser = signed_in("doctor")
    page = browser.page(f"/studies/{CHEST_CT}/clinical?frame=5")
    frames = addresses(page)
    assert page.select_one(".viewer-stage img")["src"] == frames[4]
    onward = page.select_one("a[data-do=next]")["href"]
    assert (
        browser.page(f"/studies/{CHEST_CT}/clinical{onward}").select_one(".viewer-stage img")["src"]
        == (frames[5])
    )


@pytest.mark.parametrize("frame", ["0", "-1", "999999999999", "x", "²"])
def test_a_senseless_frame_number_shows_a_frame_all_the_same(
    signed_in: Callable[..., Browser], frame: str
) -> None:
    page = signed_in("doctor").page(f"/studies/{CHEST_CT}/clinical?frame={frame}&series=nonsense")
    assert page.select_one(".viewer-stage img")["src"] in addresses(page)


def test_a_report_among_the_series_is_shown_as_a_report(signed_in: Callable[..., Browser]) -> None:
    page = signed_in("reader").page(f"/studies/{REPORT}/diagnostic")
    assert page.select_one("article.object h2").get_text(strip=True).startswith("Structured report")
    assert page.select_one("[data-viewer]") is None


def test_html_in_a_study_shows_as_text_and_cannot_leave_the_data_of_the_viewer(
    signed_in: Callable[..., Browser],
) -> None:
    browser = signed_in("reader")
    for version in ("diagnostic", "clinical"):
        page = browser.page(f"/studies/{EVIL_CT}/{version}")
        assert EVIL_TEXT in page.get_text()
        assert not page.find_all("img", src="x")
        assert addresses(page)


@pytest.mark.parametrize("where", ["", "/diagnostic", "/clinical", "/share"])
def test_another_sites_study_answers_like_one_that_does_not_exist(
    signed_in: Callable[..., Browser], where: str
) -> None:
    browser = signed_in("doctor")
    assert browser.get(f"/studies/{FOREIGN}{where}").status_code == 404
    assert browser.get(f"/studies/1.2.3.4{where}").status_code == 404


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.3%00", "x" * 65, "1..2", "1.2."])
def test_what_is_no_uid_answers_404(signed_in: Callable[..., Browser], uid: str) -> None:
    assert signed_in("doctor").get(f"/studies/{uid}/clinical").status_code == 404


@pytest.mark.parametrize(("study", "number"), [(CHEST_CT, "accession"), (SPINE_MR, "local")])
def test_who_asks_for_a_report_is_told_a_number_that_the_examination_has(
    signed_in: Callable[..., Browser], study: str, number: str
) -> None:
    page = signed_in("doctor").page(f"/studies/{study}/clinical")
    assert f"give the {number} number below" in page.select_one("section.report").get_text()
