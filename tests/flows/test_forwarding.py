"""A whole hub forwards what is pushed: to storescp, dcmqrscp, Orthanc by C-STORE and STOW-RS."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from tests.flows.test_forwarding_faults import storescp
from tests.support.ports import free_port
from tests.support.query_archives import dcmqrscp
from tests.support.serving_hub import RunningHub, eirhub, running_hub
from tests.support.tools import require_tool
from tests.support.waiting import eventually

JPEG_LS, HTJ2K = "jpeg-ls-lossless", "htj2k-lossless"
SYNTAXES = {JPEG_LS: "1.2.840.10008.1.2.4.80", HTJ2K: "1.2.840.10008.1.2.4.201"}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    SYNTAXES[JPEG_LS]: imagecodecs.jpegls_decode,
    SYNTAXES[HTJ2K]: imagecodecs.htj2k_decode,
}
SAMPLES = [Path(str(get_testdata_file(name))) for name in ("CT_small.dcm", "MR_small.dcm")]


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc with its DICOMweb plugin."""

    dicom_port: int
    http: str

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.http}{path}", timeout=60) as answer:
            data: bytes = answer.read()
        return data

    def instances(self) -> dict[str, str]:
        """What it keeps: its own name by SOP Instance UID."""
        names = json.loads(self.ask("/instances"))
        tags = {name: json.loads(self.ask(f"/instances/{name}/simplified-tags")) for name in names}
        return {tag["SOPInstanceUID"]: name for name, tag in tags.items()}

    def file(self, name: str) -> bytes:
        return self.ask(f"/instances/{name}/file")

    def know(self, port: int) -> None:
        """Let it open associations to the hub, to report on storage commitment."""
        body = json.dumps(["EIRHUB", "127.0.0.1", port]).encode()
        request = urllib.request.Request(f"{self.http}/modalities/hub", body, method="PUT")
        urllib.request.urlopen(request, timeout=60).close()


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    program = require_tool("Orthanc")
    folder.mkdir()
    found = Orthanc(free_port(), f"http://127.0.0.1:{free_port()}")
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomPort": found.dicom_port,
        "HttpPort": int(found.http.rpartition(":")[2]),
        "DicomAet": "ORTHANC",
        "AuthenticationEnabled": False,
        "DicomWeb": {"Enable": True},
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is not None or answers(found))
        yield found
    finally:
        process.terminate()
        process.wait(120)


def answers(peer: Orthanc) -> bool:
    try:
        return bool(peer.ask("/system"))
    except OSError:
        return False


def push(hub: RunningHub, files: list[Path]) -> None:
    require_tool("storescu")
    command = ["storescu", "127.0.0.1", str(hub.dicom_port), *map(str, files)]
    subprocess.run(command, check=True, timeout=600)


def queue(hub: RunningHub, *options: str) -> dict[str, Any]:
    said = eirhub("router", "queue", "--json", *options, data=hub.data)
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    found["destinations"] = {one["name"]: one for one in found["destinations"]}
    return found


def is_done(view: dict[str, Any], instances: int) -> bool:
    return bool(view["sent_count"] >= instances and not any(view["counts"].values()))


def await_done(hub: RunningHub, owed: dict[str, int]) -> None:
    """Wait until each destination has been sent as many as it is owed, and the hub knows it."""
    eventually(
        lambda: queue(hub)["destinations"],
        lambda found: all(
            name in found and is_done(found[name], count) for name, count in owed.items()
        ),
    )


def rules_for(folder: Path, *rules: tuple[str, str]) -> str:
    """Write rules: what is looked at, and where it goes."""
    file = folder / "rules.toml"
    file.write_text(
        "\n".join(
            f'[[rule]]\nname = "rule {number}"\n{when}\nsend = [{send}]'
            for number, (when, send) in enumerate(rules)
        )
    )
    return f'router.rules="{file}"'


def pixels(instance: Dataset) -> Any:
    syntax = instance.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return instance.pixel_array
    return DECODERS[syntax](next(generate_frames(instance.PixelData, number_of_frames=1)))


def test_pushed_once_it_is_everywhere_as_the_rules_say(tmp_path: Path) -> None:
    with (
        storescp(tmp_path / "got") as scp,
        dcmqrscp(tmp_path / "archive") as archive,
        orthanc(tmp_path / "orthanc") as peer,
    ):
        listed = ", ".join(
            f'{{ name = "{name}", ae_title = "{name}", host = "127.0.0.1", port = {port},'
            f" commitment = {commitment} }}"
            for name, port, commitment in (
                ("DEAD", free_port(), "false"),
                ("SCP", scp.port, "false"),
                (archive.ae_title, archive.port, "false"),
                ("ORTHANC", peer.dicom_port, "true"),
            )
        )
        options = (
            f"router.destinations=[{listed}]",
            f'router.web_destinations=[{{ name = "STOW", url = "{peer.http}/dicom-web" }}]',
            rules_for(
                tmp_path,
                ("", f'{{ to = "DEAD" }}, {{ to = "SCP" }}, {{ to = "{archive.ae_title}" }}'),
                ('when.modality = "CT"', f'{{ to = "ORTHANC", transfer_syntax = "{JPEG_LS}" }}'),
                ('when.modality = "MR"', f'{{ to = "STOW", transfer_syntax = "{HTJ2K}" }}'),
            ),
            "router.accept_unknown_ae=true",
        )
        with running_hub(tmp_path / "data", *options) as hub:
            peer.know(hub.dicom_port)
            push(hub, SAMPLES)
            # The dead destination holds up none of the others. Orthanc reports on an association of
            # its own, to the hub's port.
            await_done(hub, {"SCP": 2, archive.ae_title: 2, "ORTHANC": 1, "STOW": 1})
            committed = queue(hub, "--destination", "ORTHANC", "--state", "committed")["items"]
            dead = queue(hub)["destinations"]["DEAD"]
            archived = queue(hub, "--destination", "SCP", "--state", "sent")["items"]
        in_the_archive = {uid: one.PixelData for uid, one in archive.instances().items()}
        kept = peer.instances()
        arrived = {uid: dcmread(BytesIO(peer.file(name))) for uid, name in kept.items()}
    assert [one["rule"] for one in committed] == ["rule 1"]
    assert dead["counts"]["queued"] == 2
    assert dead["last_error"].startswith("no connection")
    assert scp.kept() == {one["sop_instance_uid"]: one["dataset_sha256"] for one in archived}
    pushed = [dcmread(file) for file in SAMPLES]
    assert in_the_archive == {str(one.SOPInstanceUID): one.PixelData for one in pushed}
    for file, choice in zip(SAMPLES, (JPEG_LS, HTJ2K), strict=True):
        sent = dcmread(file)
        instance = arrived.pop(str(sent.SOPInstanceUID))
        assert instance.file_meta.TransferSyntaxUID == SYNTAXES[choice]
        assert (pixels(instance) == sent.pixel_array).all()
    assert not arrived


@pytest.mark.long  # its short form, step by step: tests/dicom_router/forwarding/test_killed.py
def test_a_hub_that_is_killed_after_the_push_forwards_at_the_next_start(tmp_path: Path) -> None:
    with storescp(tmp_path / "got") as scp:
        destinations = (
            'router.destinations=[{ name = "scp", ae_title = "SCP", host = "127.0.0.1",'
            f" port = {scp.port} }}]"
        )
        rules = rules_for(tmp_path, ("", '{ to = "scp" }'))
        options = (destinations, rules, "router.accept_unknown_ae=true")
        with running_hub(tmp_path / "data", *options) as hub:
            push(hub, SAMPLES)
            hub.kill()
        with running_hub(tmp_path / "data", *options) as hub:
            await_done(hub, {"scp": 2})
            assert len(scp.kept()) == 2
            said = eirhub("router", "verify", "--json", "--set", rules, "--set", destinations,
                          data=hub.data)  # fmt: skip
            assert json.loads(said.stdout)["missing"] == 0, said.stderr
