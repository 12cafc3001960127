"""Reports on the pages: who reads what, in which words, and what a link never shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from access_control.model import Role, Site
from access_control.shared_links import ShareRequest
from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import Settings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import PDF, pdf_report, report
from tests.eir_versions.hubs import STUDY, slice_of
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import PASSWORD, Region

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.913")
ORIGIN = InstanceOrigin("east", EAST, "EASTCT", "EIRHUB", "127.0.0.1")
NAMED = "患者 Test Only，住院号 REPORTS-7：未见异常"


@dataclass
class Ward:
    """A hub with one study: a superseded, a signed and a preliminary report, and a signed PDF."""

    hub: Hub
    application: object

    def browser(self, language: str = "en") -> Browser:
        return Browser(cast("Region", self), language)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    data: Path = tmp_path_factory.mktemp("reports") / "data"
    hub = build_hub(Settings.model_validate({"hub": {"data_dir": data}}))
    hub.open()
    site = Site("east", "东院", "East", "East", "township", ("EASTCT",), ("127.0.0.1/32",), EAST)
    hub.access.sites.add(site)
    doctor = frozenset({Role.CLINICIAN})
    hub.access.accounts.add_user("doctor", PASSWORD, doctor, frozenset({"east"}), "陈医师")
    hub.access.accounts.add_user("stranger", PASSWORD, doctor, frozenset({"west"}), "外院")
    named = {"PatientID": "REPORTS-7", "PatientName": "Test^Only"}
    datasets = [
        slice_of(0, **named),
        report(1, "旧的结论"),
        report(2, NAMED, after=1),
        report(3, "<script>alert(1)</script> 草稿", verified=False),
        pdf_report(4),
    ]
    for dataset in datasets:
        dataset.PatientID = "REPORTS-7"
        hub.archive.store_file(part10(dataset), ORIGIN)
    with hub.database.unit_of_work() as work:
        work.publish(
            new_event(
                StudyCompleted, work.clock, study_instance_uid=STUDY, site_id="east", generation=1
            )
        )
    deliver_all_due(hub.database, hub.base.outbox)
    yield Ward(hub, hub.wsgi())
    hub.close()


def ids(ward: Ward) -> dict[str, str]:
    found = ward.hub.eir.reports.standing(STUDY, ward.hub.index.instances_of(STUDY))
    return {one.report.source_key.rpartition(".")[2]: one.report.report_id for one in found}


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ("Signed", "Superseded")), ("zh", ("已签发", "已更正"))],
)
def test_a_doctor_reads_every_report_with_its_standing(
    ward: Ward, language: str, words: tuple[str, str]
) -> None:
    browser = ward.browser(language)
    browser.sign_in("doctor")
    text = browser.page(f"/studies/{STUDY}/clinical").get_text(" ")
    assert NAMED in text
    assert "旧的结论" not in text
    for word in words:
        assert word in text
    old = browser.page(f"/studies/{STUDY}/reports/{ids(ward)['1']}").get_text(" ")
    assert "旧的结论" in old
    assert words[1] in old


def test_a_report_is_text_and_never_markup(ward: Ward) -> None:
    browser = ward.browser()
    browser.sign_in("doctor")
    answer = browser.get(f"/studies/{STUDY}/reports/{ids(ward)['3']}")
    assert "<script>alert(1)" not in answer.get_data(as_text=True)


def test_a_pdf_is_framed_and_confined(ward: Ward) -> None:
    browser = ward.browser()
    browser.sign_in("doctor")
    address = f"/studies/{STUDY}/reports/{ids(ward)['4']}"
    assert browser.page(address).select_one(f'iframe[src="{address}/document"]')
    answer = browser.get(f"{address}/document")
    assert answer.data == PDF
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_whoever_may_not_see_the_study_reads_no_report(ward: Ward) -> None:
    browser = ward.browser()
    browser.sign_in("stranger")
    for report_id in ids(ward).values():
        for tail in ("", "/document"):
            address = f"/studies/{STUDY}/reports/{report_id}{tail}"
            assert browser.get(address).status_code == 404


def test_the_public_reads_what_is_in_force_and_nobodys_name(ward: Ward) -> None:
    links, clock = ward.hub.access.links, ward.hub.base.clock
    study = ward.hub.index.study(STUDY)
    assert study is not None
    person = ward.hub.patients.resolve(study.patient) or ""
    made = links.create(ShareRequest(STUDY, person, "doctor", clock.now() + timedelta(days=1)))
    browser = ward.browser("zh")
    browser.send(f"/share/{made.token}", passcode=made.passcode)
    page = soup(browser.get("/share/exam"))
    text = page.get_text(" ")
    assert "未见异常" in text
    for hidden in ("Test Only", "REPORTS-7", "旧的结论", "草稿", "Li Doctor"):
        assert hidden not in text
    assert not page.select("iframe")
    assert "不通过链接展示" in text, "the signed PDF is named, not shown"


def test_the_record_says_that_a_report_is_signed(ward: Ward) -> None:
    study = ward.hub.index.study(STUDY)
    assert study is not None
    browser = ward.browser()
    browser.sign_in("doctor")
    person = ward.hub.patients.resolve(study.patient)
    assert "Report signed" in browser.page(f"/patients/{person}").get_text(" ")
