"""Canaries in signed reports of three kinds and in a cine: no byte a link or a movie gives has one.

An SR, a PDF and an ORU name people wherever they can; the page of a link, its pictures and what an
app decrypts are searched, and so is the MP4 of an ultrasound.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from access_control.model import Role, Site
from access_control.shared_links import ShareRequest
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from tests.eir_versions.builders import image_dataset, part10
from tests.eir_versions.documents import content, pdf_report, report
from tests.patient_index.hl7v2.wire import connected, value
from tests.support.canaries import Canaries, plant, planted_object
from tests.support.tools import require_openh264
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.papers import pdf
from tests.viewer_api.pages.region import PASSWORD, Region, settle
from tests.viewer_api.pages.test_health_links import App
from tests.viewer_api.pages.test_public_bytes import everything
from viewer_api.health_links.payload import two_doors

STUDY, CINE = "2.25.6400201", "2.25.6400202"
EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.964")
ORIGIN = InstanceOrigin("east", EAST, "EASTCT", "EIRHUB", "127.0.0.1")
_OF_THE_PERSON = (
    "PatientID", "PatientName", "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames",
    "IssuerOfPatientID", "PatientMotherBirthName",
)  # fmt: skip


@dataclass
class Town:
    """A hub with one examination, its three reports and a cine, all planted."""

    hub: Hub
    application: Any
    canaries: Canaries = field(default_factory=Canaries)

    @property
    def region(self) -> Region:
        return cast("Region", self)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    domains = [{"namespace": EAST.namespace, "oid": EAST.oid, "senders": ["RIS|EAST"]}]
    data: Path = tmp_path_factory.mktemp("planted") / "data"
    settings = {
        "hub": {"data_dir": data},
        "hl7": {"port": 0},
        "identity": {"domains": domains},
        "study": {"quiet_period_s": 0.05},
    }
    hub = build_hub(Settings.model_validate(settings))
    hub.open()
    site = Site("east", "东院", "East", "East", "township", ("EASTCT",), ("127.0.0.1/32",), EAST)
    hub.access.sites.add(site)
    hub.access.accounts.add_user("reader", PASSWORD, {Role.RADIOLOGIST}, None, "林主任")
    made = Town(hub, hub.wsgi())
    _fill(made)
    yield made
    hub.close()


def _fill(town: Town) -> None:
    canaries, store = town.canaries, town.hub.archive.store_file
    data = planted_object(canaries, STUDY)
    image = dcmread(io.BytesIO(data))
    store(data, ORIGIN)
    for one in (_structured(image, canaries), _pdf(image, canaries)):
        store(part10(one), ORIGIN)
    settle(town.hub, [STUDY])
    _send_result(town, image)
    store(_cine(canaries), ORIGIN)
    settle(town.hub, [STUDY, CINE])


def _named(image: Dataset) -> str:
    """What people write into a report: the name both ways round, and a number."""
    family, given = str(image.PatientName).split("^")
    numbers = f"{image.PatientID} {image.AccessionNumber}"
    return f"患者 {family} {given}，{given}·{family}（{family.lower()}），号 {numbers}："


def _of_this_person(document: Dataset, image: Dataset, canaries: Canaries, name: str) -> Dataset:
    canaries.object = name
    plant(document, canaries)
    for keyword in _OF_THE_PERSON:
        setattr(document, keyword, getattr(image, keyword))
    document.StudyInstanceUID, document.SeriesInstanceUID = STUDY, f"{STUDY}.9"
    document.SOPInstanceUID = f"{STUDY}.9.{document.InstanceNumber}"
    return document


def _structured(image: Dataset, canaries: Canaries) -> Dataset:
    document = _of_this_person(report(1, f"{_named(image)}SR 未见异常"), image, canaries, "SR")
    observer, findings = document.ContentSequence
    observer.PersonName = f"{canaries.word('observer')}^{canaries.word('observer given')}"
    institution = content("TEXT", "观察者机构", TextValue=canaries.word("observer organization"))
    institution.RelationshipType = "HAS OBS CONTEXT"
    findings.ConceptNameCodeSequence[0].CodeMeaning = f"{_named(image)}影像所见"[:64]
    reader = content("PNAME", "审核者", PersonName=canaries.word("person inside the findings"))
    findings.ContentSequence = [*findings.ContentSequence, reader]
    document.ContentSequence = [observer, institution, findings]
    verifier = Dataset()
    verifier.VerifyingObserverName = canaries.word("verifying observer")
    verifier.VerifyingOrganization = canaries.word("verifying organization", chinese=True)
    verifier.VerificationDateTime = "20260301101010"
    document.VerifyingObserverSequence = [verifier]
    return document


def _pdf(image: Dataset, canaries: Canaries) -> Dataset:
    canaries.object = "PDF"
    page = pdf(f"{canaries.word('drawn')} {image.PatientID}")
    page += b"%" + canaries.word("comment behind the end").encode()
    document = _of_this_person(pdf_report(2, page), image, canaries, "PDF")
    document.DocumentTitle = f"PDF 报告 {_named(image)}"
    return document


def _send_result(town: Town, image: Dataset) -> None:
    canaries, person = town.canaries, str(image.PatientName)
    canaries.object = "ORU"
    word = canaries.word
    fields = [""] * 33
    fields[1], fields[3], fields[18] = "1", "O1", str(image.AccessionNumber)
    fields[4] = "CT^ORU 胸部CT^L"
    fields[13], fields[16] = word("clinical information"), f"1^{word('ordering provider')}^X"
    fields[22], fields[25] = "20260301120000", "F"
    fields[32] = f"9&{word('interpreter')}&{word('interpreter given')}"
    address, phone = word("address", chinese=True), word("telephone")
    segments = (
        "MSH|^~\\&|RIS|EAST|EIRHUB|REGION|20260301120000||ORU^R01|C1|P|2.5||||||UNICODE UTF-8",
        f"PID|1||{image.PatientID}^^^EAST||{person}||||||{address}||{phone}",
        f"NTE|1||{word('note')}",
        f"PV1|1|I|{word('ward')}||||7^{word('attending doctor')}",
        f"ORC|RE|O1||||||||{word('entered by')}",
        "OBR|" + "|".join(fields[1:]),
        f"OBX|1|TX|59776-5^{_named(image)}影像所见^LN||{_named(image)}ORU 双肺清晰||||||F|||||"
        f"8^{word('responsible observer')}",
        "",
    )
    node = town.hub.hl7_node()
    with connected(node.start()) as sender:
        assert value(sender.ask("\r".join(segments)), "MSA.1") == "AA"
    node.stop(grace_s=2.0)


def _cine(canaries: Canaries) -> bytes:
    pixels = np.full((12, 48, 64), 60, "u1")
    for number in range(12):
        pixels[number, 8:24, number : number + 16] = 250
    dataset = image_dataset(pixels, Modality="US", FrameTime="40")
    canaries.object = "cine"
    plant(dataset, canaries)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = CINE, f"{CINE}.1"
    dataset.SOPInstanceUID = f"{CINE}.1.1"
    for tag in (0x60000010, 0x60000011, 0x60003000):
        del dataset[tag]  # an overlay belongs to one picture, and would be drawn
    return part10(dataset)


@pytest.fixture(scope="module")
def shared(town: Town) -> tuple[Browser, App, str]:
    """What a citizen's browser opened, what an app was shown, and the passcode of both."""
    links, clock = town.hub.access.links, town.hub.base.clock
    study = town.hub.index.study(STUDY)
    assert study
    ends = clock.now() + timedelta(days=1)
    person = town.hub.patients.resolve(study.patient) or ""
    link = links.create(ShareRequest(STUDY, person, "x", ends))
    browser = Browser(town.region)
    browser.send(f"/share/{link.token}", passcode=link.passcode)
    with town.application.app.test_request_context():
        app = App.reading(town.region, two_doors(link.token, ends, once=False))
    return browser, app, link.passcode


def test_no_report_gives_anybody_away_on_the_page_of_a_link(
    town: Town, shared: tuple[Browser, App, str]
) -> None:
    said = ""
    for url, answer in everything(shared[0], "/share/exam"):
        sent = answer.data + repr(list(answer.headers)).encode()
        assert town.canaries.found_in(sent) == set(), url
        said += answer.get_data(as_text=True) if answer.mimetype == "text/html" else ""
    # The control: all three are shown, words struck out.
    for shown in ("SR 未见异常", "ORU 双肺清晰", "PDF 报告", "＊＊＊"):
        assert shown in said


def test_no_planted_word_is_in_what_an_app_decrypts(
    town: Town, shared: tuple[Browser, App, str]
) -> None:
    _, app, passcode = shared
    answer = app.ask(passcode)
    assert town.canaries.found_in(answer.data + repr(list(answer.headers)).encode()) == set()
    bundle = app.open(passcode)
    plain = json.dumps(bundle, ensure_ascii=False)
    assert town.canaries.found_in(plain.encode()) == set()
    for one in bundle["entry"]:
        for part in one["resource"].get("content", []):
            picture = base64.b64decode(part["attachment"]["data"])
            assert picture[:2] == b"\xff\xd8"
            assert town.canaries.found_in(picture) == set()
    for shown in ("SR 未见异常", "ORU 双肺清晰", "PDF 报告", "＊＊＊", "DocumentReference"):
        assert shown in plain
    # The control: the search finds a word where an app would get it.
    bundle["entry"][0]["resource"]["name"] = [{"text": town.canaries.planted["PatientName"]}]
    assert town.canaries.found_in(json.dumps(bundle).encode())


def test_the_same_search_finds_them_where_a_doctor_reads(town: Town) -> None:
    reader = Browser(town.region)
    reader.sign_in("reader")
    found: set[str] = set()
    for one in town.hub.eir.reports.standing(STUDY, town.hub.index.instances_of(STUDY)):
        address = f"/studies/{STUDY}/reports/{one.report.report_id}"
        found |= town.canaries.found_in(reader.get(address).data)
        found |= town.canaries.found_in(reader.get(f"{address}/document").data)
    expected = {"PatientName", "PatientID", "SR observer", "SR observer organization"}
    assert expected | {"PDF drawn", "PDF comment behind the end", "ORU interpreter"} <= found


def test_no_planted_word_is_in_a_movie(town: Town) -> None:
    require_openh264()
    reader = Browser(town.region)
    reader.sign_in("reader")
    base = f"/dicom-web/studies/{CINE}/series/{CINE}.1/instances/{CINE}.1.1"
    movie = reader.get(f"{base}/rendered", Accept="video/mp4")
    assert (movie.status_code, movie.data[4:8]) == (200, b"ftyp")
    assert town.canaries.found_in(movie.data + repr(list(movie.headers)).encode()) == set()
    # The control: what it was made of has more than sixty.
    assert len(town.canaries.found_in(reader.get(base).data)) > 60
    poster = reader.get(f"{base}/thumbnail")
    assert poster.mimetype == "image/jpeg"
    assert town.canaries.found_in(poster.data) == set()
