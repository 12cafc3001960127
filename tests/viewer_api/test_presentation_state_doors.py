"""Presentation states, SUV windows and palettes at the doors: DICOMweb, WADO-URI, the quick viewer.

Every picture is compared with the rendering service's own; another person's state opens nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from access_control.audit import AuditQuery
from access_control.model import Role
from eir_versions.jobs import PNG
from eir_versions.model import RenderRequest
from eir_versions.pixels import Window, WindowFunction
from tests.eir_versions.builders import item, part10
from tests.eir_versions.test_subtraction import angiogram as subtracted
from tests.viewer_api.multipart import parts_of
from tests.viewer_api.pages import quick_viewer_region as studies
from tests.viewer_api.pages.region import Region, open_region
from tests.viewer_api.region import web_app
from viewer_api.pages.referenced_pictures import references

STUDY, OTHER, XA = studies.PAPERS, studies.OTHER_PAPERS, "2.25.905620"
SLICE = f"{STUDY}.1.2"
LUNG, BOTH, BLENDED, FOREIGN = f"{STUDY}.5.1", f"{STUDY}.5.2", f"{STUDY}.5.3", f"{OTHER}.5.1"
PICTURE = f"/studies/{STUDY}/series/{STUDY}.1/pictures/{SLICE}/1.png"


def angiogram(number: int, relation: str, center: str) -> bytes:
    """Frames to be seen subtracted, in a study of their own; of DISP values they cannot be."""
    return part10(
        subtracted(
            PixelIntensityRelationship=relation, WindowCenter=center,
            StudyInstanceUID=f"{XA}{number}", SeriesInstanceUID=f"{XA}{number}.1",
            SOPInstanceUID=f"{XA}{number}.1.1", PatientID="XA9056", PatientName="Xue^Guan",
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("looks"), ()) as opened:
        sites, hub = opened.hub.access.sites, opened.hub
        studies.store(hub, sites.get("sijing"), studies.papers())
        kind = studies.Kind(STUDY, 5, "PR", studies.GRAYSCALE_STATE, "20250505")
        shown = (f"{STUDY}.1.3", SLICE)
        both = studies.presentation_state(kind, 2, "BONE", (300, 1500), shown)
        blending = replace(kind, sop_class=f"{studies.GRAYSCALE_STATE[:-1]}4")
        blended = studies.presentation_state(blending, 3, "FUSED", (300, 1500), (SLICE,))
        studies.store(hub, sites.get("sijing"), iter([both, blended]))
        studies.store(hub, sites.get("sijing"), studies.pet())
        kinds = (("LOG", "0.5"), ("DISP", "0.5"), ("LOG", "2048"))
        angiograms = (angiogram(number, *kind) for number, kind in enumerate(kinds))
        studies.store(hub, sites.get("sijing"), angiograms)
        studies.store(hub, sites.get("central"), studies.other_papers())
        yield opened


@pytest.fixture(scope="module")
def doctor(region: Region) -> FlaskClient:
    """A ward doctor of one site: pictures of their own patients, no others."""
    return reader(region, Role.CLINICIAN, ("sijing",))


def reader(region: Region, role: Role, sites: tuple[str, ...] | None) -> FlaskClient:
    token = region.hub.access.tokens.create(
        f"looks {role} {sites}", frozenset({role}), sites and frozenset(sites),
        datetime.now(UTC) + timedelta(days=1),
    )  # fmt: skip
    client = web_app(region.hub).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {getattr(token, 'plain', token)}"
    return client


def drawn(region: Region, uid: str, **look: Any) -> bytes:
    return region.hub.eir.rendered(RenderRequest(uid, media_type=PNG, **look)).data


def state_url(state: str, study: str = STUDY) -> str:
    return f"/dicom-web/studies/{study}/series/{study}.5/instances/{state}/rendered"


def wado(client: FlaskClient, **parameters: str) -> Any:
    query = {
        "requestType": "WADO", "studyUID": STUDY, "seriesUID": f"{STUDY}.1", "objectUID": SLICE,
        "contentType": PNG, "presentationUID": LUNG, "presentationSeriesUID": f"{STUDY}.5",
    }  # fmt: skip
    asked = {name: value for name, value in (query | parameters).items() if value}
    return client.get("/wado", query_string=asked)


def refusals(region: Region, study: str) -> int:
    query = AuditQuery(resource_ids=frozenset({study}), outcome="refused")
    return len(region.hub.access.audit.search(query).records)


def test_a_state_is_rendered_as_the_picture_it_is_for(region: Region, doctor: FlaskClient) -> None:
    answer = doctor.get(state_url(LUNG), headers={"Accept": PNG})
    assert answer.status_code == 200
    assert answer.data == drawn(region, SLICE, presentation_state_uid=LUNG)
    assert answer.data != drawn(region, SLICE)
    windowed = doctor.get(f"{state_url(LUNG)}?window=300,1500", headers={"Accept": PNG})
    window = Window(300, 1500)
    assert windowed.data == drawn(region, SLICE, presentation_state_uid=LUNG, window=window)


def test_viewport_annotation_quality_and_profile_hold_for_a_state_too(
    doctor: FlaskClient,
) -> None:
    url = state_url(LUNG)
    small = doctor.get(f"{url}?viewport=64,64", headers={"Accept": PNG})
    assert Image.open(io.BytesIO(small.data)).size == (64, 64)
    plain, told, rough = (
        doctor.get(f"{url}?{query}", headers={"Accept": "image/jpeg"}).data
        for query in ("quality=95", "quality=95&annotation=patient", "quality=10")
    )
    assert len(rough) < len(plain)
    assert told != plain
    tagged = doctor.get(f"{url}?iccprofile=srgb", headers={"Accept": PNG})
    assert "icc_profile" in Image.open(io.BytesIO(tagged.data)).info
    assert doctor.get(f"{url}?window=0,0", headers={"Accept": PNG}).status_code == 400


def test_a_state_for_several_pictures_comes_in_parts_in_its_own_order(
    region: Region, doctor: FlaskClient
) -> None:
    expected = [drawn(region, uid, presentation_state_uid=BOTH) for uid in (f"{STUDY}.1.3", SLICE)]
    accept = {"Accept": f'multipart/related; type="{PNG}"'}
    assert [part.body for part in parts_of(doctor.get(state_url(BOTH), headers=accept))] == expected
    # Who asks for one picture gets the first; one picture is one part to who wants parts.
    assert doctor.get(state_url(BOTH), headers={"Accept": PNG}).data == expected[0]
    (only,) = parts_of(doctor.get(state_url(LUNG), headers=accept))
    assert only.body == drawn(region, SLICE, presentation_state_uid=LUNG)


def test_wado_uri_draws_with_the_state_it_names(region: Region, doctor: FlaskClient) -> None:
    answer = wado(doctor)
    assert answer.data == drawn(region, SLICE, presentation_state_uid=LUNG)
    assert wado(doctor, objectUID=f"{STUDY}.1.1").status_code == 404  # the state is not for it
    assert wado(doctor, presentationSeriesUID="").status_code == 400
    assert wado(doctor, presentationUID="").status_code == 400
    assert wado(doctor, presentationSeriesUID=f"{STUDY}.1").status_code == 404
    windowed = wado(doctor, windowCenter="40", windowWidth="400")
    assert windowed.status_code == 400


def test_another_persons_state_opens_nothing_and_is_on_record(
    region: Region, doctor: FlaskClient
) -> None:
    """Neither at its own address nor applied to pictures that this doctor may see."""
    for ask in (
        lambda: doctor.get(state_url(FOREIGN, OTHER), headers={"Accept": PNG}),
        lambda: doctor.get(state_url(FOREIGN), headers={"Accept": PNG}),
        lambda: wado(doctor, presentationUID=FOREIGN, presentationSeriesUID=f"{OTHER}.5"),
        lambda: doctor.get(PICTURE, query_string={"state": FOREIGN}),
        lambda: doctor.get(f"/studies/{STUDY}/clinical", query_string={"state": FOREIGN}),
    ):
        before = refusals(region, OTHER)
        answer = ask()
        assert answer.status_code == 404
        assert b"BONE" not in answer.data
        assert refusals(region, OTHER) == before + 1
    unknown, foreign = (
        doctor.get(PICTURE, query_string={"state": uid}) for uid in (f"{OTHER}.5.99", FOREIGN)
    )
    assert (unknown.status_code, without_number(unknown.data)) == (
        foreign.status_code,
        without_number(foreign.data).replace(FOREIGN.encode(), f"{OTHER}.5.99".encode()),
    )


def without_number(page: bytes) -> bytes:
    """The page without the number of its request, by which alone two answers may differ."""
    return re.sub(rb"[0-9a-f]{32}", b"", page)


def test_a_state_shows_no_picture_of_another_study_whatever_it_names(region: Region) -> None:
    everywhere = reader(region, Role.RADIOLOGIST, None)
    accept = {"Accept": f'multipart/related; type="{PNG}"'}
    (part,) = parts_of(everywhere.get(state_url(FOREIGN, OTHER), headers=accept))
    assert part.body == drawn(region, f"{OTHER}.1.1", presentation_state_uid=FOREIGN)


def test_the_page_offers_the_states_of_a_series_and_begins_with_the_one_asked_for(
    doctor: FlaskClient,
) -> None:
    page = doctor.get(f"/studies/{STUDY}/clinical?lang=en").get_data(as_text=True)
    assert f'value="state:{LUNG}"' in page
    assert f'value="state:{BOTH}"' in page
    chosen = doctor.get(f"/studies/{STUDY}/clinical?lang=zh&state={BOTH}").get_data(as_text=True)
    assert f'value="state:{BOTH}" selected' in chosen
    assert "显示状态" in chosen
    other = doctor.get(f"/studies/{studies.PET}/clinical?lang=en").get_data(as_text=True)
    assert "state:" not in other


def test_a_state_of_a_kind_that_is_not_applied_draws_nothing_and_is_named(
    doctor: FlaskClient,
) -> None:
    refused = doctor.get(PICTURE, query_string={"state": BLENDED})
    assert (refused.status_code, refused.get_json()["error"]["reason"]) == (
        404,
        "state_not_applied",
    )
    assert doctor.get(state_url(BLENDED), headers={"Accept": PNG}).status_code == 404
    assert wado(doctor, presentationUID=BLENDED).status_code == 404
    study = f"/studies/{STUDY}/clinical"
    for query in ("", f"&state={BLENDED}"):
        page = doctor.get(f"{study}?lang=en{query}").get_data(as_text=True)
        told = "A presentation state for these pictures is not applied (blending of two series)."
        assert told in page
        assert f"state:{BLENDED}" not in page
    chinese = doctor.get(f"{study}?lang=zh").get_data(as_text=True)
    assert "未被应用（两个序列的融合）" in chinese
    states = doctor.get(f"{study}?lang=en&series={STUDY}.5").get_data(as_text=True)
    assert "Not applied by the hub (blending of two series): its pictures are as stored." in states
    assert states.count(f"state={BLENDED}") == 0
    assert f"state={LUNG}" in states
    pet = doctor.get(f"/studies/{studies.PET}/clinical?lang=en").get_data(as_text=True)
    assert "is not applied" not in pet


@pytest.mark.parametrize("sequence", ["BlendingSequence", "AdvancedBlendingSequence"])
def test_the_pictures_that_a_blending_state_is_for_are_found(sequence: str) -> None:
    images = [item(ReferencedSOPInstanceUID=uid) for uid in ("1.2.3", "1.2.4")]
    series = [item(ReferencedImageSequence=images)]
    below = "ReferencedSeriesSequence" if sequence == "BlendingSequence" else sequence
    state = item(**{sequence: [item(**{below: series})]})
    assert [uid for uid, _ in references(state)] == ["1.2.3", "1.2.4"]


def test_the_page_says_whether_pictures_are_shown_subtracted(
    region: Region, doctor: FlaskClient
) -> None:
    seen = [
        doctor.get(f"/studies/{XA}{number}/clinical?lang=en").get_data(as_text=True)
        for number in (0, 1, 2)
    ]
    # Steps from a window of the native frames would leave nothing of a difference to see.
    assert ["More contrast" in page for page in seen] == [True, True, False]
    assert "Shown subtracted, as the device recommends" in seen[0]
    assert "which the hub cannot do: shown as stored." in seen[1]
    chinese = doctor.get(f"/studies/{XA}0/clinical?lang=zh").get_data(as_text=True)
    assert "按设备建议以减影" in chinese
    plain = doctor.get(f"/studies/{STUDY}/clinical?lang=en").get_data(as_text=True)
    assert "subtract" not in plain
    native, done = (drawn(region, f"{XA}{n}.1.1", frame_number=3) for n in (1, 0))
    assert native != done
    # What is subtracted may be seen as it is, and the choice is there where there is one.
    assert ["native:" in page for page in seen] == [True, False, True]
    assert "不减影" in chinese
    asked = f"/studies/{XA}0/series/{XA}0.1/pictures/{XA}0.1.1/3.png"
    assert doctor.get(asked).data == done
    seen_native = doctor.get(asked, query_string={"native": "1"}).data
    assert seen_native == drawn(region, f"{XA}0.1.1", frame_number=3, native=True)
    assert seen_native != done


def test_a_pet_series_is_shown_in_suv_and_in_colour(region: Region, doctor: FlaskClient) -> None:
    page = doctor.get(f"/studies/{studies.PET}/clinical?lang=en").get_data(as_text=True)
    assert 'data-window="suv:2.5,5,linear-exact"' in page
    assert "Hot iron" in page
    uid = f"{studies.PET}.1.1"
    url = f"/studies/{studies.PET}/series/{studies.PET}.1/pictures/{uid}/1.png"
    window = Window(2.5, 5, WindowFunction.LINEAR_EXACT)
    asked = {"window": "2.5,5,linear-exact", "suv": "1", "palette": "hotiron"}
    answer = doctor.get(url, query_string=asked)
    assert answer.data == drawn(region, uid, window=window, in_suv=True, palette="hotiron")
    colours = Image.open(io.BytesIO(answer.data))
    assert colours.mode == "RGB"
    assert doctor.get(url, query_string={"palette": "rainbow"}).status_code == 400


def test_a_pet_series_without_a_weight_says_why_there_is_no_suv(doctor: FlaskClient) -> None:
    series = f"{studies.PET}.2"
    url = f"/studies/{studies.PET}/clinical?series={series}"
    page = doctor.get(f"{url}&lang=en").get_data(as_text=True)
    assert "the patient&#39;s weight is missing" in page
    assert "suv:" not in page
    assert "体重" in doctor.get(f"{url}&lang=zh").get_data(as_text=True)
    picture = f"/studies/{studies.PET}/series/{series}/pictures/{series}.1/1.png"
    refused = doctor.get(picture, query_string={"window": "2,4", "suv": "1"})
    assert (refused.status_code, refused.get_json()["error"]["reason"]) == (404, "no_suv")
