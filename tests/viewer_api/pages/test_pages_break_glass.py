"""Emergency access through the pages: what it opens, for whom, how it ends, and who is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from access_control.audit import AuditQuery, AuditRecord
from access_control.break_glass import MOST_OPEN
from access_control.consent import EVERYONE, ConsentKind
from access_control.model import Role
from hub_runtime.break_glass_watch import break_glass_jobs
from tests.support.clock import FixedClock
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.region import (
    PASSWORD,
    Examination,
    Region,
    archive,
    settle,
)

STUDY, OTHERS = "2.25.7001", "2.25.7002"
REASON = "unconscious, life in danger"
_RESIDENT_ID = "31011719660606001X"
_EXAMINATION = Examination(
    "central",
    "BG-1",
    "Sun^YiMing=孙^一鸣",
    "M",
    "19660606",
    "20260505",
    "CT_small.dcm",
    STUDY,
    slices=2,
    description="急诊胸部",
    accession="BG20260505",
    resident_id=_RESIDENT_ID,
)
_DICOMWEB = f"/dicom-web/studies/{STUDY}"
_SERIES = f"{_DICOMWEB}/series/{STUDY}.1"


@pytest.fixture(scope="module")
def person(region: Region) -> str:
    """孙一鸣, known at the central hospital alone, where the doctor does not work."""
    other = replace(
        _EXAMINATION,
        patient_id="BG-2",
        born="19700101",
        uid=OTHERS,
        accession="",
        resident_id="",
    )
    for one in (_EXAMINATION, other):
        archive(region.hub, one)
    settle(region.hub, [STUDY, OTHERS])
    return region.person_of(STUDY)


@pytest.fixture(autouse=True)
def closed_again(region: Region) -> Iterator[None]:
    yield
    for account in region.hub.access.accounts.all():
        for glass in region.hub.access.break_glass.open_of(account.user_id):
            region.hub.access.break_glass.close(glass.glass_id, account.user_id, _unrecorded)


def _unrecorded(*_: object) -> None:
    """Tidying up is nothing to put on record."""


@pytest.fixture
def doctor(person: str, signed_in: Callable[..., Browser]) -> Browser:
    assert person
    return signed_in("doctor")


def addresses(region: Region, person: str) -> list[str]:
    """What an emergency opens: record, study, pictures of every kind, metadata, documents."""
    manifest = region.hub.registry.manifest_of(STUDY)
    assert manifest is not None
    return [
        f"/patients/{person}",
        f"/studies/{STUDY}/clinical",
        f"/studies/{STUDY}/diagnostic",
        f"/documents/{manifest.entry_uuid.removeprefix('urn:uuid:')}",
        f"{_DICOMWEB}/thumbnail",
        f"{_DICOMWEB}/metadata",
        f"{_SERIES}/instances/{STUDY}.1.1/rendered",
        f"{_SERIES}/instances/{STUDY}.1.1/frames/1",
        f"{_SERIES}/instances/{STUDY}.1.1/bulkdata/7FE00010",
        f"/studies/{STUDY}/medium.zip",
    ]


def statuses(browser: Browser, urls: list[str]) -> set[int]:
    found = set()
    for url in urls:
        with browser.get(url) as answer:
            answer.get_data()
            found.add(answer.status_code)
    return found


def records(region: Region, **query: object) -> list[AuditRecord]:
    return list(region.hub.access.audit.search(AuditQuery(limit=100, **query)).records)  # type: ignore[arg-type]


def test_an_emergency_opens_the_one_record_and_nothing_else(
    region: Region, person: str, doctor: Browser
) -> None:
    urls = addresses(region, person)
    others = region.person_of(OTHERS)
    foreign = [f"/patients/{region.foreign}", f"/patients/{others}", f"/studies/{OTHERS}/clinical"]
    assert statuses(doctor, [*urls, *foreign]) == {404}
    answer = doctor.send("/emergency", who="BG20260505", reason=REASON)
    assert (answer.status_code, answer.location) == (303, f"/patients/{person}")
    assert statuses(doctor, urls) == {200}
    assert statuses(doctor, foreign) == {404}
    page = doctor.page(f"/studies/{STUDY}/clinical")
    assert "Emergency access until" in page.select_one(".emergency").get_text()
    assert not page.find("a", href=re.compile("/share"))
    assert statuses(doctor, [f"/studies/{STUDY}/share"]) == {404}


def test_it_opens_nothing_for_anybody_else(
    region: Region, person: str, doctor: Browser, browser: Browser
) -> None:
    accounts = region.hub.access.accounts
    accounts.add_user("doctor-b", PASSWORD, {Role.CLINICIAN}, frozenset({"sijing"}), "李医师")
    browser.sign_in("doctor-b")
    assert doctor.send("/emergency", who="BG-1", reason=REASON).status_code == 303
    assert statuses(browser, addresses(region, person)) == {404}


@pytest.mark.parametrize(
    "who",
    [
        {"who": "BG-1"},
        {"who": _RESIDENT_ID.lower()},
        {"who": "bg20260505".upper()},
        {"who": "Sun^YiMing", "born": "1966-06-06"},
        {"who": "孙一鸣", "born": "1966-06-06"},
        {"who": "sun yiming", "born": "1966-06-06"},
    ],
    ids=["record", "resident", "accession", "latin", "hanzi", "spaced"],
)
def test_the_person_is_found_by_a_whole_number_or_a_name_with_the_birth_date(
    person: str, doctor: Browser, who: dict[str, str]
) -> None:
    answer = doctor.send("/emergency", reason=REASON, **who)
    assert answer.location == f"/patients/{person}"
    assert doctor.get(f"/patients/{person}").status_code == 200


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"who": "BG-1", "reason": ""}, "no-reason"),
        ({"who": "BG-1", "reason": " \t"}, "no-reason"),
        ({"who": "BG-1", "reason": "x"}, "no-reason"),
        ({"who": "BG-1"}, "no-reason"),
        ({"who": "BG-1", "born": "1970-01-01", "reason": REASON}, "nobody"),
        ({"who": "BG-", "reason": REASON}, "nobody"),
        ({"who": "BG*", "reason": REASON}, "nobody"),
        ({"who": "%", "reason": REASON}, "nobody"),
        ({"who": "", "reason": REASON}, "nobody"),
        ({"who": "孙一鸣", "reason": REASON}, "nobody"),
        ({"who": "孙一", "born": "1966-06-06", "reason": REASON}, "nobody"),
        ({"who": "孙一鸣", "born": "yesterday", "reason": REASON}, "nobody"),
    ],
)
def test_whatever_is_missing_nothing_is_opened_and_it_is_on_record(
    region: Region, person: str, doctor: Browser, said: dict[str, str], why: str
) -> None:
    before = region.hub.access.audit.head().sequence
    answer = doctor.send("/emergency", **said)
    assert answer.status_code == 404
    assert "Nothing was opened" in soup(answer).select_one("[role=alert]").get_text()
    assert "1966" not in soup(answer).get_text()
    (refused,) = [one for one in records(region, action="break_glass") if one.sequence > before]
    assert (refused.outcome, refused.detail) == ("refused", why)
    assert statuses(doctor, addresses(region, person)) == {404}


def test_a_number_of_several_people_opens_none_of_them(
    region: Region, person: str, doctor: Browser
) -> None:
    assert person
    twin = replace(
        _EXAMINATION,
        patient_id="BG-3",
        born="19800101",
        uid="2.25.7003",
        accession="BG-TWICE",
        resident_id="",
    )
    archive(region.hub, twin)
    archive(region.hub, replace(twin, patient_id="BG-4", born="19900101", uid="2.25.7004"))
    settle(region.hub, ["2.25.7003", "2.25.7004"])
    answer = doctor.send("/emergency", who="BG-TWICE", reason=REASON)
    assert answer.status_code == 404
    assert "Several people" in answer.get_data(as_text=True)
    answer = doctor.send("/emergency", who="BG-TWICE", born="1990-01-01", reason=REASON)
    assert answer.location == f"/patients/{region.person_of('2.25.7004')}"


def test_what_the_reader_may_see_anyway_is_not_opened_in_emergency(
    region: Region, doctor: Browser
) -> None:
    answer = doctor.send("/emergency", who=region.person, reason=REASON)
    assert answer.location == f"/patients/{region.person}"
    assert not [
        one for one in region.hub.access.break_glass.waiting() if one.global_id == region.person
    ]
    assert not doctor.page(f"/patients/{region.person}").select_one(".emergency")


def test_every_access_is_on_record_as_an_emergency(
    region: Region, person: str, doctor: Browser
) -> None:
    doctor.send("/emergency", who="BG-1", reason=REASON)
    before = region.hub.access.audit.head().sequence
    statuses(doctor, addresses(region, person))
    doctor.page(f"/patients/{region.person}")
    made = [one for one in records(region, outcome="success") if one.sequence > before]
    about = {one.action: one.purpose for one in made if one.resource_id != region.person}
    assert about == dict.fromkeys(
        ("view_record", "view_clinical", "view_diagnostic", "retrieve_document"), "break_glass"
    )
    # The control: what needed no emergency is no emergency.
    assert {one.purpose for one in made if one.resource_id == region.person} == {""}
    opened = records(region, action="break_glass", outcome="success")[0]
    message = region.hub.access.audit.xml(opened).decode()
    assert 'csd-code="110127"' in message
    assert f'ParticipantObjectID="{person}' in message


def test_the_patient_sees_who_opened_the_record_in_an_emergency(
    region: Region, person: str, doctor: Browser, browser: Browser
) -> None:
    accounts = region.hub.access.accounts
    accounts.add_user("bg-registrar", PASSWORD, {Role.REGISTRAR}, None, "登记员")
    doctor.send("/emergency", who="BG-1", reason=REASON)
    doctor.page(f"/patients/{person}")
    browser.sign_in("bg-registrar")
    said = browser.page(f"/identity/people/{person}/accesses").get_text(" ", strip=True)
    assert "陈医师 (Clinician) opened your record in an emergency" in said
    assert "looked at the list of your examinations in an emergency" in said


def test_refused_consent_gives_way_to_an_emergency_and_to_nothing_else(
    region: Region, person: str, signed_in: Callable[..., Browser]
) -> None:
    treating, consents = signed_in("stranger"), region.hub.access.consents
    urls = addresses(region, person)
    assert statuses(treating, urls) == {200}
    consents.record(person, ConsentKind.REFUSE, EVERYONE, by="registrar", reason="said so")
    try:
        assert statuses(treating, urls) == {404}
        answer = treating.send("/emergency", who="BG-1", reason=REASON)
        assert answer.location == f"/patients/{person}"
        assert statuses(treating, urls) == {200}
        assert statuses(treating, [f"/studies/{STUDY}/share"]) == {404}
    finally:
        consents.record(person, ConsentKind.GRANT, EVERYONE, by="registrar", reason="said so")


def test_it_ends_when_the_reader_says_so(region: Region, person: str, doctor: Browser) -> None:
    doctor.send("/emergency", who="BG-1", reason=REASON)
    form = doctor.page(f"/patients/{person}").select_one("form.emergency")
    assert doctor.send("/emergency", to=form["action"]).status_code == 303
    assert statuses(doctor, addresses(region, person)) == {404}
    assert doctor.send("/emergency", to=form["action"]).status_code == 404
    assert records(region, action="end_break_glass")[0].display == "陈医师"


def test_it_ends_after_an_hour_and_the_hub_puts_that_on_record(
    region: Region, person: str, doctor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor.send("/emergency", who="BG-1", reason=REASON)
    urls = addresses(region, person)
    assert statuses(doctor, urls) == {200}
    service, now = region.hub.access.break_glass, region.hub.base.clock.now()
    with monkeypatch.context() as later:
        later.setattr(service, "_clock", FixedClock(now + timedelta(minutes=61)))
        jobs = {job.name: job for job in break_glass_jobs(region.hub)}
        jobs["break-glass-end"].run()
        assert statuses(doctor, urls) == {404}
    ended = records(region, action="end_break_glass")[0]
    assert (ended.subject_id, ended.resource_id) == ("eirhub", person)


def test_nobody_has_more_than_a_few_records_open(
    region: Region, person: str, doctor: Browser
) -> None:
    assert person
    for number in range(MOST_OPEN):
        uid = f"2.25.71{number}"
        archive(
            region.hub,
            replace(
                _EXAMINATION,
                patient_id=f"BGM-{number}",
                uid=uid,
                accession=f"M{number}X",
                resident_id="",
            ),
        )
    settle(region.hub, [f"2.25.71{number}" for number in range(MOST_OPEN)])
    for number in range(MOST_OPEN):
        assert doctor.send("/emergency", who=f"M{number}X", reason=REASON).status_code == 303
    answer = doctor.send("/emergency", who="BG-1", reason=REASON)
    assert answer.status_code == 404
    assert "end one of them first" in answer.get_data(as_text=True)


def test_whoever_reviews_is_told_judges_it_and_ends_what_is_not_justified(
    region: Region, person: str, doctor: Browser, signed_in: Callable[..., Browser]
) -> None:
    auditor, service = signed_in("auditor"), region.hub.access.break_glass
    doctor.send("/emergency", who="BG-1", reason=REASON)
    badge = auditor.page("/audit").select_one("nav.menu .badge-count").get_text()
    assert int(re.findall(r"\d+", badge)[0]) == service.waiting_count() > 0
    jobs = {job.name: job for job in break_glass_jobs(region.hub)}
    jobs["break-glass-count"].run()
    told = f"eirhub_emergency_accesses_unreviewed {service.waiting_count()}.0"
    assert told in region.hub.base.metrics.exposition().decode()
    page = auditor.page("/audit/emergencies").get_text()
    assert REASON in page
    assert person in page
    glass = service.waiting()[0]
    judged = f"/audit/emergencies/{glass.glass_id}"
    queue = "/audit/emergencies"
    assert auditor.send(queue, to=judged, verdict="unjustified", note="").status_code == 400
    assert auditor.send(queue, to=judged, verdict="perhaps", note="so so").status_code == 400
    assert doctor.get(f"/patients/{person}").status_code == 200
    said = {"verdict": "unjustified", "note": "nobody of that name came in"}
    assert auditor.send(queue, to=judged, **said).status_code == 303
    assert doctor.get(f"/patients/{person}").status_code == 404
    assert "nobody of that name came in" in auditor.page(queue).get_text()
    about = records(region, action="review_break_glass", resource_ids=frozenset({person}))
    assert about[0].detail.endswith("unjustified")


@pytest.mark.parametrize("username", ["tech", "boss", "engineer", "auditor"])
def test_who_does_not_treat_has_no_emergencies(
    person: str, signed_in: Callable[..., Browser], username: str
) -> None:
    assert person
    reader = signed_in(username)
    assert reader.get("/emergency").status_code == 404


@pytest.mark.parametrize("username", ["doctor", "reader", "tech", "engineer"])
def test_who_does_not_audit_reviews_nothing(
    signed_in: Callable[..., Browser], username: str
) -> None:
    assert signed_in(username).get("/audit/emergencies").status_code == 404


def test_no_other_sites_page_opens_ends_or_judges_an_emergency(
    region: Region, person: str, doctor: Browser, signed_in: Callable[..., Browser]
) -> None:
    assert doctor.post("/emergency", who="BG-1", reason=REASON).status_code == 403
    assert doctor.get(f"/patients/{person}").status_code == 404
    doctor.send("/emergency", who="BG-1", reason=REASON)
    glass = region.hub.access.break_glass.waiting()[0]
    assert doctor.post(f"/emergency/{glass.glass_id}/end").status_code == 403
    auditor = signed_in("auditor")
    said = {"verdict": "justified", "note": "all well"}
    assert auditor.post(f"/audit/emergencies/{glass.glass_id}", **said).status_code == 403
    assert glass in region.hub.access.break_glass.waiting()
