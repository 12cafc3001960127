"""QIDO-RS clause by clause (PS3.18 8.3.4, 10.6): date-times, zones, counts, warnings, rejection."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from access_control.model import Role
from hub_kernel.tasks import deliver_all_due
from hub_runtime.hub import Hub
from image_archive.model import KEY_OBJECT_SELECTION
from tests.viewer_api.region import new_hub, origin_of, part10, web_app
from tests.viewer_api.test_dicomweb_hostile import honest

STUDY = "1.2.826.0.1.3680043.10.98"


def instance(study: int, number: int, **changes: object) -> Dataset:
    made = honest(number)
    made.StudyInstanceUID = f"{STUDY}.{study}"
    made.SeriesInstanceUID = f"{STUDY}.{study}.1"
    made.SOPInstanceUID = f"{STUDY}.{study}.1.{number}"
    made.SpecificCharacterSet = "ISO_IR 192"
    made.StudyDate, made.StudyTime = "20261101", "101500"
    made.AccessionNumber = f"Q{study}"
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def rejection(study: int, number: int) -> Dataset:
    """A note that takes instance `number` back for its quality."""
    item, series, evidence, title = Dataset(), Dataset(), Dataset(), Dataset()
    item.ReferencedSOPInstanceUID = f"{STUDY}.{study}.1.{number}"
    series.ReferencedSOPSequence = DicomSequence([item])
    evidence.ReferencedSeriesSequence = DicomSequence([series])
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "113001", "DCM", "Rejected"
    made = instance(study, 90, SOPClassUID=KEY_OBJECT_SELECTION, Modality="KO")
    made.SeriesInstanceUID = f"{STUDY}.{study}.9"
    made.ConceptNameCodeSequence = DicomSequence([title])
    made.CurrentRequestedProcedureEvidenceSequence = DicomSequence([evidence])
    for keyword in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PixelData"):
        del made[keyword]
    return made


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("semantics")
    hub = new_hub(folder)
    request = Dataset()
    request.ScheduledProcedureStepID, request.RequestedProcedureID = "S7", "R9"
    sent = [
        instance(1, 1, RequestAttributesSequence=DicomSequence([request])),
        instance(1, 2),
        instance(2, 1, StudyDate="20261102", StudyTime="0800", ReferringPhysicianName="李^娜"),
    ]
    origin = origin_of(hub.access.sites.get("sijing"))
    for one in sent:
        hub.archive.store_file(part10(one), origin)
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def client(hub: Hub) -> FlaskClient:
    token = hub.access.tokens.create(
        "reader", [Role.RADIOLOGIST], None, datetime.now(UTC) + timedelta(days=1)
    )
    client = web_app(hub).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def ask(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"/dicom-web{path}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: list[dict[str, Any]] = answer.get_json()
    return found


def studies(found: list[dict[str, Any]]) -> set[str]:
    return {one["0020000D"]["Value"][0].removeprefix(f"{STUDY}.") for one in found}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("StudyDate=20261101-20261102&StudyTime=1100-0700", set()),
        ("StudyDate=20261101-20261102&StudyTime=1100-0900", {"2"}),
        ("StudyDate=20261101-20261102&StudyTime=1000-0700", {"1"}),
        # in New York both were taken a day earlier
        ("StudyDate=20261101&TimezoneOffsetFromUTC=-0500", {"2"}),
        ("StudyDate=20261031&TimezoneOffsetFromUTC=-0500", {"1"}),
        ("StudyDate=20261101&TimezoneOffsetFromUTC=%2B0800", {"1"}),
        ("StudyDate=20261101&TimezoneOffsetFromUTC=+0800", {"1"}),
        ("ReferringPhysicianName=" + quote("李娜"), {"2"}),
        ("ReferringPhysicianName=" + quote("李*"), {"2"}),
        ("00400275.00401001=R9", {"1"}),
        ("RequestAttributesSequence.ScheduledProcedureStepID=S*", {"1"}),
        ("NumberOfStudyRelatedInstances=2", {"1"}),
        ("SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.7", {"1", "2"}),
        ("SOPClassesInStudy=1.2.3", set()),
    ],
)
def test_matching(client: FlaskClient, query: str, expected: set[str]) -> None:
    assert studies(ask(client, f"/studies?{query}")) == expected


def test_dates_are_answered_in_the_zone_that_was_asked_for(client: FlaskClient) -> None:
    zone = "TimezoneOffsetFromUTC=-0500"
    (study,) = ask(client, f"/studies?AccessionNumber=Q1&{zone}")
    assert study["00080020"]["Value"] == ["20261031"]
    assert study["00080030"]["Value"] == ["211500"]
    assert study["00080201"]["Value"] == ["-0500"]


def test_a_zone_that_is_none_is_refused(client: FlaskClient) -> None:
    answer = client.get("/dicom-web/studies?TimezoneOffsetFromUTC=Mars")
    assert answer.status_code == 400


def test_what_must_be_counted_comes_only_when_it_is_asked_for(client: FlaskClient) -> None:
    (plain,) = ask(client, "/studies?AccessionNumber=Q1")
    assert not {"00080062", "00201200"} & plain.keys()
    fields = "includefield=SOPClassesInStudy&includefield=NumberOfPatientRelatedStudies"
    (study,) = ask(client, f"/studies?AccessionNumber=Q1&{fields}")
    assert study["00080062"]["Value"] == ["1.2.840.10008.5.1.4.1.1.7"]
    assert study["00201200"]["Value"] == [2]
    (everything,) = ask(client, "/studies?AccessionNumber=Q1&includefield=all")
    assert {"00080062", "00201200"} <= everything.keys()


def test_requests_stand_inside_their_sequence(client: FlaskClient) -> None:
    (series,) = ask(client, f"/studies/{STUDY}.1/series")
    (item,) = series["00400275"]["Value"]
    assert item == {
        "00400009": {"vr": "SH", "Value": ["S7"]},
        "00401001": {"vr": "SH", "Value": ["R9"]},
    }
    assert not {"00400009", "00401001"} & series.keys()
    (other,) = ask(client, f"/studies/{STUDY}.2/series")
    assert "00400275" not in other


def test_a_key_that_cannot_be_matched_is_named_in_a_warning(client: FlaskClient) -> None:
    answer = client.get("/dicom-web/studies?PatientWeight=80&limit=1")
    warnings = answer.headers.get_all("Warning")
    assert len(warnings) == 2
    assert all(one.startswith('299 eirhub "') for one in warnings)
    assert "PatientWeight" in warnings[1]
    assert "Warning" not in client.get("/dicom-web/studies").headers


def test_what_was_taken_back_is_answered_by_no_service(hub: Hub, client: FlaskClient) -> None:
    origin = origin_of(hub.access.sites.get("sijing"))
    for number in (1, 2):
        hub.archive.store_file(part10(instance(5, number)), origin)
    url = f"/studies/{STUDY}.5"
    instances = f"{url}/series/{STUDY}.5.1/instances"
    assert len(ask(client, f"{url}/instances")) == 2
    hub.archive.store_file(part10(rejection(5, 2)), origin)
    deliver_all_due(hub.database, hub.base.outbox)
    (left,) = ask(client, f"{url}/instances")
    assert left["00080018"]["Value"] == [f"{STUDY}.5.1.1"]
    (study,) = ask(client, "/studies?AccessionNumber=Q5")
    assert study["00201208"]["Value"] == [1]
    assert len(ask(client, f"{url}/metadata")) == 1
    for path in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail"):
        gone = client.get(f"/dicom-web{instances}/{STUDY}.5.1.2{path}")
        there = client.get(f"/dicom-web{instances}/{STUDY}.5.1.1{path}")
        assert (gone.status_code, there.status_code) == (404, 200), path
    uri = f"/wado?requestType=WADO&studyUID={STUDY}.5&seriesUID={STUDY}.5.1&objectUID={STUDY}.5.1."
    assert client.get(f"{uri}2").status_code == 404
    assert client.get(f"{uri}1").status_code == 200
