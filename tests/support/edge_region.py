"""A real `eirhub serve` and a real `eirhub edge` as processes of their own, to be harmed."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.dicom_router.instances import ct, part10
from tests.support.serving_hub import ROOT, eirhub
from tests.support.waiting import eventually

_READY = re.compile(r"eirhub ready dicom=\S+:(\d+) http=(\S+)")
_START_S = 240
SITE = """
[[site]]
site_id = "sijing"
name = "泗泾镇社区卫生服务中心"
name_en = "Sijing Community Health Centre"
institution = "Sijing"
level = "township"
ae_titles = ["CT_SJ"]
networks = ["127.0.0.0/8"]
assigning_authority = { namespace = "SIJING", oid = "1.2.3.1" }
used_charset = "GB18030"
"""


@dataclass
class Started:
    """One process that has printed its ready line."""

    process: "subprocess.Popen[str]"
    dicom_port: int
    http: str

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        _close(self.process)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        _close(self.process)


@dataclass
class EdgeRegion:
    """The folders, ports and secrets of one hub and one edge."""

    folder: Path
    hub_port: int
    edge_settings: tuple[str, ...] = ()
    hub_settings: tuple[str, ...] = ()
    hub: Started | None = None
    edge: Started | None = None

    @property
    def hub_data(self) -> Path:
        return self.folder / "hub"

    @property
    def edge_data(self) -> Path:
        return self.folder / "edge"

    def prepare(self) -> None:
        """Register the site on both sides and make the edge's token, as the manual says."""
        sites = self.folder / "sites.toml"
        sites.write_text(SITE, encoding="utf-8")
        for data in (self.hub_data, self.edge_data):
            added = eirhub("site", "add", "--file", sites, data=data)
            assert added.returncode == 0, added.stderr
        made = eirhub(
            "token", "create", "gateway", "--role", "edge", "--site", "sijing", data=self.hub_data
        )
        assert made.returncode == 0, made.stderr
        token = self.folder / "token"
        token.write_text(made.stdout)
        token.chmod(0o600)

    def start_hub(self) -> Started:
        self.hub = self._start(
            "serve",
            self.hub_data,
            (
                "router.port=0",
                f"web.port={self.hub_port}",
                "viewer.port=0",
                "hl7.port=0",
                "study.quiet_period_s=1",
                *self.hub_settings,
            ),
        )
        return self.hub

    def start_edge(self, hub_url: str = "") -> Started:
        self.edge = self._start("edge", self.edge_data, self._edge_settings(hub_url))
        return self.edge

    def _edge_settings(self, hub_url: str = "") -> tuple[str, ...]:
        return (
            "router.port=0",
            "web.port=0",
            "viewer.port=0",
            "edge.site_id=sijing",
            f"edge.hub_url={hub_url or f'http://127.0.0.1:{self.hub_port}'}",
            f"edge.token_file={self.folder / 'token'}",
            "edge.report_s=0.5",
            "edge.chunk_bytes=65536",
            *self.edge_settings,
        )

    def reconcile(self, where: str, *options: str, hub_url: str = "") -> dict[str, Any]:
        """Run `eirhub ledger reconcile` at the hub or at the edge; its answer with `exit`."""
        settings: list[str] = []
        data = self.hub_data
        if where == "edge":
            data = self.edge_data
            for setting in self._edge_settings(hub_url):
                settings += ["--set", setting]
        ran = eirhub("ledger", "reconcile", "sijing", "--json", *options, *settings, data=data)
        assert ran.stdout, ran.stderr
        return {**json.loads(ran.stdout), "exit": ran.returncode}

    def send(self, files: Sequence[Path]) -> "subprocess.CompletedProcess[str]":
        """Send files with DCMTK's storescu as the modality."""
        assert self.edge
        return subprocess.run(
            ["storescu", "-v", "-aet", "CT_SJ", "-aec", "EDGE", "127.0.0.1"]
            + [str(self.edge.dicom_port), *map(str, files)],
            env=os.environ | {"TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_S,
        )

    def until_zero(self, instances: int) -> dict[str, Any]:
        """Wait until both sides agree about so many instances; return the comparison."""
        return eventually(
            lambda: self.reconcile("edge"),
            lambda told: told["instances"] == instances and told["exit"] == 0,
            within_s=200,
        )

    def close(self) -> None:
        for started in (self.edge, self.hub):
            if started:
                started.stop()

    def _start(self, command: str, data: Path, settings: Sequence[str]) -> Started:
        line = [sys.executable, "-m", "hub_runtime.cli", command, "--data", str(data)]
        for setting in ("router.tls_port=0", *settings):
            line += ["--set", setting]
        with (self.folder / f"{command}.log").open("a") as log:
            process = subprocess.Popen(
                line,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        said = _first_line(process)
        ready = _READY.match(said)
        assert ready, f"{command} did not become ready: {said!r}"
        return Started(process, int(ready[1]), ready[2])


def slices(
    folder: Path, count: int, *, study: str = "1.2.826.0.1.3680043.10.1603.1", kib: int = 200
) -> list[Path]:
    """So many slices of a study as files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(1, count + 1):
        pixels = bytes((number + n) % 256 for n in range(256)) * (kib * 4)
        files.append(folder / f"{study}.{number}.dcm")
        files[-1].write_bytes(part10(ct(number, study, PixelData=pixels)))
    return files


def _first_line(process: "subprocess.Popen[str]") -> str:
    lines: queue.Queue[str] = queue.Queue()

    def read(stream: IO[str]) -> None:
        lines.put(stream.readline())

    assert process.stdout
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return lines.get(timeout=_START_S)


def _close(process: "subprocess.Popen[str]") -> None:
    if process.stdout:
        process.stdout.close()
