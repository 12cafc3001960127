"""Has it arrived, the region at a glance, who saw what."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import CHEST_CT, EVIL_NAME, EXAMINATIONS, Region, archive


def lamps(page, name: str) -> list[str]:  # type: ignore[no-untyped-def]
    row = next(row for row in page.select("tbody tr") if name in row.get_text())
    return [lamp["class"][1].removeprefix("lamp-") for lamp in row.select("td.half .lamp")]


def test_a_technician_sees_the_own_sites_studies_of_today_with_their_lamps(
    signed_in: Callable[..., Browser],
) -> None:
    page = signed_in("tech").page("/arrivals")
    assert lamps(page, "王小东") == ["on", "on", "on", "on"]
    assert EVIL_NAME.replace("^", " ") in page.get_text()
    assert "赵敏" not in page.get_text()
    assert "J77" not in page.get_text()
    assert page.body["data-refresh-s"] == "30"


@pytest.mark.parametrize(("language", "words"), [("zh", "台账"), ("en", "Ledger of")])
def test_a_technician_goes_from_the_arrivals_to_the_ledger_of_the_own_site_alone(
    signed_in: Callable[..., Browser], language: str, words: str
) -> None:
    browser = signed_in("tech")
    links = browser.page(f"/arrivals?lang={language}").select('main a[href*="/ledger/"]')
    assert len(links) == 1
    assert words in links[0].get_text()
    ledger = browser.page(f"{links[0]['href']}?lang={language}")
    assert links[0].get_text() == ledger.select_one("h1").get_text()


@pytest.mark.parametrize("username", ["engineer", "boss"])
def test_who_runs_the_hub_follows_studies_and_sees_no_patient(
    signed_in: Callable[..., Browser], username: str
) -> None:
    page = signed_in(username).page("/arrivals")
    rows = [row.get_text(" ", strip=True) for row in page.select("tbody tr")]
    assert [row for row in rows if re.search(r"(CT|MR) scan.* 2026 .* [1-9]\d* yes Received", row)]
    shown = str(page.select_one("tbody"))
    for person in EXAMINATIONS:
        assert person.patient_id not in shown
        for part in person.name.replace("=", "^").split("^"):
            assert part not in shown
        assert not person.accession or person.accession not in shown
    assert [len(row.select("td.half")) for row in page.select("tbody tr")] == [4] * len(rows)
    assert len({len(row.select("td")) for row in page.select("tbody tr")}) == 1
    assert len(page.select("thead th")) == len(page.select("tbody tr")[0].select("td"))


def test_a_study_that_is_still_arriving_has_waiting_lamps(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    fresh = replace(
        EXAMINATIONS[0], uid="2.25.777", patient_id="L555", name="Sun^Li=孙^丽", slices=1
    )
    archive(region.hub, fresh)
    page = signed_in("tech").page("/arrivals")
    assert lamps(page, "孙丽") == ["wait", "on", "wait", "wait"]


def test_a_late_study_is_red_and_says_what_to_do(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    late = replace(
        EXAMINATIONS[0], uid="2.25.778", patient_id="L556", name="Qian^Er=钱^二", slices=1
    )
    archive(region.hub, late)
    with region.database.unit_of_work() as work:
        work.session.execute(
            text(
                "UPDATE study SET state = 'complete', generation = 1,"
                " completed_at = '2020-01-01 00:00:00' WHERE study_instance_uid = '2.25.778'"
            )
        )
    page = signed_in("tech").page("/arrivals")
    assert lamps(page, "钱二") == ["on", "on", "bad", "bad"]
    row = next(row for row in page.select("tbody tr") if "钱二" in row.get_text())
    assert "Nothing is lost; tell the regional centre" in row.get_text()
    assert "2.25.778" in row.get_text()


@pytest.mark.parametrize("username", ["doctor", "reader", "auditor"])
@pytest.mark.parametrize("path", ["/arrivals", "/region"])
def test_operations_are_closed_to_those_who_treat(
    signed_in: Callable[..., Browser], username: str, path: str
) -> None:
    assert signed_in(username).get(path).status_code == 404


@pytest.mark.parametrize("username", ["engineer", "boss"])
def test_the_region_shows_every_site_with_its_figures_and_no_patient(
    signed_in: Callable[..., Browser], username: str
) -> None:
    page = signed_in(username).page("/region")
    rows = [row.get_text(" ", strip=True) for row in page.select("tbody tr")]
    assert len(rows) == 3
    assert any("Sijing" in row and "SIJING" in row and "just now" in row for row in rows)
    assert "disk used" in page.select_one(".figures").get_text()
    assert "王小东" not in page.get_text()


def test_the_auditor_sees_who_saw_what_and_that_the_chain_holds(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    signed_in("doctor").page(f"/patients/{region.person}")
    page = signed_in("auditor").page("/audit")
    assert "Chain verified" in page.select_one(".pill-ok").get_text()
    assert "陈医师" in page.select_one("tbody").get_text()
    assert "王小东" not in page.get_text()


@pytest.mark.parametrize(
    "query", ["reader=doctor", "reader=DOCTOR&action=view_record", "outcome=success&reader=doctor"]
)
def test_the_trail_is_narrowed_by_reader_act_and_outcome(
    signed_in: Callable[..., Browser], region: Region, query: str
) -> None:
    signed_in("doctor").page(f"/patients/{region.person}")
    signed_in("reader").page(f"/studies/{CHEST_CT}/diagnostic")
    rows = signed_in("auditor").page(f"/audit?{query}").select("tbody tr")
    assert rows
    assert all("陈医师" in row.get_text() for row in rows)


def test_the_trail_goes_back_page_by_page(signed_in: Callable[..., Browser]) -> None:
    auditor = signed_in("auditor")
    for _ in range(51):
        auditor.get("/audit?about=none")
    first = auditor.page("/audit?reader=auditor")
    older = first.find("a", string="Older records")["href"]
    assert auditor.page(older).select("tbody tr")
    assert auditor.page("/audit?before=x&action=nonsense").select("tbody tr")


def test_a_broken_chain_cannot_be_overlooked(
    signed_in: Callable[..., Browser], region: Region
) -> None:
    auditor = signed_in("auditor")
    auditor.page("/audit")
    with region.database.read() as session:
        kept = session.execute(text("SELECT mac FROM audit_record WHERE sequence = 2")).scalar()
    try:
        with region.database.unit_of_work() as work:
            work.session.execute(text("DROP TRIGGER IF EXISTS audit_record_no_update"))
            work.session.execute(text("UPDATE audit_record SET mac = 'x' WHERE sequence = 2"))
        alert = auditor.page("/audit").select_one("[role=alert]").get_text()
        assert "broken at record 2" in alert
        assert "security officer" in alert
    finally:
        with region.database.unit_of_work() as work:
            work.session.execute(
                text("UPDATE audit_record SET mac = :mac WHERE sequence = 2"), {"mac": kept}
            )


@pytest.mark.parametrize("username", ["doctor", "tech", "engineer"])
def test_the_trail_is_closed_to_others(signed_in: Callable[..., Browser], username: str) -> None:
    assert signed_in(username).get("/audit").status_code == 404


@pytest.mark.parametrize(("language", "words"), [("zh", "站点配额"), ("en", "Quotas of the sites")])
def test_quotas_are_shown_before_and_after_they_are_used_up(
    signed_in: Callable[..., Browser], region: Region, language: str, words: str
) -> None:
    hub = region.hub
    site = hub.access.sites.get("sijing")
    hub.usage.received("sijing", 900)
    used = hub.usage.today("sijing").received_bytes
    try:
        for allowed, state in ((10 * used, "on"), (used * 10 // 9, "wait"), (used, "bad")):
            hub.access.sites.add(replace(site, max_bytes_per_day=allowed), replace=True)
            page = signed_in("engineer", language).page("/sites/usage")
            assert words in page.select_one("h1").get_text()
            assert [lamp["class"][1] for lamp in page.select(".quota .lamp")] == [f"lamp-{state}"]
    finally:
        hub.access.sites.add(site, replace=True)
    assert signed_in("doctor").get("/sites/usage").status_code == 404
