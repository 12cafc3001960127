"""Other people's documents on the timeline: listed by what they are, opened safely, on record."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from PIL import Image

from access_control.audit import AuditQuery
from access_control.consent import ConsentKind
from tests.viewer_api.pages import papers
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.papers import address, put
from tests.viewer_api.pages.region import EXAMINATIONS, Region, open_region
from xds_registry.model import AvailabilityStatus, DocumentEntry
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow
from xds_registry.tables_imaging import ListedStudyRow

SEEN = tuple(one for one in EXAMINATIONS if one.patient_id in {"L0427", "J77", "L0999"})


def png() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(written, "PNG")
    return written.getvalue()


@dataclass(frozen=True)
class Papers:
    """A region where one person has documents of every kind; nobody changes it."""

    region: Region
    by_name: dict[str, DocumentEntry]

    def address(self, name: str) -> str:
        return address(self.by_name[name])


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with open_region(tmp_path_factory.mktemp("papers"), SEEN) as opened:
        yield opened


@pytest.fixture(scope="module")
def shelf(region: Region) -> Papers:
    plain = {"mime_type": "text/plain", "format_code": papers.CDA_FORMAT}
    pdf = {"mime_type": "application/pdf", "format_code": papers.PDF_FORMAT}
    cda = {"mime_type": "text/xml", "format_code": papers.CDA_FORMAT}
    made = {
        "pdf": put(region, "pdf", papers.pdf(), title="胸部 CT 报告", **pdf),
        "cda": put(region, "cda", papers.cda(), creation_time="20250304", **cda),
        "wrapped": put(region, "wrapped", papers.wrapped(papers.pdf("wrapped")), **cda),
        "bomb": put(region, "bomb", b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', **cda),
        "text": put(region, "text", f"结论 {papers.EVIL}".encode("gb18030"), **plain),
        "png": put(region, "png", png(), mime_type="image/png"),
        "html": put(region, "html", papers.EVIL.encode(), mime_type="text/html", title=papers.EVIL),
        "ecg": put(region, "ecg", b"DICM", format_code=papers.ECG_FORMAT),
        "foreign": put(region, "foreign", None, format_code=papers.KOS_FORMAT),
        "lost": put(region, "lost", b"%PDF-1.4 lost", **pdf),
        "old": put(region, "old", b"old", status=AvailabilityStatus.DEPRECATED, **plain),
    }
    with region.database.read() as session:
        key = session.get_one(RepositoryDocumentRow, made["lost"].unique_id).storage_key
    region.hub.base.backend.delete(key)
    with region.database.unit_of_work() as work:
        listed = ListedStudyRow(
            entry_uuid=made["foreign"].entry_uuid,
            study_instance_uid="1.2.3.4",
            repository_unique_id="1.2.3",
            series_count=2,
            instance_count=120,
        )
        work.session.add(listed)
    return Papers(region, made)


@pytest.fixture(scope="module")
def enter(region: Region) -> Callable[..., Browser]:
    @cache
    def signed_in(username: str, language: str = "en") -> Browser:
        opened = Browser(region, language)
        assert opened.sign_in(username).status_code == 303
        return opened

    return signed_in


def test_documents_stand_on_the_axis_by_kind_day_and_institution(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    page = enter("doctor").page(f"/patients/{shelf.region.person}")
    cards = {card["href"]: card.get_text(" ", strip=True) for card in page.select(".paper-card")}
    assert cards.keys() == {address(one) for name, one in shelf.by_name.items() if name != "old"}
    for said in (
        "Nov 20",
        "10:30",
        "Radiology report",
        "胸部 CT 报告",
        "市第一医院",
        "王医生",
        "PDF",
    ):
        assert said in cards[shelf.address("pdf")]
    assert "Electrocardiogram" in cards[shelf.address("ecg")]
    assert "Images kept elsewhere" in cards[shelf.address("foreign")]
    assert "Held elsewhere" in cards[shelf.address("foreign")]
    assert "120 pictures are kept there" in cards[shelf.address("foreign")]
    assert [one for one in cards.values() if "kept there" in one] == [
        cards[shelf.address("foreign")]
    ]
    years = [heading.get_text(strip=True) for heading in page.select(".year > h2")]
    assert years == ["2026", "2025", "2024"]
    year_2025 = page.select(".year")[1]
    assert shelf.address("cda") in [card["href"] for card in year_2025.select(".paper-card")]
    assert "3 examinations · 10 documents" in page.select_one("[role=status]").get_text()


def test_the_hubs_own_manifests_are_not_shown_as_documents(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    page = enter("doctor").page(f"/patients/{shelf.region.namesake}")
    assert not page.select(".paper-card")
    own = shelf.region.hub.registry.documents.of(shelf.region.namesake)
    assert own == []


def test_kinds_are_said_in_chinese(shelf: Papers, enter: Callable[..., Browser]) -> None:
    text = enter("doctor", "zh").page(f"/patients/{shelf.region.person}").get_text(" ")
    for said in ("放射检查报告", "存于外部的影像", "存于别处", "CDA 文档", "10 份文档"):
        assert said in text


@pytest.mark.parametrize(
    ("query", "documents", "studies"),
    [("discipline=documents", 10, 0), ("discipline=radiology", 0, 2), ("site=jiuting", 0, 1)],
)
def test_filters_know_documents(
    shelf: Papers, enter: Callable[..., Browser], query: str, documents: int, studies: int
) -> None:
    page = enter("doctor").page(f"/patients/{shelf.region.person}?{query}")
    assert len(page.select(".paper-card")) == documents
    assert len(page.select(".exam-card")) == documents + studies


@pytest.mark.parametrize(("name", "data"), [("pdf", "Chest CT"), ("wrapped", "wrapped")])
def test_a_pdf_is_framed_under_a_policy_that_loads_nothing(
    shelf: Papers, enter: Callable[..., Browser], name: str, data: str
) -> None:
    browser = enter("doctor")
    answer = browser.get(shelf.address(name))
    assert "frame-src 'self'" in answer.headers["Content-Security-Policy"]
    frame = browser.page(shelf.address(name)).select_one("iframe")
    content = browser.get(frame["src"])
    assert content.mimetype == "application/pdf"
    assert data.encode() in content.data
    assert content.content_length == len(content.data)
    policy = content.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'self'" in policy
    assert content.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert content.headers["X-Content-Type-Options"] == "nosniff"


def test_a_cda_document_is_read_as_text(shelf: Papers, enter: Callable[..., Browser]) -> None:
    page = enter("doctor").page(shelf.address("cda"))
    article = page.select_one("article")
    assert article.select_one("h2").get_text() == "胸部 CT 检查报告"
    assert [one.get_text() for one in article.select("h3")] == ["检查所见", "诊断意见"]
    assert [one.get_text() for one in article.select("th")] == ["部位", "所见"]
    assert [one.get_text() for one in article.select("td")] == ["右肺", "清晰"]
    assert "双肺纹理清晰，未见结节。" in article.get_text()
    assert article.select_one(".paper-item").get_text() == "建议随访"
    assert f"第一行\n第二行 {papers.EVIL}" in article.get_text()
    assert not article.select("script, img, link, iframe")
    assert "evil.example" not in page.decode()


def test_text_of_chinese_systems_is_read_and_escaped(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    page = enter("doctor").page(shelf.address("text"))
    assert page.select_one("pre").get_text() == f"结论 {papers.EVIL}"
    assert not page.select("main script, main img")


def test_a_picture_is_shown_and_confined(shelf: Papers, enter: Callable[..., Browser]) -> None:
    browser = enter("doctor")
    source = browser.page(shelf.address("png")).select_one(".paper-picture img")["src"]
    answer = browser.get(source)
    assert Image.open(io.BytesIO(answer.data)).size == (8, 8)
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["html", "ecg", "bomb"])
def test_what_could_run_or_cannot_be_read_is_only_downloaded(
    shelf: Papers, enter: Callable[..., Browser], name: str
) -> None:
    browser = enter("doctor")
    page = browser.page(shelf.address(name))
    assert not page.select("main iframe, main img, main pre, main article")
    answer = browser.get(f"{shelf.address(name)}/content")
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_every_document_can_be_kept_as_it_came(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    answer = enter("doctor").get(f"{shelf.address('pdf')}/content?download=1")
    assert answer.data == papers.pdf()
    assert answer.headers["Content-Disposition"].endswith('.pdf"')


@pytest.mark.parametrize(("name", "said"), [("foreign", "Another repository"), ("lost", "damaged")])
def test_what_cannot_be_opened_says_why(
    shelf: Papers, enter: Callable[..., Browser], name: str, said: str
) -> None:
    browser = enter("doctor")
    assert said in browser.page(shelf.address(name)).select_one("main").get_text()
    assert browser.get(f"{shelf.address(name)}/content").status_code == 404


@pytest.mark.parametrize("username", ["stranger", "tech", "boss", "auditor"])
def test_other_peoples_documents_do_not_exist(
    shelf: Papers, enter: Callable[..., Browser], username: str
) -> None:
    browser = enter(username)
    for url in (shelf.address("pdf"), f"{shelf.address('pdf')}/content"):
        answer = browser.get(url)
        assert answer.status_code == 404
        assert "王" not in answer.get_data(as_text=True)


def test_unknown_and_superseded_documents_do_not_exist(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    browser = enter("doctor")
    for url in (shelf.address("old"), "/documents/nothing", "/documents/%27%22%3Cb%3E"):
        assert browser.get(url).status_code == 404


def test_opening_is_on_record_once_for_page_and_content(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    document = put(
        shelf.region, "audited", papers.pdf("audited"), mime_type="application/pdf",
        status=AvailabilityStatus.APPROVED, format_code=papers.PDF_FORMAT,
    )  # fmt: skip
    try:
        browser = enter("doctor")
        browser.page(address(document))
        browser.get(f"{address(document)}/content")
        assert enter("stranger").get(address(document)).status_code == 404
        found = shelf.region.hub.access.audit.search(
            AuditQuery(resource_ids=frozenset({document.unique_id}))
        )
        said = sorted((one.action, one.outcome, one.resource_kind) for one in found.records)
        assert said == [
            ("retrieve_document", "refused", "document"),
            ("retrieve_document", "success", "document"),
        ]
    finally:
        _deprecate(shelf.region, document)


def test_a_refusal_of_the_person_closes_their_documents(
    shelf: Papers, enter: Callable[..., Browser]
) -> None:
    consents, person = shelf.region.hub.access.consents, shelf.region.person
    consents.record(person, ConsentKind.REFUSE, "all", by="registrar", reason="asked")
    try:
        assert enter("doctor").get(shelf.address("pdf")).status_code == 404
        assert enter("doctor").get(f"{shelf.address('pdf')}/content").status_code == 404
    finally:
        consents.record(person, ConsentKind.GRANT, "all", by="registrar", reason="asked")
    assert enter("doctor").get(shelf.address("pdf")).status_code == 200


def _deprecate(region: Region, document: DocumentEntry) -> None:
    with region.database.unit_of_work() as work:
        row = work.session.get_one(DocumentEntryRow, document.entry_uuid)
        row.status = AvailabilityStatus.DEPRECATED
