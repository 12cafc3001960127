"""Forwarding as an engineer sees it: what waits, why, and what can be done about it."""

from collections.abc import Callable

import pytest

from access_control.audit import AuditQuery
from dicom_router.forwarding.breaker import Breaker
from dicom_router.forwarding.ledger import Ledger
from dicom_router.forwarding.model import Claim, Promise, Result
from dicom_router.forwarding.verdicts import Verdict
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import Region

UIDS = [f"2.25.90{number}" for number in range(3)]


def promise(uid: str, destination: str = "county-pacs") -> Promise:
    return Promise(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_instance_uid="2.25.9",
        site_id="sijing",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        dataset_sha256="a" * 64,
        dataset_bytes=1000,
        destination=destination,
        rule="stroke",
        wanted_syntax="as-stored",
        priority=2,
        schedule="",
    )


@pytest.fixture
def ledger(region: Region) -> Ledger:
    """One row parked, one tried in vain, one waiting, and a destination that fails."""
    found = Ledger(region.database)
    with region.database.unit_of_work() as work:
        ids = found.promise(work.session, [promise(uid) for uid in UIDS])
    if ids:
        found.claim(Claim("county-pacs", "w:1", frozenset({""})))
        results = [
            Result(ids[0], Verdict.PARK, "0xC000", "cannot understand <b>"),
            Result(ids[1], Verdict.RETRY, "0xA700", "out of resources"),
        ]
        with region.database.unit_of_work() as work:
            found.record(work.session, "w:1", results, committing=False)
        found.give_back("w:1", ids)
        Breaker(region.database, "county-pacs").failed("no connection: refused")
    return found


def row_of(ledger: Ledger, uid: str) -> int:
    return next(i.item_id for i in ledger.items_of("2.25.9") if i.sop_instance_uid == uid)


def test_an_engineer_sees_every_destination_with_its_queue_and_its_error(
    signed_in: Callable[..., Browser], ledger: Ledger
) -> None:
    page = signed_in("engineer").page("/forwarding")
    row = next(r for r in page.select("tbody tr") if "county-pacs" in r.get_text())
    text = row.get_text(" ", strip=True)
    assert "Fails; tried again by itself" in text
    assert "no connection: refused" in text
    assert "Nobody answers there. See to the line and to the destination." in text
    assert "No longer in the settings" in text
    assert "Try now" in text


def test_the_page_speaks_chinese(signed_in: Callable[..., Browser], ledger: Ledger) -> None:
    browser = signed_in("engineer", "zh")
    page = browser.page("/forwarding").get_text()
    assert "失败；会自动重试" in page
    assert "对方没有应答。请检查线路和目的地。" in page
    parked = browser.page("/forwarding/county-pacs?state=parked").get_text()
    assert "目的地无法读取它。请在来源处更正，或保持搁置。" in parked


def test_what_is_parked_says_what_to_do_and_shows_the_answer_as_text(
    signed_in: Callable[..., Browser], ledger: Ledger
) -> None:
    page = signed_in("engineer").page("/forwarding/county-pacs?state=parked")
    text = page.get_text(" ", strip=True)
    assert "0xC000" in text
    assert "Correct it at its source, or leave it parked." in text
    assert "cannot understand <b>" in text


def test_a_parked_row_is_sent_again_by_a_button_and_that_is_on_record(
    signed_in: Callable[..., Browser], ledger: Ledger, region: Region
) -> None:
    row_id = row_of(ledger, UIDS[0])
    browser = signed_in("engineer")
    browser.send(f"/forwarding/rows/{row_id}", f"/forwarding/rows/{row_id}/retry")
    assert ledger.item(row_id).state == "queued"
    records = region.hub.access.audit.search(AuditQuery(action="operate")).records
    assert any(f"retry row {row_id}" in record.detail for record in records)


def test_a_waiting_row_is_parked_with_a_reason(
    signed_in: Callable[..., Browser], ledger: Ledger
) -> None:
    row_id = row_of(ledger, UIDS[2])
    browser = signed_in("engineer")
    browser.send(
        f"/forwarding/rows/{row_id}", f"/forwarding/rows/{row_id}/park", reason="sent by disc"
    )
    item = ledger.item(row_id)
    assert item.state == "parked"
    assert "sent by disc" in item.last_comment


def test_a_destination_is_held_and_resumed(
    signed_in: Callable[..., Browser], ledger: Ledger, region: Region
) -> None:
    browser, place = signed_in("engineer"), "/forwarding/county-pacs"
    browser.send(place, f"{place}/hold")
    assert region.hub.forwarding.desk.destination("county-pacs").breaker == "held"
    assert "nothing is sent there" in browser.page(place).get_text()
    browser.send(place, f"{place}/resume")
    assert region.hub.forwarding.desk.destination("county-pacs").breaker != "held"


def test_without_the_form_token_nothing_happens(
    signed_in: Callable[..., Browser], ledger: Ledger, region: Region
) -> None:
    browser = signed_in("engineer")
    assert browser.post("/forwarding/county-pacs/hold").status_code == 403
    assert region.hub.forwarding.desk.destination("county-pacs").breaker != "held"


def test_a_manager_looks_and_does_not_touch(
    signed_in: Callable[..., Browser], ledger: Ledger
) -> None:
    browser = signed_in("boss")
    page = browser.page("/forwarding/county-pacs")
    assert "Try now" not in page.get_text()
    answer = browser.send("/forwarding/county-pacs", "/forwarding/county-pacs/hold")
    assert answer.status_code == 404


@pytest.mark.parametrize("username", ["doctor", "reader", "auditor", "tech"])
def test_forwarding_is_closed_to_others(
    signed_in: Callable[..., Browser], ledger: Ledger, username: str
) -> None:
    assert signed_in(username).get("/forwarding").status_code == 404
    assert signed_in(username).get("/forwarding/county-pacs").status_code == 404


def test_what_does_not_exist_answers_404(signed_in: Callable[..., Browser], ledger: Ledger) -> None:
    browser = signed_in("engineer")
    assert browser.get("/forwarding/nowhere").status_code == 404
    assert browser.get("/forwarding/rows/99999999").status_code == 404
