"""Refused submissions: listed, shown with every reason, corrected, sent again, or set aside."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from access_control.audit import AuditQuery
from access_control.model import Role, Subject, SubjectKind
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.identity.desk import Desk
from tests.xds_registry import provided
from tests.xds_registry.provided import described
from tests.xds_registry.samples import submission
from xds_registry.received_parts import Reception
from xds_registry.transacting import Asked

SOURCE = Subject(
    SubjectKind.MACHINE,
    "his-sijing",
    "HIS 泗泾",
    frozenset({Role.DOCUMENT_SOURCE}),
    None,
)
UNKNOWN = "G-9^^^&amp;1.2.3&amp;ISO"


@dataclass(frozen=True)
class Refused:
    """A submission for a patient nobody knows, and the patient it is really for."""

    refusal_id: int
    cx: str

    @property
    def url(self) -> str:
        return f"/submissions/refused/{self.refusal_id}"


@pytest.fixture
def refused(desk: Desk) -> Refused:
    hub = desk.hub
    hub.database.create_all()
    name = uuid.uuid4().hex
    entry = described("G-9^^^&1.2.3&ISO", name)
    body = provided.body(submission(entry), {entry.entry_uuid: "cid:a@test"})
    with Reception(hub.base.backend, 1000) as reception:
        parts = {"a@test": reception.keep("application/dicom", [name.encode()])}
        asked = Asked(body, SOURCE, "10.21.0.7", parts)
        answer = hub.registry.repository_app.carry_out(provided.ITI41, asked)
    assert answer.refusals
    number = f"S{name[:8]}"
    desk.arrives("sijing", number, "Qian^Duo=钱^多", "1971-02-03")
    person = desk.person("sijing", number)
    cx = hub.patients.global_identifier(person).cx.replace("&", "&amp;")
    return Refused(hub.registry.refused.page()[0].refusal_id, cx)


def corrected(registrar: Browser, refused: Refused) -> str:
    text = registrar.page(refused.url).select_one("textarea").get_text()
    return text.replace(UNKNOWN, refused.cx)


def test_a_refused_submission_is_listed_with_its_sender_and_the_reason(
    registrar: Browser, refused: Refused
) -> None:
    row = registrar.page("/submissions/refused").select_one(f'tr:has(a[href="{refused.url}"])')
    text = row.get_text(" ", strip=True)
    assert "HIS 泗泾" in text
    assert "XDSUnknownPatientId" in text
    assert "G-9" not in text


def test_every_reason_is_shown_in_the_readers_language(
    signed_in: Callable[..., Browser], refused: Refused
) -> None:
    alert = signed_in("registrar").page(refused.url).select_one("[role=alert]").get_text()
    assert "this patientId is not known" in alert
    assert "G-9" in alert
    assert "登记库不认识该患者标识" in signed_in("registrar", "zh").page(refused.url).get_text()


def test_corrected_and_sent_again_it_is_registered_under_its_senders_name(
    desk: Desk, registrar: Browser, refused: Refused
) -> None:
    answer = registrar.send(refused.url, f"{refused.url}/replay", xml=corrected(registrar, refused))
    assert answer.status_code == 303, answer.get_data(as_text=True)
    assert registrar.page(refused.url).select_one("textarea") is None
    listed = registrar.get("/submissions/refused").get_data(as_text=True)
    assert f'href="{refused.url}"' not in listed
    done = registrar.get("/submissions/refused?state=replayed").get_data(as_text=True)
    assert f'href="{refused.url}"' in done
    records = desk.hub.access.audit.search(AuditQuery()).records
    submitted = next(one for one in records if one.action == "submit_documents")
    assert (submitted.subject_id, submitted.outcome) == ("his-sijing", "success")
    assert "replayed by" in submitted.detail


def test_refused_again_the_correction_is_not_lost(registrar: Browser, refused: Refused) -> None:
    xml = registrar.page(refused.url).select_one("textarea").get_text()
    answer = registrar.send(refused.url, f"{refused.url}/replay", xml=xml.replace("G-9", "G-8"))
    assert answer.status_code == 422
    page = soup(answer)
    assert "G-8" in page.select_one("textarea").get_text()
    assert "Refused again" in page.get_text()


def test_hostile_text_stays_text(registrar: Browser, refused: Refused) -> None:
    xml = "<a>&lt;script&gt;alert(1)&lt;/script&gt;</textarea><script>alert(2)</script></a>"
    page = soup(registrar.send(refused.url, f"{refused.url}/replay", xml=xml))
    assert not [one for one in page.select("script") if "alert" in one.get_text()]
    assert page.select_one("textarea").get_text().strip() == xml


def test_set_aside_it_says_by_whom_and_why(registrar: Browser, refused: Refused) -> None:
    answer = registrar.send(refused.url, f"{refused.url}/dismiss", reason="sent by mistake")
    assert answer.status_code == 303
    assert "sent by mistake" in registrar.page(refused.url).get_text()


def test_who_runs_the_hub_sees_reasons_and_no_submission(
    signed_in: Callable[..., Browser], refused: Refused
) -> None:
    engineer = signed_in("engineer")
    page = engineer.get("/submissions/refused")
    assert page.status_code == 200
    assert "XDSUnknownPatientId" in page.get_data(as_text=True)
    assert "G-9" not in page.get_data(as_text=True)
    assert engineer.get(refused.url).status_code == 404


@pytest.mark.parametrize("who", ["doctor", "reader", "tech", "auditor"])
def test_nobody_else_learns_that_there_is_a_desk(
    signed_in: Callable[..., Browser], refused: Refused, who: str
) -> None:
    browser = signed_in(who)
    assert browser.get("/submissions/refused").status_code == 404
    assert browser.get(refused.url).status_code == 404
    assert browser.get(f"/api/v1{refused.url}").status_code == 404


def test_the_api_lists_shows_and_replays(registrar: Browser, refused: Refused) -> None:
    listed = registrar.get("/api/v1/submissions/refused").get_json()
    assert refused.refusal_id in [one["refusal_id"] for one in listed["submissions"]]
    one = registrar.get(f"/api/v1{refused.url}").get_json()
    assert one["documents"][0]["content_id"] == "a@test"
    assert "storage_key" not in one["documents"][0]
    assert one["reasons"][0]["zh"]
