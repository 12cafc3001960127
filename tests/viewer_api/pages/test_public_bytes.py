"""Every byte a citizen can fetch, searched for eighty identifiers planted in one examination."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from werkzeug.test import TestResponse

from access_control.shared_links import ShareRequest
from image_archive.model import InstanceOrigin
from tests.eir_versions.builders import item, part10, presentation_state
from tests.support.canaries import Canaries, planted_object
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import PASSWORD, Region, settle

STUDY = "2.25.5800777"
# What belongs to the exam and is shown on purpose: nothing of these has a canary.
_LINKS = re.compile(r'(?:href|src)="([^"#]+)"')


@pytest.fixture(scope="module")
def canaries(region: Region) -> Canaries:
    """An examination with a canary wherever one can be written, archived and rendered."""
    planted = Canaries()
    site = region.hub.access.sites.get("sijing")
    origin = InstanceOrigin("sijing", site.assigning_authority, "SIJING", "EIRHUB", "127.0.0.1")
    # A code of its own where the standard has a list: what the page says of the exam is made of it.
    part = planted.word("BodyPartExamined")
    data = planted_object(planted, STUDY, BodyPartExamined=part)
    region.hub.archive.store_file(data, origin)
    region.hub.archive.store_file(part10(written_over(planted)), origin)
    settle(region.hub, [STUDY])
    return planted


def written_over(planted: Canaries) -> Dataset:
    """A presentation state that labels the picture, and writes on it, what nobody else may see."""
    planted.object = "state"
    text = item(
        UnformattedTextValue=planted.word("text on the picture"),
        AnchorPointAnnotationUnits="PIXEL",
        AnchorPoint=[9.0, 9.0],
        AnchorPointVisibility="N",
    )
    known = planted.planted
    picture = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        SOPInstanceUID=f"{STUDY}.1.1",
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=f"{STUDY}.1",
        PatientID=known["PatientID"],
        PatientName=f"{known['PatientName']}^{known['PatientName given']}",
    )
    state = presentation_state(
        picture,
        SOPInstanceUID=f"{STUDY}.2.1",
        SeriesInstanceUID=f"{STUDY}.2",
        IssuerOfPatientID=known["IssuerOfPatientID"],
        ContentLabel=planted.word("label"),
        ContentDescription=planted.word("description"),
        ContentCreatorName=planted.word("creator"),
        GraphicAnnotationSequence=[item(GraphicLayer="A", TextObjectSequence=[text])],
    )
    planted.object = ""
    return state


@pytest.fixture(scope="module")
def citizen(region: Region, canaries: Canaries) -> tuple[Browser, str]:
    """A browser that has opened the shared link, and the link's address."""
    assert canaries.planted
    links, clock = region.hub.access.links, region.hub.base.clock
    from datetime import timedelta

    link = links.create(
        ShareRequest(STUDY, region.person_of(STUDY), "x", clock.now() + timedelta(days=1))
    )
    browser = Browser(region)
    answer = browser.send(f"/share/{link.token}", passcode=link.passcode)
    assert answer.headers["Location"] == "/share/exam"
    return browser, f"/share/{link.token}"


def everything(browser: Browser, start: str) -> Iterator[tuple[str, TestResponse]]:
    """Yield every answer that pages under `/share` lead to, in both languages, once each."""
    waiting, seen = [start, "/share/exam", "/share/exam?lang=zh", "/share/exam?lang=en"], set()
    while waiting:
        url = waiting.pop()
        if url in seen or len(seen) > 200:
            continue
        seen.add(url)
        answer = browser.get(url)
        yield url, answer
        if answer.mimetype == "text/html":
            found = _LINKS.findall(answer.get_data(as_text=True).replace("&amp;", "&"))
            path = url.split("?")[0]
            waiting += [path + one if one.startswith("?") else one for one in found if _own(one)]


def _own(link: str) -> bool:
    return link.startswith(("/share", "?", "/assets", "/static"))


def test_no_planted_identifier_is_in_any_byte_a_citizen_can_fetch(
    citizen: tuple[Browser, str], canaries: Canaries
) -> None:
    browser, door = citizen
    kinds = set()
    for url, answer in everything(browser, door):
        assert answer.status_code < 400, url
        sent = answer.data + repr(list(answer.headers)).encode() + url.encode()
        assert canaries.found_in(sent) == set(), url
        kinds.add(answer.mimetype)
    # The control of the walk: it has seen pages and a picture.
    assert {"text/html", "image/jpeg"} <= kinds


def test_the_same_search_finds_them_where_a_radiologist_looks(
    region: Region, canaries: Canaries
) -> None:
    reader = Browser(region)
    reader.sign_in("reader", PASSWORD)
    base = f"/dicom-web/studies/{STUDY}"
    told = reader.get(f"{base}/metadata").data
    stored = reader.get(f"{base}/series/{STUDY}.1/instances/{STUDY}.1.1").data
    assert len(canaries.found_in(told)) >= 32
    assert {"state label", "state text on the picture"} <= canaries.found_in(told)
    assert len(canaries.found_in(told + stored)) >= 70
    page = reader.follow(f"/studies/{STUDY}").data
    assert canaries.found_in(page)
