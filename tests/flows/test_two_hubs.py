"""Two hubs of two districts, each a process of its own: what B holds is found and read from A.

A study is pushed into B by C-STORE. A, told of B and of a third district that is down, finds its
manifest by ITI-18, retrieves it by ITI-43 and its images by RAD-69, as any document consumer does.
"""

import io
import json
import re
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from bs4 import BeautifulSoup
from pydicom import dcmread

from hub_runtime.demo.client import HttpClient
from tests.support.serving_hub import RunningHub, eirhub, running_hub
from tests.support.tools import require_tool
from tests.support.waiting import eventually
from tests.xds_registry import imaging_wire, studies, wire
from tests.xds_registry.imaging_wire import EXPLICIT

ROOT = "1.2.826.0.1.3680043.10.1717"
STUDY, OWN_STUDY = "1.2.3.4", "1.2.3.5"


@dataclass(frozen=True)
class District:
    """How one of the hubs is known; A is 1, B is 2, the one that is down is 3."""

    number: int

    @property
    def home(self) -> str:
        return f"urn:oid:{ROOT}.8{self.number}.3"

    @property
    def repository(self) -> str:
        return f"{ROOT}.8{self.number}.2"

    @property
    def global_oid(self) -> str:
        return f"{ROOT}.8{self.number}.1"

    @property
    def hospital_oid(self) -> str:
        return f"{ROOT}.8{self.number}.9"

    @property
    def settings(self) -> tuple[str, ...]:
        return (
            f"registry.home_community_id={self.home}",
            f"registry.repository_unique_id={self.repository}",
            f"identity.global_namespace=D{self.number}",
            f"identity.global_oid={self.global_oid}",
        )


A, B, DOWN = District(1), District(2), District(3)


@dataclass(frozen=True)
class Federated:
    """Both hubs running; tokens for document consumers of A; the patient as A calls them."""

    a: RunningHub
    b: RunningHub
    token: str
    patient: str

    def post(self, path: str, data: bytes) -> requests.Response:
        headers = {
            "Content-Type": "application/soap+xml",
            "Authorization": f"Bearer {self.token}",
        }
        return requests.post(f"{self.a.http}{path}", data, headers=headers, timeout=60)

    def find(self) -> Any:
        return wire.payload(self.post("/xds/registry", imaging_wire.find_documents(self.patient)))


def command(folder: Path, *words: object) -> Any:
    """Run one command of a hub and return what it answers as JSON, if it does."""
    done = eirhub(*words, data=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in words else None


def prepare(folder: Path, district: District) -> str:
    """Make a district's one hospital known and a token for everything; return the token."""
    command(
        folder, "site", "add", "hospital", "--name", "县医院", "--ae-title", "STORESCU",
        "--network", "127.0.0.1", "--namespace", f"H{district.number}",
        "--oid", district.hospital_oid,
        *set_to(*district.settings),
    )  # fmt: skip
    made = command(folder, "token", "create", "consumer", "--role", "radiologist", "--json")
    return str(made["token"])


def set_to(*settings: str) -> list[str]:
    """Return the options that give a command these settings."""
    return [word for setting in settings for word in ("--set", setting)]


def push(hub: RunningHub, folder: Path, *files: bytes) -> None:
    """Send instances by C-STORE with DCMTK."""
    paths = []
    for number, data in enumerate(files):
        paths.append(folder / f"{hub.dicom_port}-{number}.dcm")
        paths[-1].write_bytes(data)
    subprocess.run(
        [require_tool("storescu"), "-aec", "EIRHUB", "127.0.0.1", str(hub.dicom_port), *paths],
        check=True,
        capture_output=True,
        timeout=60,
    )


def global_id(folder: Path, number: str, district: District) -> str:
    """Wait until a patient is known by a hospital's number; return the hub's own ID for them."""

    def known() -> str:
        name = f"{number}@{district.hospital_oid}"
        done = eirhub("identity", "show", name, "--json", *set_to(*district.settings), data=folder)
        return str(json.loads(done.stdout)["global_id"]) if done.returncode == 0 else ""

    return str(eventually(known))


def registered(hub: RunningHub, token: str, cx: str) -> bool:
    """Say whether the hub itself answers a document of the patient."""
    headers = {"Content-Type": "application/soap+xml", "Authorization": f"Bearer {token}"}
    query = imaging_wire.find_documents(cx)
    response = requests.post(f"{hub.http}/xds/registry", query, headers=headers, timeout=60)
    return bool(wire.objects(wire.payload(response), "ExtrinsicObject"))


def community(district: District, url: str, token: str) -> str:
    """One table of the settings; both know the patient by B's global ID."""
    table = {
        "home_community_id": district.home,
        "name": f"district {district.number}",
        "query_url": f"{url}/xds/gateway",
        "retrieve_url": f"{url}/xds/gateway",
        "imaging_url": f"{url}/xds/gateway",
        "patient_domain": B.global_oid,
        "token": token,
    }
    return "{" + ", ".join(f'{key} = "{value}"' for key, value in table.items()) + "}"


def tell_of(hub: RunningHub, identifier: str) -> None:
    """Feed B's name of the patient into A, as B's master index would (ITI-8)."""
    segments = (
        r"MSH|^~\&|INDEX|D2|HUB|D1|20261121120000||ADT^A04|M-1|P|2.3.1",
        "EVN|A04|20261121120000",
        f"PID|1||{identifier}^^^D2&{B.global_oid}&ISO||Wang^XiaoDong||19600506|M",
        "PV1|1|O",
    )
    host, _, port = hub.hl7.rpartition(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(b"\x0b" + "\r".join(segments).encode() + b"\r\x1c\r")
        answer = b""
        while b"\x1c" not in answer:
            answer += connection.recv(4096)
    assert b"MSA|AA" in answer or b"MSA|CA" in answer, answer


@contextmanager
def nobody_listens() -> Iterator[str]:
    """An address that is held by a socket which takes no connection, so that nobody else does."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    folder = tmp_path_factory.mktemp("two-hubs")
    with ExitStack() as stack:
        data_b = folder / "b"
        token_b = prepare(data_b, B)
        b = stack.enter_context(running_hub(data_b, *B.settings))
        push(b, folder, *(studies.instance(STUDY, 1, n, PatientID="B-1") for n in (1, 2)))
        at_b = global_id(data_b, "B-1", B)
        eventually(lambda: registered(b, token_b, f"{at_b}^^^&{B.global_oid}&ISO"))

        data_a = folder / "a"
        token_a = prepare(data_a, A)
        others = (
            community(B, b.http, token_b),
            community(DOWN, stack.enter_context(nobody_listens()), "none"),
        )
        domain = f'{{namespace = "D2", oid = "{B.global_oid}", senders = ["INDEX|D2"]}}'
        told = (f"registry.communities=[{', '.join(others)}]", f"identity.domains=[{domain}]")
        a = stack.enter_context(running_hub(data_a, *A.settings, *told))
        push(a, folder, studies.instance(OWN_STUDY, PatientID="A-1"))
        at_a = global_id(data_a, "A-1", A)
        cx_a = f"{at_a}^^^&{A.global_oid}&ISO"
        eventually(lambda: registered(a, token_a, cx_a))
        tell_of(a, at_b)
        command(
            data_a, "identity", "link", f"{at_b}@{B.global_oid}", at_a, "--json",
            "--by", "registrar", "--reason", "same card shown", *set_to(*A.settings, *told),
        )  # fmt: skip
        yield Federated(a, b, token_a, cx_a)


def test_a_study_of_the_other_district_is_found_and_its_images_are_read(
    federated: Federated,
) -> None:
    found = federated.find()
    assert wire.status(found) == "PartialSuccess"
    assert wire.errors(found) == ["XDSUnavailableCommunity"]
    assert [one.get("location") for one in found.iter("{*}RegistryError")] == [DOWN.home]
    assert imaging_wire.homes(found) == [A.home, B.home]
    theirs = next(one for one in found.iter("{*}ExtrinsicObject") if one.get("home") == B.home)
    unique_id = next(
        one.get("value")
        for one in theirs.iter("{*}ExternalIdentifier")
        if one.get("identificationScheme") == "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
    )

    request = imaging_wire.documents((B.home, B.repository, unique_id))
    answer, parts = wire.unpack(federated.post("/xds/repository", request))
    assert wire.status(answer) == "Success"
    manifest = dcmread(io.BytesIO(next(iter(parts.values()))))
    (study,) = manifest.CurrentRequestedProcedureEvidenceSequence
    listed = [
        (
            str(study.StudyInstanceUID),
            str(series.SeriesInstanceUID),
            str(one.ReferencedSOPInstanceUID),
        )
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    assert [one[2] for one in listed] == [f"{STUDY}.1.1", f"{STUDY}.1.2"]

    images = imaging_wire.images(*listed, repository=B.repository, home=B.home)
    answer, parts = wire.unpack(federated.post("/xds/imaging", images))
    assert wire.status(answer) == "Success"
    received = [dcmread(io.BytesIO(data)) for data in parts.values()]
    assert [str(one.SOPInstanceUID) for one in received] == [one[2] for one in listed]
    assert {one.file_meta.TransferSyntaxUID for one in received} == {EXPLICIT}
    assert {one.PatientID for one in received} == {"B-1"}


def test_a_reader_asks_the_other_district_on_a_page_and_fetches_its_pictures(
    federated: Federated, tmp_path: Path
) -> None:
    made = command(
        federated.a.data, "user", "add", "reader", "--role", "radiologist", "--json",
        *set_to(*A.settings),
    )  # fmt: skip
    browser = HttpClient(federated.a.http)
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/sign-in").text)
    assert token
    browser.post_form("/sign-in", csrf_token=token[1], username="reader", password=made["password"])
    record = f"/patients/{federated.patient.partition('^')[0]}"
    assert f'href="{record}/elsewhere"' in browser.get(record).text
    page = BeautifulSoup(browser.get(f"{record}/elsewhere", Accept_Language="en").text, "lxml")
    assert "district 3 did not answer" in page.get_text(" ")
    (line,) = page.select(".exams li")
    assert "district 2" in line.get_text(" ")
    fetched = browser.get(line.select_one("a")["href"])
    assert fetched.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(fetched.body)) as medium:
        found = {str(dcmread(medium.open(name)).SOPInstanceUID) for name in medium.namelist()}
    assert found == {f"{STUDY}.1.1", f"{STUDY}.1.2"}
    assert browser.get(f"{record}/elsewhere/pictures.zip?home={B.home}").status == 404


def test_what_is_here_is_still_found_when_the_other_district_is_gone(federated: Federated) -> None:
    federated.find()
    federated.b.kill()
    found = federated.find()
    assert wire.status(found) == "PartialSuccess"
    assert imaging_wire.homes(found) == [A.home]
    assert wire.errors(found) == ["XDSUnavailableCommunity"] * 2
    image = (STUDY, f"{STUDY}.1", f"{STUDY}.1.1")
    images = imaging_wire.images(image, repository=B.repository, home=B.home)
    answer, parts = wire.unpack(federated.post("/xds/imaging", images))
    assert (wire.status(answer), wire.errors(answer), parts) == (
        "Failure", ["XDSUnavailableCommunity"], {},
    )  # fmt: skip
