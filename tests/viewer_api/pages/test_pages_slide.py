"""The page of a whole slide over HTTP: who gets it, which levels it shows, how it is reached."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from access_control.model import Role
from hub_kernel.tasks import deliver_all_due
from tests.viewer_api.pages import quick_viewer_region as studies
from tests.viewer_api.pages import slide_region as slides
from tests.viewer_api.pages.region import Region, open_region
from tests.viewer_api.region import web_app

PAGE = f"/studies/{slides.STUDY}/series/{slides.SERIES}/slide"
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("slide-page"), ()) as opened:
        hub = opened.hub
        site = hub.access.sites.get("sijing")
        studies.store(hub, site, slides.everything())
        studies.store(hub, site, iter([slides.level(f"{slides.STUDY}.3", 0, flavor="LABEL")]))
        ct = studies.Kind(
            studies.PRIOR_CT, 1, "CT", studies.CT_IMAGE, patient_id="S9060", name=EVIL
        )
        studies.store(hub, site, studies.stack(ct, 1, 5.0, "2.25.90576"))
        deliver_all_due(hub.database, hub.base.outbox)
        yield opened


def reader(region: Region, role: Role, *sites: str) -> FlaskClient:
    token = region.hub.access.tokens.create(
        f"slides {role} {sites}", frozenset({role}), frozenset(sites),
        datetime.now(UTC) + timedelta(days=1),
    )  # fmt: skip
    client = web_app(region.hub).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {getattr(token, 'plain', token)}"
    return client


@pytest.fixture(scope="module")
def doctor(region: Region) -> FlaskClient:
    return reader(region, Role.CLINICIAN, "sijing")


def test_the_levels_are_those_of_the_tissue_and_each_tile_is_a_picture(doctor: FlaskClient) -> None:
    levels = doctor.get(f"{PAGE}/levels").get_json()["levels"]
    assert [level["width"] for level in levels] == [2048, 512, 128]
    assert [level["order"] for level in levels] == ["rows", "listed", "rows"]
    for level in levels:
        tile = doctor.get(f"{level['frames_url']}1/rendered?quality=90")
        assert (tile.status_code, tile.mimetype) == (200, "image/jpeg")


def test_record_and_study_lead_to_the_first_slide(region: Region, doctor: FlaskClient) -> None:
    record = doctor.get(f"/patients/{region.person_of(slides.STUDY)}").get_data(as_text=True)
    assert f'href="/studies/{slides.STUDY}/slide"' in record
    answer = doctor.get(f"/studies/{slides.STUDY}/slide")
    assert (answer.status_code, answer.location) == (303, PAGE)
    study = doctor.get(f"/studies/{slides.STUDY}/clinical").get_data(as_text=True)
    assert f'href="{PAGE}"' in study


@pytest.mark.parametrize(("language", "word"), [("zh", "打开切片"), ("en", "Open the slide")])
def test_the_page_speaks_both_languages_and_is_light(
    doctor: FlaskClient, language: str, word: str
) -> None:
    assert word in doctor.get(f"/studies/{slides.STUDY}/clinical?lang={language}").get_data(
        as_text=True
    )
    page = doctor.get(f"{PAGE}?lang={language}")
    assert len(page.data) < 60_000
    assert ("仅供临床参考" in page.get_data(as_text=True)) == (language == "zh")
    assert b"/frames/" not in page.data


def test_what_is_no_slide_has_no_such_page(doctor: FlaskClient) -> None:
    label = f"/studies/{slides.STUDY}/series/{slides.STUDY}.3/slide/levels"
    for address in (
        f"/studies/{studies.PRIOR_CT}/slide",
        f"/studies/{studies.PRIOR_CT}/series/{studies.PRIOR_CT}.1/slide",
        f"/studies/{studies.PRIOR_CT}/series/{studies.PRIOR_CT}.1/slide/levels",
        f"/studies/{slides.STUDY}/series/{slides.STUDY}.9/slide",
        label,
    ):
        assert doctor.get(address).status_code == 404, address


def test_another_sites_reader_gets_nothing_of_it(region: Region) -> None:
    stranger = reader(region, Role.CLINICIAN, "central")
    for address in (PAGE, f"{PAGE}/levels", f"/studies/{slides.STUDY}/slide"):
        answer = stranger.get(address)
        assert answer.status_code == 404
        assert "顾" not in answer.get_data(as_text=True)


def test_markup_in_the_texts_of_a_slide_is_inert(region: Region, doctor: FlaskClient) -> None:
    evil = f"{slides.STUDY}9"
    data = slides.level(f"{evil}.1", 16, study=evil, description=EVIL, name=f"{EVIL}^{{{{7*7}}}}")
    studies.store(region.hub, region.hub.access.sites.get("sijing"), iter([data]))
    page = doctor.get(f"/studies/{evil}/series/{evil}.1/slide").get_data(as_text=True)
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "alert(1)</script>^49" not in page
