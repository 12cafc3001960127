"""The desk of waiting reports: who sees which, in which words, and when a row goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from eir_versions.reports import desk as reasons
from eir_versions.reports import ledger
from eir_versions.reports.ledger import Belonging
from eir_versions.reports.model import ReportLine, ReportStatus, ReportText
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk
from tests.viewer_api.pages.region import FOREIGN, NAMESAKE_CT

PAGE = "/reports/waiting"
ISSUED = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"
SECRET = "右肺上叶结节"
SIJING = AssigningAuthority("SIJING", "1.2.826.99.1")
Reader = Callable[..., Browser]


def received(desk: Desk, key: str, belonging: Belonging, **said: object) -> None:
    """Put a report on record as the doors do, through the ledger."""
    text: dict[str, object] = {
        "source_key": f"hl7:waiting-{key}", "chain_key": f"order:waiting-{key}", "kind": "oru",
        "status": ReportStatus.FINAL, "title": f"报告 {key}", "author": "李医师",
        "issued_at": ISSUED, "lines": (ReportLine(SECRET, "所见"),),
    }  # fmt: skip
    found = ReportText(**{**text, **said})  # type: ignore[arg-type]
    with desk.database.unit_of_work() as work:
        assert ledger.add_report(work.session, found, belonging, work.clock.now(), None)


def without_study(why: str, number: str, *sites: str) -> Belonging:
    return Belonging(
        waiting=why,
        sender="RIS|SIJING",
        site_ids=frozenset(sites),
        accession_number=number,
        patients=(PatientIdentifier(f"P-{number}", SIJING),),
        keys=(f"acc:{number}",),
    )


def of_study(uid: str, site: str) -> Belonging:
    return Belonging(study_instance_uid=uid, sender="RIS|SIJING", site_ids=frozenset({site}))


@pytest.fixture(scope="module")
def waiting(desk: Desk) -> Iterator[Desk]:
    received(desk, "A", without_study(reasons.NO_STUDY, "WR-1", "sijing"))
    received(desk, "B", without_study(reasons.SEVERAL_STUDIES, "WR-2", "central"))
    received(desk, "C", without_study(reasons.OTHER_PATIENT, "WR-3", "sijing", "central"))
    received(desk, "D", without_study(reasons.NO_STUDY, "WR-4"), title=EVIL, author=EVIL)
    draft = {"status": ReportStatus.PRELIMINARY}
    received(desk, "E", of_study(FOREIGN, "central"), **draft)
    received(desk, "F", of_study(NAMESAKE_CT, "sijing"), **draft)
    broken = {"kind": "sr", "status": ReportStatus.UNREADABLE, "title": "", "lines": ()}
    gone = {**broken, "source_key": f"sop:{FOREIGN}.9.9"}
    received(desk, "G", of_study(FOREIGN, "central"), **gone)
    here = {**broken, "source_key": f"sop:{FOREIGN}.1.1", "title": "报告 H"}
    received(desk, "H", of_study(FOREIGN, "central"), **here)
    yield desk
    # The region is everybody's: nothing of ours stays with studies that others look at.
    with desk.database.unit_of_work() as work:
        for row in work.session.query(ledger.EirReportRow).all():
            if "waiting-" in row.chain_key:
                work.session.query(ledger.EirReportKeyRow).filter_by(
                    report_id=row.report_id
                ).delete()
                work.session.delete(row)


def titles(text: str) -> str:
    return "".join(key for key in "ABCDEFGH" if f"报告 {key}" in text)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "zh",
            ("尚未收到该检查号对应的检查", "属于另一人", "请报告医师签发", "请机构重新生成文档"),
        ),
        ("en", ("has arrived", "of somebody else", "Ask the author to sign it", "document anew")),
    ],
)
def test_a_registrar_of_the_region_sees_what_waits_and_what_to_do(
    waiting: Desk, signed_in: Reader, language: str, words: tuple[str, ...]
) -> None:
    page = signed_in("registrar", language).page(PAGE).get_text(" ")
    assert titles(page) == "ABCEFH"
    assert [word for word in words if word not in page] == []
    assert "WR-1" in page
    assert "P-WR-3" in page
    # What the report says is for those who treat.
    assert SECRET not in page


def test_a_registrar_sees_the_reports_of_their_own_sites_alone(
    waiting: Desk, signed_in: Reader
) -> None:
    page = signed_in("local").page(PAGE).get_text(" ")
    # C concerns two sites, D none that is known: both are for who has them all.
    assert titles(page) == "BEH"
    far = signed_in("far").page(PAGE).get_text(" ")
    assert titles(far) == ""
    assert "No report waits for its examination" in far
    assert "Every report is signed" in far


@pytest.mark.parametrize("username", ["doctor", "reader", "tech", "engineer", "auditor"])
def test_nobody_else_has_such_a_page(waiting: Desk, signed_in: Reader, username: str) -> None:
    assert signed_in(username).get(PAGE).status_code == 404


def test_what_a_sender_writes_is_text(waiting: Desk, signed_in: Reader) -> None:
    page = signed_in("registrar").get(PAGE).get_data(as_text=True)
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_draft_goes_away_when_its_report_is_signed(waiting: Desk, signed_in: Reader) -> None:
    chain = {"source_key": "hl7:waiting-F2", "chain_key": "order:waiting-F"}
    received(waiting, "F", of_study(NAMESAKE_CT, "sijing"), **chain)
    assert titles(signed_in("registrar").page(PAGE).get_text(" ")) == "ABCEH"


def test_the_number_of_queries_does_not_grow_with_what_waits(
    waiting: Desk, signed_in: Reader
) -> None:
    from sqlalchemy import event

    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    def queries() -> int:
        statements.clear()
        signed_in("registrar").get(PAGE)
        return sum("eir_report" in one or "FROM study" in one for one in statements)

    event.listen(waiting.database.engine, "before_cursor_execute", note)
    before = queries()
    for number in range(5):
        received(waiting, f"{number}", without_study(reasons.NO_STUDY, f"WR-1{number}", "sijing"))
    draft = {"status": ReportStatus.PRELIMINARY}
    received(waiting, "9", of_study(NAMESAKE_CT, "sijing"), **draft)
    after = queries()
    event.remove(waiting.database.engine, "before_cursor_execute", note)
    assert 0 < after <= before
