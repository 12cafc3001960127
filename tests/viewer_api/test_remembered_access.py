"""What the web remembers between requests dies with the commit that changes it, whoever commits.

Everything is taken back through a second hub on the same database, or by a process of its own. Age
never ends an answer here, so that nothing but the commit can; and without news of commits the same
requests are still answered: these tests see the memory.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from werkzeug.test import TestResponse

from access_control.audit import AuditQuery
from access_control.consent import EVERYONE, ConsentKind
from access_control.model import Role
from access_control.shared_links import ShareRequest
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import KEY_OBJECT_SELECTION
from patient_index.model import Decided
from tests.viewer_api.region import Shown, link_one_person, new_hub, sample, store, web_app
from viewer_api.security import remembered

ROOT = "1.2.826.0.1.3680043.10.1717.66"
PASSWORD = "Correct-horse-7-battery"
REVOKE = """
import sys
from access_control.tokens import MachineTokens
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
MachineTokens(Database(sys.argv[1]), SystemClock()).revoke(sys.argv[2])
"""
DOORS = (
    "{url}/frames/1",
    "{url}/frames/1/rendered",
    "{url}/frames/1/thumbnail",
    "{url}/thumbnail",
    "{url}/metadata",
    "{study}/metadata",
    "{study}",
)


@dataclass(frozen=True)
class Two:
    """A hub that answers readers, and another one on its database where rights are changed."""

    hub: Hub
    app: Flask
    other: Hub

    def shown(self, number: int) -> Shown:
        """A study of a person of their own, made at sijing and known at jiuting as well."""
        uid = f"{ROOT}.{number}"
        changes = {"PatientID": f"RA{number}", "PatientName": f"Ra^{number}"}
        uids = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1"}
        made = sample(
            "CT_small.dcm", **changes, **uids, SOPInstanceUID=f"{uid}.1.1", AccessionNumber=uid[-8:]
        )
        shown = store(self.hub, "sijing", made)
        elsewhere = {"StudyInstanceUID": f"{uid}.2", "SeriesInstanceUID": f"{uid}.2.1"}
        also = sample("CT_small.dcm", **changes, **elsewhere, SOPInstanceUID=f"{uid}.2.1.1")
        store(self.hub, "jiuting", also)
        deliver_all_due(self.hub.database, self.hub.base.outbox)
        link_one_person(self.hub, self.patient("sijing", number), self.patient("jiuting", number))
        return shown

    def patient(self, site_id: str, number: int) -> PatientIdentifier:
        site = self.hub.access.sites.get(site_id)
        return PatientIdentifier(f"RA{number}", site.assigning_authority)

    def machine(self, name: str, site_id: str) -> FlaskClient:
        end = datetime.now(UTC) + timedelta(days=1)
        token = self.hub.access.tokens.create(name, [Role.RADIOLOGIST], [site_id], end)
        client = self.app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    hub = new_hub(tmp_path_factory.mktemp("remembered"))
    other = build_hub(hub.settings)
    yield Two(hub, web_app(hub), other)
    other.close()
    hub.close()


@pytest.fixture(autouse=True)
def ageless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_LIFETIME", timedelta(days=1))


def answers(client: FlaskClient, shown: Shown) -> set[int]:
    """Ask at every door, to the end of each answer."""
    found = set()
    for door in DOORS:
        asked: TestResponse = client.get(door.format(url=shown.url, study=shown.study_url))
        asked.get_data()
        found.add(asked.status_code)
    return found


def at_home(client: FlaskClient, shown: Shown) -> None:
    """Have everything remembered, whatever the first answers have written down themselves."""
    for _ in range(3):
        assert answers(client, shown) == {200}


def refuse(two: Two, number: int) -> None:
    global_id = two.other.patients.resolve(two.patient("sijing", number))
    assert global_id is not None
    two.other.access.consents.record(
        global_id, ConsentKind.REFUSE, EVERYONE, by="desk", reason="asked to"
    )


def unlink(two: Two, number: int) -> None:
    two.other.patients.unlink(two.patient("jiuting", number), Decided("registrar", "two people"))


def reject(two: Two, number: int) -> None:
    item, series, evidence, title = Dataset(), Dataset(), Dataset(), Dataset()
    item.ReferencedSOPInstanceUID = f"{ROOT}.{number}.1.1"
    series.ReferencedSOPSequence = DicomSequence([item])
    evidence.ReferencedSeriesSequence = DicomSequence([series])
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "113001", "DCM", "Rejected"
    note = sample("CT_small.dcm", PatientID=f"RA{number}", PatientName=f"Ra^{number}")
    note.StudyInstanceUID, note.SeriesInstanceUID = f"{ROOT}.{number}", f"{ROOT}.{number}.9"
    note.SOPClassUID, note.SOPInstanceUID, note.Modality = (
        KEY_OBJECT_SELECTION,
        f"{ROOT}.{number}.9.1",
        "KO",
    )
    note.file_meta.MediaStorageSOPClassUID = KEY_OBJECT_SELECTION
    note.file_meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID
    note.ConceptNameCodeSequence = DicomSequence([title])
    note.CurrentRequestedProcedureEvidenceSequence = DicomSequence([evidence])
    for keyword in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PixelData"):
        del note[keyword]
    store(two.other, "sijing", note)
    deliver_all_due(two.other.database, two.other.base.outbox)


TAKEN_BACK: list[tuple[str, int, str, Callable[[Two, int], None]]] = [
    ("a consent", 1, "sijing", refuse),
    ("a treatment relation by a merge", 2, "jiuting", unlink),
    ("an instance", 3, "sijing", reject),
]


@pytest.mark.parametrize(
    ("number", "site_id", "take_back"),
    [case[1:] for case in TAKEN_BACK],
    ids=[case[0] for case in TAKEN_BACK],
)
def test_what_is_taken_back_elsewhere_is_refused_by_the_next_answer(
    two: Two, number: int, site_id: str, take_back: Callable[[Two, int], None]
) -> None:
    shown = two.shown(number)
    reader = two.machine(f"reader {number}", site_id)
    at_home(reader, shown)
    take_back(two, number)
    found = answers(reader, shown)
    # The rejection note itself stays in the study, without a picture.
    assert found <= ({404, 200} if take_back is reject else {404})
    for door in DOORS[:5]:
        url = door.format(url=shown.url, study=shown.study_url)
        assert reader.get(url).status_code == 404, door


def test_a_token_revoked_by_another_process_opens_nothing_more(two: Two) -> None:
    shown = two.shown(4)
    reader = two.machine("reader 4", "sijing")
    at_home(reader, shown)
    (token_id,) = (one.token_id for one in two.hub.access.tokens.all() if one.name == "reader 4")
    url = two.hub.database.engine.url.render_as_string(hide_password=False)
    revoke = [sys.executable, "-c", REVOKE, url, token_id]
    subprocess.run(revoke, check=True, cwd=Path(remembered.__file__).parents[2])
    assert answers(reader, shown) == {401}


def test_a_session_ended_elsewhere_opens_nothing_more(two: Two) -> None:
    shown = two.shown(5)
    two.hub.access.accounts.add_user("ra-reader", PASSWORD, [Role.RADIOLOGIST], ["sijing"], "R")
    subject = two.hub.access.accounts.authenticate("ra-reader", PASSWORD, "127.0.0.1")
    session = two.hub.access.sessions.start(subject)
    reader = two.app.test_client()
    reader.set_cookie("eirhub_session", session)
    at_home(reader, shown)
    two.other.access.sessions.end(session)
    assert answers(reader, shown) == {401}


def test_a_shared_link_ends_with_the_unmerge_and_waits_for_no_event(two: Two) -> None:
    two.shown(7)
    theirs, person = f"{ROOT}.7.2", two.hub.patients.resolve(two.patient("jiuting", 7))
    assert person is not None
    ends = datetime.now(UTC) + timedelta(days=1)
    link = two.hub.access.links.create(ShareRequest(theirs, person, "x", ends, passcode="482913"))
    phone, asked = two.app.test_client(), {"recipient": "an app", "passcode": "482913"}
    assert phone.post(f"/shl/{link.token}", json=asked).status_code == 200
    unlink(two, 7)
    (kept,) = two.hub.access.links.links_of(theirs)
    assert kept.revoked_at is None, "the event that withdraws it is not delivered here"
    assert phone.post(f"/shl/{link.token}", json=asked).status_code == 404


@pytest.mark.parametrize(
    ("number", "site_id", "take_back"),
    [(10 + case[1], *case[2:]) for case in TAKEN_BACK],
    ids=[case[0] for case in TAKEN_BACK],
)
def test_it_is_the_version_that_ends_what_is_remembered(
    two: Two,
    number: int,
    site_id: str,
    take_back: Callable[[Two, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = two.shown(number)
    reader = two.machine(f"reader {number}", site_id)
    with monkeypatch.context() as deaf:
        deaf.setattr(two.hub.database.version, "current", lambda: "always the same")
        at_home(reader, shown)
        take_back(two, number)
        assert reader.get(f"{shown.url}/frames/1").status_code == 200
    assert reader.get(f"{shown.url}/frames/1").status_code == 404


def test_refusals_stay_on_record_one_by_one(two: Two) -> None:
    shown = two.shown(6)
    stranger = two.machine("reader 6", "central")
    for _ in range(3):
        assert stranger.get(f"{shown.url}/frames/1").status_code == 404
    found = two.hub.access.audit.search(AuditQuery(resource_ids=frozenset({shown.study})))
    assert [record.outcome for record in found.records] == ["refused"] * 3


def test_an_answer_that_depends_on_the_time_is_asked_for_again_after_a_second() -> None:
    memory, noon = remembered._Memory(), datetime(2026, 11, 22, 12, tzinfo=UTC)
    memory.recall(1, "who", noon)
    memory.keep(1, "who", remembered._Answer("reader", noon))
    memory.keep(1, "where", remembered._Answer("archive", None))
    later = noon + timedelta(days=2)
    assert memory.recall(1, "who", noon) == "reader"
    assert memory.recall(1, "who", later) is None
    assert memory.recall(1, "who", noon - timedelta(seconds=1)) is None
    assert memory.recall(1, "where", later) == "archive"
    assert memory.recall(2, "where", later) is None


def test_an_answer_asked_for_before_a_commit_is_not_kept_after_it() -> None:
    memory, noon = remembered._Memory(), datetime(2026, 11, 22, 12, tzinfo=UTC)
    memory.recall(1, "who", noon)
    memory.recall(2, "who", noon)
    memory.keep(1, "who", remembered._Answer("reader", noon))
    assert memory.recall(2, "who", noon) is None
