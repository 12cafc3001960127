"""STOW-RS: what is stored, what is refused and how it is said (PS3.18 10.5)."""

import gzip
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flask.testing import FlaskClient
from lxml import etree
from pydicom.uid import generate_uid
from werkzeug.test import TestResponse

from access_control.audit import AuditQuery
from access_control.model import Role
from tests.viewer_api.region import Region, part10, sample
from viewer_api.dicomweb import storing

BOUNDARY = "b0undary"
NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def instance(number: int, study: str, **changes: Any) -> bytes:
    """A CT of a person of these tests alone."""
    return part10(
        sample(
            "CT_small.dcm",
            PatientID="STOW1",
            PatientName="Stow^Test",
            AccessionNumber="STOW-1",
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.1",
            SOPInstanceUID=f"{study}.1.{number}",
            **changes,
        )
    )


def body_of(parts: Iterable[bytes], content_type: str = "application/dicom") -> bytes:
    pieces = [
        f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode() + part + b"\r\n"
        for part in parts
    ]
    return b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def modality(machine: Callable[..., FlaskClient]) -> FlaskClient:
    return machine(Role.TECHNICIAN, sites=("sijing",))


@pytest.fixture
def study() -> str:
    return str(generate_uid(prefix="2.25."))[:50]


def send(
    client: FlaskClient, body: bytes, path: str = "/dicom-web/studies", **headers: str
) -> TestResponse:
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    return client.post(path, data=body, headers={"Content-Type": kind, **headers})


def uids(answer: dict[str, Any], sequence: str) -> list[str]:
    items = answer.get(sequence, {"Value": []})["Value"]
    return [item["00081155"]["Value"][0] for item in items]


def test_all_stored_answers_200_with_where_each_is(
    region: Region, modality: FlaskClient, radiologist: FlaskClient, study: str
) -> None:
    parts = [instance(number, study) for number in (1, 2)]
    answer = send(modality, body_of(parts))
    assert answer.status_code == 200
    assert answer.mimetype == "application/dicom+json"
    found = answer.get_json(force=True)
    assert uids(found, "00081199") == [f"{study}.1.1", f"{study}.1.2"]
    assert "00081198" not in found
    assert found["00081190"]["Value"][0].endswith(f"/dicom-web/studies/{study}")
    (where,) = found["00081199"]["Value"][0]["00081190"]["Value"]
    stored = radiologist.get(where, headers={"Accept": "application/dicom"}, buffered=True)
    assert stored.status_code == 200
    record = region.hub.index.instance(f"{study}.1.1")
    assert record is not None
    assert region.hub.archive.open_dataset(f"{study}.1.1").read() in parts[0]
    assert send(modality, body_of(parts)).status_code == 200  # the same bytes again
    page = region.hub.access.audit.search(AuditQuery(resource_ids=frozenset({study}), limit=9))
    assert {(one.action, one.outcome) for one in page.records} >= {("store", "success")}


def test_media_types_are_read_in_any_case(modality: FlaskClient, study: str) -> None:
    kind = f'Multipart/Related; Type="Application/DICOM"; boundary="{BOUNDARY}"'
    answer = send(modality, body_of([instance(1, study)]), **{"Content-Type": kind})
    assert answer.status_code == 200


def test_one_instance_may_be_sent_without_parts(modality: FlaskClient, study: str) -> None:
    def alone(body: bytes) -> TestResponse:
        return send(modality, body, **{"Content-Type": "application/dicom"})

    stored = alone(instance(1, study))
    assert stored.status_code == 200
    assert uids(stored.get_json(force=True), "00081199") == [f"{study}.1.1"]
    # Parts that say to be none, and nothing at all, are no instance.
    for body in (body_of([instance(2, study)]), b""):
        refused = alone(body)
        assert refused.status_code == 409
        (other,) = refused.get_json(force=True)["0008119A"]["Value"]
        assert other["00081197"]["Value"] == [0xC000]


def test_some_stored_answers_202_and_says_what_failed(modality: FlaskClient, study: str) -> None:
    assert send(modality, body_of([instance(1, study)])).status_code == 200
    changed = instance(1, study, ImageComments="other bytes")
    answer = send(modality, body_of([instance(2, study), changed, b"no DICOM", b""]))
    assert answer.status_code == 202
    found = answer.get_json(force=True)
    assert uids(found, "00081199") == [f"{study}.1.2"]
    assert uids(found, "00081198") == [f"{study}.1.1"]
    assert found["00081198"]["Value"][0]["00081197"]["Value"] == [0x0111]
    others = [item["00081197"]["Value"] for item in found["0008119A"]["Value"]]
    assert others == [[0xC000], [0xC000]]


def test_none_stored_answers_409(modality: FlaskClient, study: str) -> None:
    answer = send(modality, body_of([b"junk"]))
    assert answer.status_code == 409
    other = send(modality, body_of([instance(1, study)]), f"/dicom-web/studies/{study}.9")
    assert other.status_code == 409
    failed = other.get_json(force=True)["00081198"]["Value"][0]
    assert failed["00081197"]["Value"] == [0xA900]
    cut = send(modality, body_of([instance(1, study)[:2000]]))
    assert cut.status_code == 409


def test_the_answer_is_xml_where_that_is_asked_for(modality: FlaskClient, study: str) -> None:
    answer = send(modality, body_of([instance(1, study), b"junk"]), Accept="application/dicom+xml")
    assert (answer.status_code, answer.mimetype) == (202, "application/dicom+xml")
    root = etree.fromstring(answer.data)
    assert root.tag == f"{NATIVE}NativeDicomModel"
    named = {node.get("keyword"): node for node in root}
    assert set(named) == {"RetrieveURL", "ReferencedSOPSequence", "OtherFailuresSequence"}
    reference = named["ReferencedSOPSequence"].find(
        f"{NATIVE}Item/{NATIVE}DicomAttribute[@keyword='ReferencedSOPInstanceUID']/{NATIVE}Value"
    )
    assert reference is not None
    assert reference.text == f"{study}.1.1"


def test_who_is_bound_to_no_one_site_or_may_not_store_is_refused_on_record(
    region: Region, machine: Callable[..., FlaskClient], radiologist: FlaskClient, study: str
) -> None:
    body = body_of([instance(1, study)])
    for client in (
        radiologist,
        machine(Role.TECHNICIAN, sites=("sijing", "jiuting")),
        machine(Role.CLINICIAN, sites=("sijing",)),
    ):
        before = region.hub.access.audit.head().sequence
        assert send(client, body).status_code == 404
        refused = region.hub.access.audit.search(AuditQuery(outcome="refused", limit=3)).records
        assert [one.action for one in refused if one.sequence > before] == ["store"]
    assert region.hub.index.instance(f"{study}.1.1") is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Content-Type": "application/dicom", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=x'}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Accept": "text/html"}, 406),
    ],
)
def test_what_cannot_be_taken_is_refused_before_it_is_stored(
    region: Region, modality: FlaskClient, study: str, headers: dict[str, str], status: int
) -> None:
    body = body_of([instance(1, study)])
    if "Content-Encoding" in headers:
        body = gzip.compress(body)
    assert send(modality, body, **headers).status_code == status
    assert region.hub.index.instance(f"{study}.1.1") is None


def test_too_many_parts_and_too_large_a_body_answer_413(
    modality: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "MOST_PARTS", 20)
    assert send(modality, body_of([b"x"] * 21)).status_code == 413
    assert send(modality, body_of([b"x"] * 20)).status_code == 409
    claimed = modality.post(
        "/dicom-web/studies", data=b"x", environ_overrides={"CONTENT_LENGTH": str(4 << 30)}
    )
    assert claimed.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no delimiter at all",
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\nbegun".encode(),
        f"--{BOUNDARY}\r\n".encode() + b"X: " + b"y" * 20_000,
        f"--{BOUNDARY}--\r\n".encode(),
    ],
)
def test_a_body_that_is_no_multipart_answers_400(modality: FlaskClient, body: bytes) -> None:
    answer = send(modality, body)
    assert answer.status_code == 400
    assert json.loads(answer.data)["error"]["status"] == 400


def test_a_part_of_another_type_fails_alone(modality: FlaskClient, study: str) -> None:
    mixed = body_of([b"<html>"], "text/html").removesuffix(f"--{BOUNDARY}--\r\n".encode())
    answer = send(modality, b"preamble\r\n" + mixed + body_of([instance(1, study)]))
    assert answer.status_code == 202
    assert uids(answer.get_json(force=True), "00081199") == [f"{study}.1.1"]


def test_a_delimiter_cut_by_the_pieces_is_found(modality: FlaskClient, study: str) -> None:
    # Bytes that look like the beginning of a delimiter, at every place of a piece.
    tail = (b"\r\n--" + BOUNDARY.encode()[:4]) * 40_000
    whole = instance(1, study, ImageComments="x") + tail
    assert send(modality, body_of([whole])).status_code in {200, 409}
    answer = send(modality, body_of([instance(2, study), instance(3, study)]))
    assert len(uids(answer.get_json(force=True), "00081199")) == 2


def test_no_address_inside_a_dataset_is_followed_or_given_out(
    modality: FlaskClient, radiologist: FlaskClient, study: str
) -> None:
    evil = "http://169.254.169.254/latest/meta-data"
    body = body_of([instance(1, study, RetrieveURL=evil, RetrieveURI=evil)])
    assert send(modality, body).status_code == 200
    (found,) = radiologist.get(f"/dicom-web/studies/{study}/metadata").get_json(force=True)
    assert found["00081190"]["Value"][0].startswith(f"http://localhost/dicom-web/studies/{study}")


def test_a_thousand_ranges_are_answered_as_none(radiologist: FlaskClient, region: Region) -> None:
    ranges = ",".join(f"{start}-{start}" for start in range(0, 2000, 2))
    answer = radiologist.get(
        f"{region.ct.url}/bulkdata/7FE00010",
        headers={"Range": f"bytes={ranges}", "Accept": "application/octet-stream"},
        buffered=True,
    )
    assert answer.status_code == 200
    assert answer.data == region.ct.dataset.PixelData
