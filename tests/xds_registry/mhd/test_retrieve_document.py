"""ITI-68: a document's bytes go out as they came, whole or in part, to whom they may."""

import base64

import pytest
import requests

from access_control.model import Role
from tests.xds_registry.mhd.endpoint import TEXT, Fhir, location, one_document
from xds_registry.tables import RepositoryDocumentRow

LONG = bytes(range(256)) * 4096


@pytest.fixture
def where(fhir: Fhir) -> str:
    fhir.hub.know("L-1")
    return location(fhir.post("", one_document()), 2)


def _get(fhir: Fhir, path: str, **headers: str) -> requests.Response:
    return fhir.send("GET", path, headers=headers)


def test_the_bytes_have_their_own_type_and_cannot_act(fhir: Fhir, where: str) -> None:
    answer = _get(fhir, where)
    assert answer.content == TEXT
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Content-Length"] == str(len(TEXT))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_whoever_takes_the_type_gets_the_bytes(fhir: Fhir, where: str) -> None:
    for accept in ("text/plain", "*/*", "text/*;q=0.5", "image/png, */*"):
        assert _get(fhir, where, Accept=accept).content == TEXT


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/fhir+xml"])
def test_who_asks_for_fhir_gets_a_binary(fhir: Fhir, where: str, accept: str) -> None:
    answer = _get(fhir, where, Accept=accept)
    assert answer.headers["Content-Type"].startswith(accept)
    if accept.endswith("json"):
        said = answer.json()
        assert base64.b64decode(said["data"]) == TEXT
        assert said["contentType"] == "text/plain"
    else:
        assert base64.b64encode(TEXT) in answer.content


def test_another_type_is_not_acceptable(fhir: Fhir, where: str) -> None:
    answer = _get(fhir, where, Accept="application/pdf")
    assert answer.status_code == 406
    assert "text/plain" in answer.text


def test_a_range_is_that_part_of_the_bytes(fhir: Fhir) -> None:
    fhir.hub.know("L-1")
    where = location(fhir.post("", one_document("long", LONG)), 2)
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=262140-524300", 262140, 524301),
        ("bytes=1048570-9999999", 1048570, None),
    ):
        answer = _get(fhir, where, Range=asked)
        part = LONG[start:end]
        first = start if start >= 0 else len(LONG) + start
        assert (answer.status_code, answer.content) == (206, part), asked
        last = first + len(part) - 1
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(LONG)}"


def test_a_range_beyond_the_end_cannot_be_satisfied(fhir: Fhir, where: str) -> None:
    answer = _get(fhir, where, Range="bytes=99999-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(TEXT)}"


def test_what_is_no_single_range_is_answered_with_the_whole(fhir: Fhir, where: str) -> None:
    for asked in ("bytes=a-b", "lines=1-2", "bytes=5-2", "bytes=0-1,3-4"):
        answer = _get(fhir, where, Range=asked)
        assert (answer.status_code, answer.content) == (200, TEXT), asked


def test_a_head_says_the_length_alone(fhir: Fhir, where: str) -> None:
    answer = fhir.send("HEAD", where)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(TEXT))


def test_who_may_not_see_the_patient_gets_nothing(fhir: Fhir, where: str) -> None:
    assert fhir.as_(Role.CLINICIAN, frozenset({"t2"})).get(where).status_code == 404
    assert fhir.as_(Role.CLINICIAN, frozenset({"t1"})).get(where).content == TEXT
    assert fhir.as_(Role.MANAGER).get(where).status_code == 403
    assert fhir.get("Binary/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee").status_code == 404
    assert fhir.get("Binary/no-such").status_code == 404


def test_bytes_that_have_changed_are_never_given_out(fhir: Fhir, where: str) -> None:
    with fhir.hub.database.unit_of_work() as work:
        row = work.session.query(RepositoryDocumentRow).one()
        row.sha256 = "0" * 64
    answer = _get(fhir, where)
    assert answer.status_code == 410
    assert "XDSRepositoryError" in answer.text


def test_a_retrieval_is_audited_with_the_document(fhir: Fhir, where: str) -> None:
    _get(fhir, where)
    record = fhir.audited()[0]
    assert (record.action, record.outcome, record.transaction) == (
        "retrieve_document",
        "success",
        "ITI-68",
    )
    assert record.resource_kind == "document" and record.resource_id
