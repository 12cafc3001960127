"""A hub with three patients, and what every reader of links says about them."""

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from lxml import etree
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)
from sqlalchemy import select
from werkzeug.test import Client

from access_control.model import Role
from access_control.shared_links import NewLink, ShareRequest
from eir_versions.tables import EirVersionRow
from hub_kernel.database import Base
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.tasks import deliver_all_due
from hub_runtime.hub import Hub
from tests.support.serving_hub import eirhub
from tests.viewer_api.region import Shown, sample, settle, store
from tests.xds_registry import wire

ARRIVED = (
    "study", "series", "instance", "document_entry", "document_reference", "submission_set",
    "xds_association", "repository_document", "study_manifest", "patient_identifier",
    "observed_demographics",
)  # fmt: skip
_PATIENT_ID = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"


@dataclass(frozen=True)
class Seen:
    """What every reader says about one study of the two persons concerned."""

    timeline: dict[str, frozenset[str]]
    """By global ID: the studies of that person; a person nobody resolves to has none."""
    archive: dict[str, frozenset[str]]
    registry: dict[str, frozenset[tuple[str, str, str]]]
    """By global ID: (study, patient, source patient ID) of the documents that ITI-18 answers."""
    manifests: frozenset[str]
    """Studies whose manifest a doctor of the second township alone can retrieve (ITI-43)."""
    qido: frozenset[str]
    """Studies that a doctor of the second township alone may see."""
    c_find: dict[str, str]
    """By study: the Patient ID that C-FIND answers."""
    pix: dict[str, frozenset[str]]
    """By study: what ITI-83 cross-references the site's own number to, beside itself."""
    kos: dict[str, str]
    """By study: the SHA-256 of the manifest, as a reader of the whole region retrieves it."""
    link: tuple[int, str]
    """HTTP status of the citizen's shared link, and the facts and pictures it shows."""


class Flow:
    """A hub with everything that reads links, and the questions put to it."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub = hub
        self.folder = folder
        self.first = self._stored("sijing", "CT_small.dcm", "S001")
        self.second = self._stored("jiuting", "MR_small.dcm", "J900")
        self.stranger = self._stored("central", "examples_ybr_color.dcm", "S001")
        settle(hub, studies=3)
        self.persons = tuple(
            hub.patients.resolve(self.number(one)) or "" for one in (self.first, self.second)
        )
        self.client = Client(hub.wsgi())
        self.everywhere = self._token("registry", None)
        self.doctor = self._token("doctor", ("jiuting",))
        self.registrar = self._token("registrar", None, Role.REGISTRAR)
        self.link = self._shared()

    def number(self, shown: Shown) -> PatientIdentifier:
        study = self.hub.index.study(shown.study)
        assert study is not None
        return study.patient

    def written(self, shown: Shown) -> str:
        number = self.number(shown)
        return f"{number.value}@{number.issuer.namespace}"

    def identity(self, *words: str) -> Any:
        """Run `eirhub identity` beside the hub and let the hub hear of it."""
        said = ("--by", "registrar", "--reason", "same card shown")
        extra = () if words[0] in {"show", "history"} else said
        done = eirhub("identity", *words, *extra, "--json", data=self.folder)
        assert done.returncode == 0, done.stderr
        deliver_all_due(self.hub.database, self.hub.base.outbox)
        return json.loads(done.stdout)

    def seen(self, port: int) -> Seen:
        return Seen(
            timeline={one: self._timeline(one) for one in self.persons},
            archive={
                one: frozenset(
                    study.study_instance_uid
                    for study in self.hub.index.studies_of(self.hub.patients.identifiers_of(one))
                )
                for one in self.persons
            },
            registry={one: self._documents(one) for one in self.persons},
            manifests=frozenset(
                one.study
                for one in (self.first, self.second, self.stranger)
                if self._retrieved(one)
            ),
            qido=frozenset(
                study["0020000D"]["Value"][0]
                for study in self.get("/dicom-web/studies", self.doctor).json or ()
            ),
            c_find={one.study: _found_by_peer(port, one) for one in (self.first, self.second)},
            pix={one.study: self._cross_references(one) for one in (self.first, self.second)},
            kos={one.study: self._manifest_digest(one) for one in (self.first, self.second)},
            link=self.shared_exam(),
        )

    def files(self) -> dict[str, str]:
        """Return the SHA-256 of every file the archive and the repository keep."""
        kept = [path for path in self.folder.rglob("*") if path.is_file() and not _changes(path)]
        assert len(kept) >= 3
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in kept
        }

    def described(self, path: str) -> Any:
        """Return the description of a version that a file of `files` holds; a picture fails."""
        return json.loads((self.folder / path).read_bytes())

    def as_of(self, moment: str) -> dict[str, frozenset[str]]:
        """By global ID: the numbers that the API says led to it at that moment."""
        found = {}
        for one in self.persons:
            answer = self.get(
                f"/api/v1/identity/people/{one}/history", self.registrar, as_of=moment
            )
            if answer.status_code == 200:
                numbers = answer.json["identifiers"]
                found[one] = frozenset(number["value"] for number in numbers)
        return found

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row that says what arrived, as it lies in the database.

        Versions did not arrive: a change of links makes new ones.
        """
        tables = Base.metadata.tables
        with self.hub.database.read() as session:
            made = _names_of_versions(session.scalars(select(EirVersionRow.version_id)))
            rows = {
                name: [
                    tuple(row)
                    for row in session.execute(select(tables[name]))
                    if made.isdisjoint(str(cell) for cell in row)
                ]
                for name in ARRIVED
            }
        assert all(rows[name] for name in ARRIVED if name != "xds_association")
        return rows

    def _stored(self, site_id: str, name: str, patient_id: str) -> Shown:
        name_cn = "Li^Si" if site_id == "central" else "Wang^XiaoMei=王^小梅"
        changes = {"PatientID": patient_id, "SpecificCharacterSet": "GB18030"}
        return store(self.hub, site_id, sample(name, PatientName=name_cn, **changes))

    def _token(self, name: str, sites: tuple[str, ...] | None, role: Role = Role.CLINICIAN) -> str:
        expires = self.hub.base.clock.now() + timedelta(days=1)
        return self.hub.access.tokens.create(name, (role,), sites, expires)

    def get(self, path: str, token: str, **query: str) -> Any:
        return self.client.get(
            path, query_string=query, headers={"Authorization": f"Bearer {token}"}
        )

    def _cross_references(self, shown: Shown) -> frozenset[str]:
        number = self.number(shown)
        source = f"urn:oid:{number.issuer.oid}|{number.value}"
        answer = self.get("/fhir/Patient/$ihe-pix", self.everywhere, sourceIdentifier=source)
        assert answer.status_code == 200, answer.text
        named = [
            part["valueIdentifier"]["value"]
            for part in answer.json.get("parameter", ())
            if part["name"] == "targetIdentifier"
        ]
        return frozenset(named) - {number.value}

    def _manifest_digest(self, shown: Shown) -> str:
        answer = self._manifest(shown, self.everywhere)
        begins = answer.index(b"DICM") - 128
        return hashlib.sha256(answer[begins : answer.index(b"\r\n--", begins)]).hexdigest()

    def _timeline(self, global_id: str) -> frozenset[str]:
        answer = self.get(f"/api/v1/patients/{global_id}/timeline", self.everywhere)
        if answer.status_code == 404:
            return frozenset()
        return frozenset(study["study_instance_uid"] for study in answer.json["studies"])

    def _retrieved(self, shown: Shown) -> bool:
        return shown.study.encode() in self._manifest(shown, self.doctor)

    def _manifest(self, shown: Shown, token: str) -> bytes:
        entry = self.hub.registry.manifest_of(shown.study)
        assert entry is not None
        asked = wire.retrieve((entry.repository_unique_id, entry.unique_id))
        return self._soap("/xds/repository", token, asked, wire.ITI43)

    def _documents(self, global_id: str) -> frozenset[tuple[str, str, str]]:
        cx = self.hub.patients.global_identifier(global_id).cx
        slots = (
            ("$XDSDocumentEntryPatientId", f"'{cx}'"),
            ("$XDSDocumentEntryStatus", wire.APPROVED),
        )
        answer = self._soap(
            "/xds/registry", self.everywhere, wire.query(wire.FIND_DOCUMENTS, slots), wire.ITI18
        )
        found = etree.fromstring(answer).iter(f"{{{wire.RIM}}}ExtrinsicObject")
        return frozenset((_study_of(one), _patient_of(one), _source_of(one)) for one in found)

    def _soap(self, path: str, token: str, body: bytes, action: str) -> bytes:
        answer = self.client.post(
            path,
            data=body,
            headers={"Authorization": f"Bearer {token}"},
            content_type=f'application/soap+xml; charset=UTF-8; action="{action}"',
        )
        assert answer.status_code == 200, answer.text
        return answer.data

    def _shared(self) -> NewLink:
        return self.hub.access.links.create(
            ShareRequest(
                self.second.study,
                self.persons[1],
                "doctor",
                self.hub.base.clock.now() + timedelta(days=1),
            )
        )

    def shared_exam(self) -> tuple[int, str]:
        browser, door = Client(self.hub.wsgi()), f"/share/{self.link.token}"
        form = BeautifulSoup(browser.get(door).data, "html.parser")
        token = form.select_one("input[name=csrf_token]")
        assert token is not None
        said = {"passcode": self.link.passcode, "csrf_token": str(token["value"])}
        opened = browser.post(door, data=said)
        if opened.status_code != 303:
            return int(opened.status_code), ""
        exam = browser.get("/share/exam")
        page = BeautifulSoup(exam.data, "html.parser")
        facts = [part.get_text(" ", strip=True) for part in page.select("dl.facts")]
        pictures = [str(picture["src"]) for picture in page.select(".pictures img")]
        shown = [hashlib.sha256(browser.get(one).data).hexdigest() for one in pictures]
        return int(exam.status_code), " ".join([*facts, *shown])


def _changes(path: Path) -> bool:
    """True of what may change: the database and its journal, keys and logs of the running hub."""
    return ".sqlite" in path.name or "secrets" in path.parts or path.suffix in {".log", ".lock"}


def _study_of(entry: etree._Element) -> str:
    text = etree.tostring(entry).decode()
    marker = "urn:ihe:iti:xds:2016:studyInstanceUID"
    references = [part for part in text.split("<") if marker in part]
    assert references, text
    return references[0].rpartition(">")[2].partition("^")[0]


def _patient_of(entry: etree._Element) -> str:
    [found] = [
        one.get("value")
        for one in entry.iter(f"{{{wire.RIM}}}ExternalIdentifier")
        if one.get("identificationScheme") == _PATIENT_ID
    ]
    return str(found).partition("^")[0]


def _source_of(entry: etree._Element) -> str:
    for slot in entry.iter(f"{{{wire.RIM}}}Slot"):
        if slot.get("name") == "sourcePatientId":
            return str(next(slot.iter(f"{{{wire.RIM}}}Value")).text)
    return ""


def _found_by_peer(port: int, shown: Shown) -> str:
    """Ask as the site that sent the study; return the one Patient ID it is answered under."""
    [patient_id] = answers_of_peer(port, shown)
    return patient_id


def answers_of_peer(port: int, shown: Shown) -> list[str]:
    entity = AE(shown.site_id.upper())
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = shown.study
    query.PatientID = ""
    answers = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    found = [str(answer.PatientID) for _, answer in answers if answer is not None]
    association.release()
    return found


def _names_of_versions(version_ids: Iterable[str]) -> set[str]:
    """Return what the registry calls versions and the sets they are submitted in."""
    made = {uuid.UUID(one) for one in version_ids}
    sets = {uuid.uuid5(one, "submission-set") for one in made}
    return {f"2.25.{one.int}" for one in made | sets} | {f"urn:uuid:{one}" for one in made | sets}
