"""What Orthanc asks the hub: every address × every credential, then the delivered configuration.

The last part runs Debian's Orthanc with `config/orthanc/` as it is, but for ports and folders.
"""

import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)
from werkzeug.serving import WSGIRequestHandler, make_server

from access_control.audit import AuditTrail
from access_control.consent import Consents
from access_control.model import Role, Site
from access_control.sites import SiteDirectory
from access_control.tokens import MachineTokens
from dicom_router.association_audit import AssociationAudit
from dicom_router.handlers.c_find import FindRules, FindService
from edge_gateway.door_audit import DoorAudit
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.metrics import Metrics
from hub_runtime.machine_authentication import by_credentials
from hub_runtime.orthanc_queries import OrthancQueries
from hub_runtime.orthanc_service import ROUTES, OrthancService
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceOrigin
from image_archive.service import ArchiveService
from patient_index.same_person import SamePerson
from tests.dicom_router.instances import ct, encoded, part10
from tests.support.orthanc_server import PASSWORD, Orthanc
from tests.support.ports import free_port
from tests.support.pushing import Sent, push
from tests.support.tables import create_tables
from tests.support.tools import require_orthanc_plugins, require_tool

CONFIG = Path(__file__).resolve().parents[2] / "config" / "orthanc"
STUDY = "1.2.826.0.1.3680043.10.1603.8.97"
CHINESE = {"SpecificCharacterSet": "GB18030", "PatientName": "王^小东", "PatientID": "970"}


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: Any) -> None:
        """Say nothing."""


@dataclass
class Door:
    """The door on a port of its own; it can be closed for a while."""

    service: OrthancService
    tokens: MachineTokens
    hints: threading.Event
    port: int = field(default_factory=free_port)
    _server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._server = make_server(
            "127.0.0.1", self.port, self._mounted, threaded=True, request_handler=_Quiet
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _mounted(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/orthanc")
        return self.service(environ, start_response)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    database, clock = Database(f"sqlite:///{folder / 'hub.sqlite'}"), SystemClock()
    create_tables(database)
    sites, tokens = SiteDirectory(database, clock), MachineTokens(database, clock)
    for site_id, title in (("qingshan", "QINGSHAN_CT"), ("baihe", "BAIHE_CT")):
        authority = AssigningAuthority(site_id.upper(), f"1.2.156.97.{len(site_id)}")
        sites.add(Site(site_id, site_id, "", "", "", (title,), ("127.0.0.0/8",), authority))
    trail = AuditTrail(database, clock, b"k" * 32)
    trail.begin()
    hints = threading.Event()
    archive = ArchiveService(database, FilesystemBackend(folder / "archive"), clock)
    origin = InstanceOrigin("qingshan", sites.get("qingshan").assigning_authority, "", "", "")
    archive.store_file(part10(ct(1, f"{STUDY}.0", **CHINESE)), origin)
    queries = OrthancQueries(
        FindService(
            ArchiveIndex(database),
            AssociationAudit(database, trail),
            Consents(database, clock, SamePerson(database)),
            Metrics(),
            FindRules(100, "EIRHUB", UTC, always_relational=True),
        )
    )
    service = OrthancService(
        authenticate=by_credentials(tokens),
        sites=sites,
        audit=DoorAudit(database, trail),
        hinted=hints.set,
        queries=queries,
        accept_unknown=False,
    )
    door = Door(service, tokens, hints)
    door.open()
    yield door
    door.close()
    archive.close()
    database.dispose()


def token(door: Door, *roles: Role, site: str = "") -> str:
    end = datetime.now(UTC) + timedelta(days=1)
    return door.tokens.create(str(uuid.uuid4()), roles, [site] if site else None, end)


def asked(door: Door, method: str, path: str, token: str = "") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, f"{door.url}/orthanc{path}", headers=headers, timeout=30)


def test_every_address_is_closed_to_all_but_machines_that_hand_over_studies(door: Door) -> None:
    clinician = token(door, Role.CLINICIAN)
    for rule in ROUTES.iter_rules():
        (method,) = set(rule.methods or ()) - {"HEAD", "OPTIONS"}
        door.hints.clear()
        assert asked(door, method, rule.rule).status_code == 401
        assert asked(door, method, rule.rule, "made-up").status_code == 401
        assert asked(door, method, rule.rule, clinician).status_code == 404
        assert not door.hints.is_set()
    assert asked(door, "DELETE", "/hint", clinician).status_code == 405
    assert asked(door, "GET", "/nothing", clinician).status_code == 404


def test_a_device_of_a_site_may_store_and_no_other(door: Door) -> None:
    regional, local = token(door, Role.EDGE), token(door, Role.EDGE, site="baihe")

    def may(title: str, credential: str) -> bool:
        stores = asked(door, "GET", f"/admission?ae={title}", credential).json()["store"]
        return bool(stores)

    assert may("QINGSHAN_CT", regional)
    assert not may("STRANGER", regional)
    assert not may("", regional)
    assert may("BAIHE_CT", local)
    assert not may("QINGSHAN_CT", local)


def test_queries_need_a_machine_that_may_query_for_that_site(door: Door) -> None:
    query = {"ae": "QINGSHAN_CT", "called": "ORTHANC", "keys": {"00080052": "STUDY"}}

    def answered(asked: object, *roles: Role, site: str = "") -> int:
        headers = {"Authorization": f"Bearer {token(door, *roles, site=site)}"}
        address = f"{door.url}/orthanc/find"
        return requests.post(address, json=asked, headers=headers, timeout=30).status_code

    both = (Role.EDGE, Role.CLINICIAN)
    assert answered(query, *both) == 200
    assert answered(query, *both, site="qingshan") == 200
    assert answered(query, *both, site="baihe") == 404
    assert answered(query, Role.EDGE) == 404
    assert answered(query, Role.CLINICIAN) == 404
    assert answered(query | {"ae": "STRANGER"}, *both) == 404
    for broken in ({}, [], query | {"keys": {"zz": ""}}, query | {"keys": {"00080052": "ROOM"}}):
        assert answered(broken, *both) in {400, 502}


@pytest.fixture(scope="module")
def shimmed(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc as `config/orthanc` sets it up."""
    require_orthanc_plugins("Python", "DicomWeb", "Gdcm")
    delivered = json.loads((CONFIG / "orthanc.json").read_text(encoding="utf-8"))
    moved = {"StorageDirectory", "IndexDirectory", "HttpPort", "DicomPort"}
    options = {name: value for name, value in delivered.items() if name not in moved}
    options["DicomModalities"] = {
        title: [title, "127.0.0.1", 104] for title in ("QINGSHAN_CT", "BAIHE_CT")
    }
    options["PythonScript"] = str(CONFIG / "eirhub_shim.py")
    environment = {
        "EIRHUB_URL": door.url,
        "EIRHUB_TOKEN": token(door, Role.EDGE, Role.CLINICIAN),
        "EIRHUB_ORTHANC_TOKEN": PASSWORD,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    server = Orthanc(
        folder=tmp_path_factory.mktemp("shimmed"), options=options, environment=environment
    )
    server.start()
    yield server
    server.kill()


def answers(server: Orthanc, calling: str, number: int) -> list[int]:
    study = f"{STUDY}.{number}"
    sent = [Sent(f"{study}.1.{n}", encoded(ct(n, study))) for n in (1, 2)]
    told = push(server.dicom_port, sent, calling=calling.encode(), called=b"ORTHANC")
    return list(told.values())


def test_orthanc_takes_what_the_hub_admits_and_says_that_something_came(
    door: Door, shimmed: Orthanc
) -> None:
    door.hints.clear()
    assert answers(shimmed, "QINGSHAN_CT", 1) == [0, 0]
    assert door.hints.wait(60)
    assert answers(shimmed, "STRANGER", 2) == [0x0124, 0x0124]
    assert shimmed.rest("GET", "/statistics")["CountInstances"] == 2


def test_without_the_hub_orthanc_goes_on_for_those_it_knows_and_takes_nothing_of_others(
    door: Door, shimmed: Orthanc
) -> None:
    assert answers(shimmed, "QINGSHAN_CT", 3) == [0, 0]
    door.close()
    try:
        assert answers(shimmed, "QINGSHAN_CT", 4) == [0, 0]
        assert answers(shimmed, "BAIHE_CT", 5) == [0xA700, 0xA700]
    finally:
        door.open()
    assert answers(shimmed, "BAIHE_CT", 6) == [0, 0]


def found(server: Orthanc, calling: str, **keys: str) -> tuple[list[Dataset], int]:
    """What C-FIND at Orthanc answers, and with what status it ends."""
    entity = AE(calling)
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", server.dicom_port, ae_title="ORTHANC")
    query = Dataset()
    query.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in {"QueryRetrieveLevel": "STUDY", "PatientName": "", **keys}.items():
        setattr(query, keyword, value)
    answers = list(association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    association.release()
    shown = [dataset for status, dataset in answers if dataset is not None]
    return shown, answers[-1][0].Status


def test_a_query_at_orthanc_is_answered_by_the_hub_for_the_site_that_asks(
    door: Door, shimmed: Orthanc
) -> None:
    keys = {"StudyInstanceUID": "", "NumberOfStudyRelatedInstances": "", "ModalitiesInStudy": ""}
    for name in ("王*", "wang*", "wxd"):
        (one,), status = found(shimmed, "QINGSHAN_CT", **keys | {"PatientName": name})
        assert status == 0
        assert one.StudyInstanceUID == f"{STUDY}.0"
        assert str(one.PatientName).startswith("王^小东")
        assert (one.NumberOfStudyRelatedInstances, one.ModalitiesInStudy) == (1, "CT")
        assert one.RetrieveAETitle == "ORTHANC"
    assert found(shimmed, "BAIHE_CT", **keys) == ([], 0)
    door.close()
    try:
        shown, status = found(shimmed, "QINGSHAN_CT", **keys)
    finally:
        door.open()
    assert not shown
    assert status != 0


def findscu(server: Orthanc, calling: str, model: str, *keys: str) -> tuple[int, str]:
    """Ask with DCMTK's findscu; return its exit code and all it says."""
    titles = ["-to", "60", "-aet", calling, "-aec", "ORTHANC"]
    wanted = [part for key in keys for part in ("-k", key)]
    asked = subprocess.run(
        [require_tool("findscu"), "-v", *titles, model, *wanted, "127.0.0.1"]
        + [str(server.dicom_port)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    return asked.returncode, (asked.stdout + asked.stderr).decode(errors="replace")


def test_dcmtk_is_answered_as_the_site_it_calls_from_and_has_no_worklist(shimmed: Orthanc) -> None:
    study = ("QueryRetrieveLevel=STUDY", "PatientName=wang*", "StudyInstanceUID")
    _, told = findscu(shimmed, "QINGSHAN_CT", "-S", *study)
    assert f"[{STUDY}.0]" in told
    assert "Received Final Find Response (Success)" in told
    _, told = findscu(shimmed, "BAIHE_CT", "-S", *study)
    assert "Received Final Find Response (Success)" in told
    assert STUDY not in told
    _, told = findscu(shimmed, "STRANGER", "-S", *study)
    assert "Aborted" in told
    assert STUDY not in told
    status, told = findscu(shimmed, "QINGSHAN_CT", "-W", "PatientName=*")
    assert status
    assert "No Acceptable Presentation Contexts" in told


def test_whom_orthanc_does_not_know_it_gives_no_association_if_it_is_told_so(
    shimmed: Orthanc, tmp_path: Path
) -> None:
    closed = {"DicomAlwaysAllowStore": False, "DicomAlwaysAllowEcho": False}
    strict = Orthanc(
        folder=tmp_path, options=shimmed.options | closed, environment=shimmed.environment
    )
    strict.start()
    try:
        assert answers(strict, "QINGSHAN_CT", 7) == [0, 0]
        entity = AE("STRANGER")
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        assert entity.associate("127.0.0.1", strict.dicom_port, ae_title="ORTHANC").is_rejected
    finally:
        strict.kill()
    # Control: as it is delivered, anybody has one, and each instance is decided about.
    entity = AE("STRANGER")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", shimmed.dicom_port, ae_title="ORTHANC")
    assert association.is_established
    association.release()


def test_orthancs_rest_api_opens_with_the_hubs_token_alone(shimmed: Orthanc) -> None:
    with urllib3.PoolManager(retries=False, timeout=30.0) as pool:
        for wrong in (None, "orthanc:orthanc", "eirhub:", "eirhub:${EIRHUB_ORTHANC_TOKEN}"):
            headers = urllib3.util.make_headers(basic_auth=wrong)
            for path in ("/system", "/instances", "/dicom-web/studies", "/tools/execute-script"):
                assert pool.request("GET", f"{shimmed.url}{path}", headers=headers).status == 401
    assert shimmed.rest("GET", "/system")["DicomAet"] == "ORTHANC"


def test_the_shim_needs_the_standard_library_alone() -> None:
    shim = (CONFIG / "eirhub_shim.py").read_text(encoding="utf-8")
    names = {line.split()[1].split(".")[0] for line in shim.splitlines() if "import " in line[:7]}
    assert names == {
        "contextlib", "json", "orthanc", "os", "threading", "time", "urllib",
    }  # fmt: skip
