"""A township comes on line by docs/operations.md alone: the very commands of that page are run.

Then Orthanc as SCU over DICOM TLS, and a C-MOVE over TLS both ways.
"""

import json
import re
import shlex
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove

from tests.support.ports import free_port, listens
from tests.support.serving_hub import ROOT, eirhub
from tests.support.tools import require_tool
from tests.support.waiting import eventually

_START_S = 240


@dataclass(frozen=True)
class Township:
    """A hub that serves, and the folder the commands were run in."""

    folder: Path
    dicom_tls: int
    https: str

    @property
    def data(self) -> Path:
        return self.folder / "hub"

    def dcmtk(self, tool: str, *args: str) -> "subprocess.CompletedProcess[str]":
        """Run a tool of DCMTK as the township, by TLS with its certificate."""
        pair = self.folder / "sijing-certificate"
        tls = ["+tls", pair / "key.pem", pair / "certificate.pem", "+cf", pair / "ca.pem"]
        titles = ["-aet", "SIJING_CT", "-aec", "EIRHUB"]
        where = ["127.0.0.1", self.dicom_tls]
        command = [require_tool(tool), *titles, *tls, *args[:-1], *where, *args[-1:]]
        return subprocess.run(
            [str(part) for part in command if part],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip


def commands(place: str) -> list[str]:
    """The commands of the page that are to be run at a place."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```sh\n# {re.escape(place)}\n(.*?)```", page, re.DOTALL)
    assert blocks, f"no commands for {place}"
    return [line for block in blocks for line in block.splitlines() if line]


def here(command: str, folder: Path, tls_port: int = 0) -> list[str]:
    """The command as it is, but for names and ports of this machine."""
    words = shlex.split(
        command.replace("/srv/eirhub", str(folder / "hub"))
        .replace("hub.example.cn 2762", f"127.0.0.1 {tls_port}")
        .replace("hub.example.cn", "localhost")
        .replace("10.1.0.5", "127.0.0.1")
        .replace("10.21.0.0/16", "127.0.0.0/8")
    )
    if words[0] == "eirhub":
        return [sys.executable, "-m", "hub_runtime.cli", *words[1:]]
    return [require_tool(words[0]), *words[1:]]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=600,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def township(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Township]:
    folder = tmp_path_factory.mktemp("township")
    for command in commands("on the hub, once"):
        run(here(command, folder), folder)
    *before, serve = commands("on the hub, for each township")
    for command in before:
        run(here(command, folder), folder)
    free = ["router.port", "router.tls_port", "web.port", "web.tls_port", "hl7.port", "viewer.port"]
    command = [*here(serve, folder), "--set", "study.quiet_period_s=1"]
    for name in free:
        command += ["--set", f"{name}=0"]
    config = folder / "destinations.toml"
    config.write_text(_DESTINATIONS)
    command += ["--config", str(config)]
    with _serving(command, folder) as ready:
        secure = re.search(r"dicom_tls=\S+:(\d+)", ready)
        https = re.search(r"https=(\S+)", ready)
        assert secure, ready
        assert https, ready
        yield Township(folder, int(secure[1]), https[1])


_MOVE_PORT = free_port()
_DESTINATIONS = f"""
[[router.destinations]]
name = "reader"
ae_title = "READER"
host = "127.0.0.1"
port = {_MOVE_PORT}
tls = true
"""


@contextmanager
def _serving(command: list[str], folder: Path) -> Iterator[str]:
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        assert process.stdout
        ready = process.stdout.readline()
        assert "eirhub ready" in ready, (folder / "serve.log").read_text()[-2000:]
        yield ready
    finally:
        process.terminate()
        process.wait(_START_S)
        if process.stdout:
            process.stdout.close()


def study(folder: Path, name: str, number: int) -> Path:
    dataset = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    uid = f"1.2.826.0.1.3680043.9.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1.1"
    dataset.PatientID = f"T{number}"
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_the_page_alone_brings_a_township_on_line(township: Township) -> None:
    folder = township.folder
    study(folder, "test.dcm", 1)
    for command in commands("at the township"):
        run(here(command, folder, township.dicom_tls), folder)
    said = "".join(
        run(here(command, folder), folder) for command in commands("on the hub, afterwards")
    )
    assert "tls_only: True" in said
    assert "nothing waits" in said
    assert "WARN" not in said
    shown = json.loads(eirhub("site", "show", "sijing", "--json", data=township.data).stdout)
    assert len(shown["certificate_fingerprints"]) == 1
    modes = {path.stat().st_mode & 0o777 for path in (folder / "sijing-certificate").iterdir()}
    assert modes == {0o600}


def test_the_passphrase_opens_the_pkcs12_file(township: Township) -> None:
    made = json.loads(
        eirhub(
            "site", "certificate", "issue", "sijing", "--ae-title", "SIJING_CT", "--key", "rsa",
            "--out", township.folder / "second", "--json", data=township.data,
        ).stdout
    )  # fmt: skip
    bundle = (township.folder / "second" / "certificate.p12").read_bytes()
    key, certificate, others = pkcs12.load_key_and_certificates(bundle, made["passphrase"].encode())
    assert key is not None
    assert key.key_size == 3072  # type: ignore[union-attr]
    assert certificate is not None
    assert len(others) == 1


def test_the_same_key_pair_opens_dicomweb_and_no_page(township: Township) -> None:
    pair = township.folder / "sijing-certificate"
    context = ssl.create_default_context(cafile=pair / "ca.pem")
    stranger = urllib.request.Request(f"{township.https}/dicom-web/studies")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(stranger, context=context, timeout=60)
    assert refused.value.code == 401
    refused.value.close()
    context.load_cert_chain(pair / "certificate.pem", pair / "key.pem")
    with urllib.request.urlopen(stranger, context=context, timeout=60) as answer:
        assert answer.status in {200, 204}
    page = urllib.request.Request(f"{township.https}/region")
    with urllib.request.urlopen(page, context=context, timeout=60) as answer:
        assert "/sign-in" in answer.url


def test_a_revoked_certificate_is_refused_by_the_running_hub(township: Township) -> None:
    folder = township.folder
    made = json.loads(
        eirhub("site", "certificate", "issue", "sijing", "--out", folder / "lost", "--json",
               data=township.data).stdout
    )  # fmt: skip
    lost = folder / "lost"
    echo = [
        require_tool("echoscu"), "-aet", "SIJING_CT", "-aec", "EIRHUB", "+tls",
        str(lost / "key.pem"), str(lost / "certificate.pem"), "+cf", str(lost / "ca.pem"),
        "127.0.0.1", str(township.dicom_tls),
    ]  # fmt: skip

    def opens_the_door() -> bool:
        return subprocess.run(echo, capture_output=True, check=False).returncode == 0

    eventually(opens_the_door)
    eirhub("site", "certificate", "revoke", "sijing", made["id"], data=township.data)
    eventually(lambda: not opens_the_door())


def test_a_move_over_tls_arrives_over_tls_at_a_host_that_is_who_it_says(
    township: Township,
) -> None:
    sent = township.dcmtk("storescu", str(study(township.folder, "moved.dcm", 2)))
    assert sent.returncode == 0, sent.stderr
    received, named = township.folder / "received", township.folder / "named"
    received.mkdir()
    # The township's first pair is for no host: the hub calls 127.0.0.1 and must not believe it.
    with _reading(township.folder / "sijing-certificate", received):
        assert _moved(township) != 0x0000
    assert not list(received.iterdir())
    made = eirhub(
        "site", "certificate", "issue", "sijing", "--host", "127.0.0.1", "--out", named,
        data=township.data,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with _reading(named, received):
        assert _moved(township) == 0x0000
    assert list(received.iterdir())


@contextmanager
def _reading(pair: Path, received: Path) -> Iterator[None]:
    command = [
        require_tool("storescp"), "-aet", "READER", "-od", str(received), "+tls",
        str(pair / "key.pem"), str(pair / "certificate.pem"), "+cf", str(pair / "ca.pem"),
        str(_MOVE_PORT),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reader:
        try:
            eventually(lambda: listens(_MOVE_PORT))
            yield
        finally:
            reader.terminate()


def _moved(township: Township) -> int:
    """Ask for the study by C-MOVE over TLS; return the last status."""
    pair = township.folder / "sijing-certificate"
    context = ssl.create_default_context(cafile=pair / "ca.pem")
    context.load_cert_chain(pair / "certificate.pem", pair / "key.pem")
    entity = AE("SIJING_CT")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    association = entity.associate(
        "127.0.0.1", township.dicom_tls, ae_title="EIRHUB", tls_args=(context, "localhost")
    )
    assert association.is_established
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = "1.2.826.0.1.3680043.9.2"
    model = StudyRootQueryRetrieveInformationModelMove
    answers = [status for status, _ in association.send_c_move(wanted, "READER", model)]
    association.release()
    return int(answers[-1].Status)


def test_orthanc_sends_over_dicom_tls(township: Township) -> None:
    pair = township.folder / "sijing-certificate"
    port = free_port()
    config = {
        "Name": "township", "StorageDirectory": str(township.folder / "orthanc"),
        "HttpPort": port, "DicomPort": free_port(), "DicomAet": "SIJING_CT",
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [],
        "DicomTlsEnabled": True, "DicomTlsCertificate": str(pair / "certificate.pem"),
        "DicomTlsPrivateKey": str(pair / "key.pem"),
        "DicomTlsTrustedCertificates": str(pair / "ca.pem"),
        "DicomModalities": {
            "hub": {"AET": "EIRHUB", "Host": "127.0.0.1", "Port": township.dicom_tls,
                    "UseDicomTls": True}
        },
    }  # fmt: skip
    (township.folder / "orthanc.json").write_text(json.dumps(config))
    log = township.folder / "orthanc.log"
    command = [require_tool("Orthanc"), str(township.folder / "orthanc.json")]
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as orthanc:
        try:
            path = study(township.folder, "orthanc.dcm", 3)
            kept = json.loads(_posted(port, "/instances", path.read_bytes()))
            _posted(port, "/modalities/hub/store", json.dumps([kept["ID"]]).encode())
        finally:
            orthanc.terminate()
    found = township.dcmtk(
        "findscu", "-S", "-k", "QueryRetrieveLevel=STUDY",
        "-k", "StudyInstanceUID=1.2.826.0.1.3680043.9.3", "-k", "PatientID", "",
    )  # fmt: skip
    assert "T3" in found.stdout + found.stderr


def _posted(port: int, path: str, body: bytes) -> bytes:
    eventually(lambda: listens(port))
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
