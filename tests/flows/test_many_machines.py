"""Two routers, two workers and a web process, each as on a machine of its own, over one database
and one bucket: a killed one loses nothing it had acknowledged, and holds nobody up.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from hub_kernel.database import Database
from tests.dicom_router.instances import ct, part10
from tests.support.hub_process import ROOT
from tests.support.postgresql import PostgresqlServer
from tests.support.s3_server import SECRET_ACCESS_KEY, S3Server, running_s3_server
from tests.support.serving_hub import eirhub
from tests.support.tools import require_tool
from tests.support.waiting import eventually

ROOT_UID = "1.2.826.0.1.3680043.10.1603.69.2"
SLICES = 16
PATIENCE_S = 240.0
READY = re.compile(r"eirhub ready ?(?:dicom=127\.0\.0\.1:(\d+))? ?(?:http=(\S+))?")
SITE = """
[[site]]
site_id = "many"
name = "多机"
ae_titles = ["MANY"]
networks = ["127.0.0.0/8"]
[site.assigning_authority]
namespace = "MANY"
oid = "1.2.826.0.1.3680043.10.1603.69"
"""


@dataclass
class Machine:
    """One role on a data folder of its own."""

    role: str
    data: Path
    options: list[str]
    program: tuple[str, ...] = ("-m", "hub_runtime.cli")
    process: "subprocess.Popen[bytes] | None" = None
    ready: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.data.with_suffix(".log")

    def start(self) -> None:
        """Begin to start; `await_ready` ends it."""
        self.log.unlink(missing_ok=True)
        command = [sys.executable, *self.program, self.role, "--data", str(self.data)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *self.options],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )

    def await_ready(self) -> None:
        eventually(lambda: READY.search(self.log.read_text()) or self._ended())
        found = READY.search(self.log.read_text())
        assert found, self.log.read_text()
        self.ready = [one or "" for one in found.groups()]

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)

    def waiting(self) -> int:
        """How many instances lie in its spool that nobody has published."""
        incoming = (self.data / "archive" / "incoming").iterdir()
        return sum(1 for file in incoming if any(file.read_bytes()[:1024]))


@dataclass
class Load:
    """One storescu that sends a study; what it was told is in its log."""

    process: "subprocess.Popen[bytes]"
    said: Path

    def acknowledged(self) -> set[str]:
        """The SOP Instance UIDs whose success came back."""
        found, sent = set(), ""
        for line in self.said.read_text().splitlines():
            if name := re.search(r"Sending file: .*/([0-9.]+)\.dcm", line):
                sent = name[1]
            elif "Received Store Response (Success)" in line:
                found.add(sent)
        return found


class Region:
    """Five machines, their database and their bucket."""

    def __init__(self, folder: Path, url: str, bucket: list[str]) -> None:
        self.folder = folder
        self.database = Database(url)
        options = [f"database.url={url}", *bucket, "study.quiet_period_s=1", "tasks.workers=1"]
        options += ["eir.decode_processes=1", "router.port=0", "web.port=0", "viewer.port=0"]
        self.options = [word for one in options for word in ("--set", one)]
        roles = {"r1": "router", "r2": "router", "w1": "worker", "w2": "worker", "web": "web"}
        self.machines = {
            name: Machine(role, folder / name, self.options) for name, role in roles.items()
        }

    def start(self) -> str:
        """Begin the hub on the first machine, bring its keys to the others; return a token."""
        sites = self.folder / "sites.toml"
        sites.write_text(SITE)
        first = self.machines["r1"].data
        self._command(first, "site", "add", "--file", str(sites))
        token = self._command(first, "token", "create", "reader", "--role", "radiologist")
        for machine in self.machines.values():
            if machine.data != first:
                machine.data.mkdir()
                shutil.copytree(first / "secrets", machine.data / "secrets")
            machine.start()
        for machine in self.machines.values():
            machine.await_ready()
        return token.split()[0]

    def _command(self, data: Path, *words: str) -> str:
        ended = eirhub(*words, *self.options, data=data)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def send(self, router: str, study: str) -> Load:
        """Begin to send a new study to a router."""
        files = self.folder / study
        files.mkdir()
        for number in range(1, SLICES + 1):
            made = ct(number, f"{ROOT_UID}.{study}", PatientID=f"M{study}", AccessionNumber=study)
            made.Rows = made.Columns = 64
            made.PixelData = bytes([number, 1]) * 64 * 64
            (files / f"{made.SOPInstanceUID}.dcm").write_bytes(part10(made))
        said = self.folder / f"{study}.storescu"
        port = self.machines[router].ready[0]
        command = [require_tool("storescu"), "-v", "-aet", "MANY", "-aec", "EIRHUB"]
        command += ["127.0.0.1", port, *map(str, sorted(files.iterdir()))]
        with said.open("wb") as output:
            environment = os.environ | {"TCP_NODELAY": "1"}
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        return Load(process, said)

    def found(self, token: str, study: str) -> set[str]:
        """What QIDO-RS says is in a study."""
        http = self.machines["web"].ready[1]
        address = f"{http}/dicom-web/studies/{ROOT_UID}.{study}/instances"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                said = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return set()  # nothing of it is there yet
            raise
        return {one["00080018"]["Value"][0] for one in json.loads(said or b"[]")}

    def current_versions(self) -> Counter[tuple[str, str]]:
        """How many versions are current, by study and recipe."""
        asked = "SELECT study_instance_uid, recipe FROM eir_version WHERE superseded_at IS NULL"
        return self._counted(asked)

    def all_rendered(self, studies: set[str]) -> dict[tuple[str, str], int]:
        """Wait until these studies have every version; return that, each once."""
        recipes = ("clinical", "diagnostic", "public")
        wanted = {(study, recipe): 1 for study in studies for recipe in recipes}
        eventually(lambda: wanted.keys() <= self.current_versions().keys())
        return wanted

    def drawings(self) -> Counter[tuple[str, str, str]]:
        """How often each recipe drew a study from the same things, superseded or not."""
        return self._counted("SELECT study_instance_uid, recipe, inputs_sha256 FROM eir_version")

    def _counted(self, asked: str) -> Counter[tuple[str, ...]]:
        with self.database.read() as session:
            return Counter(tuple(row) for row in session.execute(text(asked)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of this module's own: it is frozen."""
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def region(postgresql: PostgresqlServer, server: S3Server, tmp_path: Path) -> Iterator[Region]:
    bucket = server.bucket("many")
    secret = tmp_path / "secret"
    secret.write_text(SECRET_ACCESS_KEY)
    store = [
        "archive.backend=s3",
        f"s3.bucket={bucket.name}",
        f"s3.endpoint={bucket.endpoint}",
        f"s3.prefix={bucket.prefix}",
        f"s3.access_key_id={bucket.access_key_id}",
        f"s3.secret_access_key_file={secret}",
    ]
    with postgresql.bare_database() as url, ExitStack() as stack:
        made = Region(tmp_path, url, store)
        stack.callback(made.database.dispose)
        for machine in made.machines.values():
            stack.callback(machine.stop)
        yield made


@pytest.mark.timeout(900)
def test_machines_that_are_killed_lose_nothing_and_hold_nobody_up(
    region: Region, server: S3Server
) -> None:
    token = region.start()
    router, worker = region.machines["r1"], region.machines["w1"]
    loads = {"1": region.send("r1", "1"), "2": region.send("r2", "2")}
    eventually(lambda: all(one.acknowledged() for one in loads.values()))
    with server.frozen():
        # What is acknowledged now is in no bucket yet.
        loads["3"] = region.send("r1", "3")
        eventually(lambda: len(loads["3"].acknowledged()) >= 10)
        router.kill()
        worker.kill()
    for load in loads.values():
        load.process.wait(PATIENCE_S)
    promised = {study: load.acknowledged() for study, load in loads.items()}
    assert len(promised["2"]) == SLICES, "the other router was not disturbed"
    left = router.waiting()
    assert left >= 10

    # The others go on, and nobody looks into the dead one's spool.
    worker.start()
    loads["4"] = region.send("r2", "4")
    assert loads["4"].process.wait(PATIENCE_S) == 0
    eventually(lambda: len(region.found(token, "4")) == SLICES)
    worker.await_ready()
    assert router.waiting() == left
    # The control: without its own machine they are lost, whoever else was started.
    assert promised["3"] - region.found(token, "3")

    router.start()
    router.await_ready()
    for study, uids in promised.items():
        eventually(lambda s=study: region.found(token, s), lambda found, u=uids: u <= found)  # type: ignore[misc]
    # A spool file is let go just after its row is there.
    eventually(lambda: router.waiting() == 0)

    studies = {f"{ROOT_UID}.{study}" for study in (*promised, "4")}
    wanted = region.all_rendered(studies)
    assert region.current_versions() == Counter(wanted)
    assert set(region.drawings().values()) == {1}, "nothing was drawn twice"


@pytest.mark.long
def test_control_workers_that_draw_what_they_are_told_twice_are_seen(region: Region) -> None:
    for name in ("w1", "w2"):
        region.machines[name].program = ("tests/flows/hasty_hub.py", "draws-again")
    region.start()
    assert region.send("r1", "5").process.wait(PATIENCE_S) == 0
    region.all_rendered({f"{ROOT_UID}.5"})
    eventually(lambda: set(region.drawings().values()) == {2})
