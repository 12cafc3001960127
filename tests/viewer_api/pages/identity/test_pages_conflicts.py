"""The conflict desk as registrars and engineers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy
import pytest

from access_control.audit import AuditQuery
from access_control.authority import CertificateRequest
from hub_kernel.errors import HubError
from hub_runtime.conflict_room import conflict_room
from hub_runtime.own_tls import certificate_authority
from image_archive.conflicts import CaseQuery
from image_archive.model import InstanceOrigin
from tests.image_archive.datasets import Sender, ct_slice, encoded
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk

WHY = "looked at both"


@dataclass(frozen=True)
class Parked:
    """Two versions of one instance: the archived one and the one kept apart."""

    url: str
    sop_instance_uid: str
    first: bytes
    later: bytes


@pytest.fixture
def central(desk: Desk) -> Sender:
    site = desk.region.hub.access.sites.get("central")
    origin = InstanceOrigin("central", site.assigning_authority, "CENTRAL", "EIRHUB", "127.0.0.1")
    return Sender(desk.region.hub.archive, origin)


def pixels(value: int) -> dict[str, object]:
    """Something a picture can be made of."""
    samples = numpy.full((64, 64), value, dtype="<u2")
    return {
        "Rows": 64,
        "Columns": 64,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": samples.tobytes(),
    }


@pytest.fixture
def parked(desk: Desk, central: Sender, numbers: Iterator[int]) -> Parked:
    number = next(numbers)
    uid = f"1.2.77.{number}"
    same = {
        "StudyInstanceUID": uid,
        "SeriesInstanceUID": f"{uid}.1",
        "PatientID": f"CONFLICT{number}",
        "PatientName": "Zhou^Ping",
        "AccessionNumber": f"CONFLICT{number}",
    }
    first = encoded(ct_slice(1, SOPInstanceUID=f"{uid}.1.1", **same, **pixels(100)))
    later = encoded(
        ct_slice(1, SOPInstanceUID=f"{uid}.1.1", **same, **pixels(900), StudyDescription="<b>胸")
    )
    central.send_bytes(first, f"{uid}.1.1")
    with pytest.raises(HubError):
        central.send_bytes(later, f"{uid}.1.1")
    return Parked(newest(desk), f"{uid}.1.1", first, later)


def newest(desk: Desk) -> str:
    return (
        f"/conflicts/{conflict_room(desk.region.hub).resolver.cases.page(CaseQuery())[0].case_key}"
    )


def live(desk: Desk, parked: Parked) -> bytes:
    with desk.region.hub.archive.open_dataset(parked.sop_instance_uid) as stream:
        return stream.read()


def test_a_case_is_listed_and_counted_in_the_menu(registrar: Browser, parked: Parked) -> None:
    page = registrar.page("/conflicts?site=central")
    assert page.select_one(f'a[href="{parked.url}"]')
    assert int(page.select_one(".badge-count").find(string=True)) >= 1
    assert not registrar.page("/conflicts?site=remote").select_one(f'a[href="{parked.url}"]')


def test_what_agrees_and_what_differs_stand_side_by_side(
    registrar: Browser, parked: Parked
) -> None:
    page = registrar.page(parked.url)
    rows = {row.th.get_text(): row for row in page.select("tbody tr")}
    assert "agrees" in rows["Patient ID"]["class"]
    assert "differs" in rows["Examination"]["class"]
    assert "differs" in rows["SHA-256 of the dataset"]["class"]
    assert "<b>胸" in rows["Examination"].get_text()  # inert
    text = page.get_text(" ", strip=True)
    assert "0x0111" in text
    assert "StudyDescription" in text
    assert "The pixels differ." in text
    for picture in page.select("img.thumb"):
        assert registrar.get(picture["src"]).content_type == "image/jpeg"
    assert len(page.select("img.thumb")) == 2


def test_the_desk_speaks_chinese(signed_in: Callable[..., Browser], parked: Parked) -> None:
    text = signed_in("registrar", "zh").page(parked.url).get_text(" ", strip=True)
    assert "同一图像，内容不同" in text
    assert "保留已归档的" in text


def test_the_later_replaces_the_first_on_record_and_back_again(
    registrar: Browser, parked: Parked, desk: Desk
) -> None:
    assert registrar.send(parked.url, verdict="replace", reason=WHY).status_code == 303
    assert live(desk, parked) == parked.later
    record = desk.region.hub.access.audit.search(AuditQuery(limit=5)).records
    assert any(one.action == "resolve_conflict" and WHY in one.detail for one in record)
    button = registrar.page(parked.url).select_one("button[name=undo]")
    assert registrar.send(parked.url, undo=button["value"]).status_code == 303
    assert live(desk, parked) == parked.first


def test_a_decision_wants_a_reason_and_a_verdict_that_fits(
    registrar: Browser, parked: Parked, desk: Desk
) -> None:
    for fields in ({"verdict": "replace"}, {"verdict": "accept", "reason": WHY}, {"reason": WHY}):
        assert registrar.send(parked.url, **fields).status_code == 422
    assert live(desk, parked) == parked.first


def test_a_decision_from_another_page_is_refused(registrar: Browser, parked: Parked) -> None:
    assert registrar.post(parked.url, verdict="replace", reason=WHY).status_code == 403


@pytest.mark.parametrize(
    ("username", "status"),
    [("local", 200), ("far", 404), ("doctor", 404), ("tech", 404), ("engineer", 404)],
)
def test_only_the_registrar_of_the_site_sees_the_case(
    signed_in: Callable[..., Browser], parked: Parked, username: str, status: int
) -> None:
    assert signed_in(username).get(parked.url).status_code == status


def test_what_cannot_be_read_is_an_inert_attachment_for_the_engineer(
    signed_in: Callable[..., Browser], central: Sender, desk: Desk, numbers: Iterator[int]
) -> None:
    rubbish = f"<script>alert({next(numbers)})</script>".encode()
    with pytest.raises(HubError):
        central.send_bytes(rubbish)
    url = newest(desk)
    engineer = signed_in("engineer")
    link = engineer.page(url).select_one("a[download]")
    answer = engineer.get(link["href"])
    assert answer.data.endswith(rubbish)
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_case_is_not_found(registrar: Browser) -> None:
    assert registrar.get("/conflicts/nothing").status_code == 404
    assert registrar.get("/conflicts/%27%20OR%201=1").status_code == 404


def test_the_region_page_warns_of_certificates_and_quotas(
    signed_in: Callable[..., Browser], desk: Desk
) -> None:
    hub = desk.region.hub
    site = hub.access.sites.get("jiuting")
    hub.access.sites.add(replace(site, tls_only=True), replace=True)
    assert "nothing is admitted" in signed_in("engineer").page("/region").get_text()
    made = certificate_authority(hub.settings, hub.base.clock).issue(
        CertificateRequest("jiuting", days=9)
    )
    hub.trust.certificates.bind_site("jiuting", made.certificate_pem)
    hub.access.sites.add(replace(site, max_bytes_per_day=1), replace=True)
    hub.usage.received("jiuting", 5)
    hub.usage.flush()
    text = signed_in("engineer").page("/region").get_text(" ", strip=True)
    assert "The certificate ends in 8 days" in text
    assert "The quota of today is used up" in text
