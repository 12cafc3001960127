"""Verify the demo from outside: as a peer, a viewer, a clinician, a citizen see the hub."""

import io
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pydicom
from PIL import Image

from hub_kernel.errors import HubError
from hub_runtime.demo.client import Answer, HttpClient
from hub_runtime.demo.registry_client import find_manifests, retrieve_document

RECIPES = ("diagnostic", "clinical", "public")
DISCLAIMER = "软件提供的信息不作为医生诊断和治疗的依据"
_POLL_S = 0.25


class DemoError(HubError):
    """A step of the demo did not show what it must show."""


@dataclass(frozen=True)
class SharedLink:
    """What is given to a citizen: the address, and by another way the passcode."""

    url: str
    passcode: str


def wait_for_studies(
    http: HttpClient, expected: dict[str, int], deadline_s: float
) -> Iterator[str]:
    """Yield each Study Instance UID once archive, registry and all three versions have it.

    `expected` maps study to number of instances.

    Raises:
        DemoError: not all were there after `deadline_s` seconds; says what was missing where.
    """
    waiting, end = dict(expected), time.monotonic() + deadline_s
    while waiting:
        missing = {uid: _missing(http, uid, count) for uid, count in waiting.items()}
        for uid in [uid for uid, lacks in missing.items() if not lacks]:
            del waiting[uid]
            yield uid
        if waiting and time.monotonic() > end:
            lines = [f"{uid}: {', '.join(missing[uid])}" for uid in waiting]
            raise DemoError("not everything arrived in time:\n" + "\n".join(lines))
        if waiting:
            time.sleep(_POLL_S)


def check_one_person(http: HttpClient, typed: str, *, identifiers: int, studies: int) -> str:
    """Find exactly one person by what a clinician types; return the global ID."""
    found = http.get(f"/api/v1/patients?q={typed}").json()["patients"]
    _require(len(found) == 1, f"searching {typed} found {len(found)} people instead of one")
    person = found[0]
    local = len(person["identifiers"])
    _require(local == identifiers, f"{typed} is known by {local} local IDs, not {identifiers}")
    timeline = http.get(f"/api/v1/patients/{person['global_id']}/timeline").json()
    shown = len(timeline["studies"])
    _require(shown == studies, f"the timeline of {typed} shows {shown} studies, not {studies}")
    return str(person["global_id"])


def check_registry(http: HttpClient, patient_cx: str, studies: set[str]) -> None:
    """Find one manifest per study by ITI-18, retrieve each by ITI-43, and read what it lists."""
    manifests = find_manifests(http, patient_cx)
    listed = set()
    for manifest in manifests:
        document = pydicom.dcmread(io.BytesIO(retrieve_document(http, manifest)))
        listed |= {
            str(item.StudyInstanceUID)
            for item in document.CurrentRequestedProcedureEvidenceSequence
        }
    _require(listed == studies, f"{len(manifests)} manifests list other studies than were sent")


def check_bit_for_bit(http: HttpClient, sent: pydicom.Dataset) -> None:
    """Retrieve an instance by WADO-RS and compare its pixels with what was sent."""
    path = (
        f"/dicom-web/studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}"
        f"/instances/{sent.SOPInstanceUID}"
    )
    answer = http.get(path, Accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    _require(answer.status == 200, f"WADO-RS answered {answer.status}")
    start = answer.body.index(b"\r\n\r\n") + 4
    back = pydicom.dcmread(io.BytesIO(answer.body[start:]), force=False)
    _require(back.PixelData == sent.PixelData, "an instance came back with other pixels")


def check_picture(http: HttpClient, path: str) -> None:
    """Fetch a picture and make sure that it shows something."""
    answer = http.get(path)
    _require(answer.status == 200, f"{path} answered {answer.status}")
    low, high = Image.open(io.BytesIO(answer.body)).convert("L").getextrema()
    _require(low != high, f"{path} is a picture of nothing")


def share(http: HttpClient, study_instance_uid: str) -> SharedLink:
    """Make a shared link to a study's public version."""
    answer = http.post_json(f"/api/v1/studies/{study_instance_uid}/links", {"expires_in_days": 7})
    _require(answer.status == 201, f"a shared link was answered {answer.status}")
    made = answer.json()
    return SharedLink(made["url"], made["passcode"])


def check_shared_link(base: str, link: SharedLink) -> None:
    """Open the link as a citizen: a wrong passcode is refused, the right one shows pictures."""
    citizen = HttpClient(base)
    wrong = str(10 ** len(link.passcode) - 1 - int(link.passcode)).zfill(len(link.passcode))
    refused = _open(citizen, link.url, wrong)
    _require(DISCLAIMER not in refused.text, "a wrong passcode opened the shared link")
    opened = _open(citizen, link.url, link.passcode)
    _require(DISCLAIMER in opened.text, "the shared link does not say that it is no diagnosis")
    pictures = re.findall(r'<img[^>]+src="([^"]+)"', opened.text)
    _require(bool(pictures), "the shared link shows no picture")
    for picture in pictures:
        check_picture(citizen, picture)


def refused_without_sign_in(base: str, study_instance_uid: str) -> None:
    """Make sure that nobody sees anything without signing in."""
    answer = HttpClient(base).get(f"/dicom-web/studies/{study_instance_uid}/metadata")
    _require(answer.status in {401, 403, 404}, f"without sign-in WADO-RS answered {answer.status}")


def _open(citizen: HttpClient, url: str, passcode: str) -> Answer:
    page = citizen.get(url)
    csrf = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page.text)
    fields = {"passcode": passcode} | ({"csrf_token": csrf.group(1)} if csrf else {})
    return citizen.post_form(url, **fields)


def _missing(http: HttpClient, uid: str, instances: int) -> list[str]:
    """Return what a study still lacks, in words."""
    answer = http.get(f"/api/v1/studies/{uid}")
    if answer.status != 200:
        return ["not received"]
    ledger = answer.json()
    there: dict[str, Callable[[], bool]] = {
        "instances": lambda: ledger["received"]["instances"] == instances,
        "completion": lambda: bool(ledger["archived"]["done"]),
        "registry entry": lambda: bool(ledger["registered"]["done"]),
    }
    lacks = [name for name, is_there in there.items() if not is_there()]
    for recipe in RECIPES:
        version = ledger["rendered"][recipe]
        if not version["done"] or version["generation"] != ledger["generation"]:
            lacks.append(f"{recipe} version")
    return lacks


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 (reads as a sentence)
    if not holds:
        raise DemoError(otherwise)
