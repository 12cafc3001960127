"""What `config/deploy` ships is valid, names what exists, and works with its real programs."""

import ast
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from access_control.audit import AuditQuery
from hub_kernel.metrics import Metrics
from hub_kernel.settings_files import load_settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.cli import main
from hub_runtime.hub import Hub
from hub_runtime.serving import running
from tests.dicom_router.instances import ct, encoded
from tests.support.ports import free_port
from tests.support.pushing import Sent, push
from tests.support.tools import require_tool
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "config" / "deploy"
UNIT = DEPLOY / "systemd" / "eirhub@.service"
COMPOSE = DEPLOY / "compose.yaml"
STUDY = "1.2.826.0.1.3680043.10.1603.69.5"
PROXY, CLIENT = "127.0.0.2", "127.0.0.1"
PATIENCE_S = 60.0


def checked(*command: str, folder: Path = DEPLOY) -> str:
    ended = subprocess.run(
        [require_tool(command[0]), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return said


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return read


def hub_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = compose()["services"]
    return {name: one for name, one in services.items() if one["image"].startswith("eirhub:")}


def test_the_unit_is_one_that_systemd_takes_and_finds_confined(tmp_path: Path) -> None:
    installed = tmp_path / UNIT.name
    text = UNIT.read_text("utf-8").replace("/opt/eirhub/bin/eirhub", "/bin/true")
    installed.write_text(re.sub(r"^(User|Group)=.*\n", "", text, flags=re.MULTILINE))
    assert checked("systemd-analyze", "verify", str(installed), folder=tmp_path) == ""
    said = checked("systemd-analyze", "security", "--offline=true", str(installed), folder=tmp_path)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert exposure
    assert float(exposure[1]) < 3
    for wanted in ("NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=eirhub"):
        assert wanted in UNIT.read_text("utf-8")


def test_unit_and_containers_give_the_hub_time_to_end() -> None:
    drain_s = load_settings().router.drain_s
    unit = re.search(r"TimeoutStopSec=(\d+)", UNIT.read_text("utf-8"))
    assert unit
    assert int(unit[1]) >= drain_s + 30
    for service in hub_services().values():
        own = float(service["environment"]["EIRHUB_ROUTER__DRAIN_S"])
        assert float(service["stop_grace_period"].removesuffix("s")) >= own + 30


def test_the_containers_run_commands_that_exist_with_settings_that_hold() -> None:
    assert len(hub_services()) == 5
    for service in hub_services().values():
        (role,) = service["command"]
        assert role in main.commands
        settings = load_settings(environment=service["environment"])
        assert settings.archive.backend == "s3"
        assert settings.monitor.port == 9400


def test_whatever_the_containers_name_is_there() -> None:
    read = compose()
    for service in read["services"].values():
        assert set(service.get("depends_on", ())) <= set(read["services"])
        assert set(service.get("secrets", ())) <= set(read["secrets"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in read["volumes"] or (DEPLOY / source).exists(), source
        built = service.get("build")
        if built:
            assert (DEPLOY / built["context"] / built["dockerfile"]).exists()


def test_no_secret_comes_into_the_image_or_into_a_commit() -> None:
    read = compose()
    named = {one["file"] for one in read["secrets"].values()}
    named |= {file for service in hub_services().values() for file in service["env_file"]}
    context = (DEPLOY / hub_services()["web"]["build"]["context"]).resolve()
    for file in named:
        folder = (DEPLOY / file).parent.relative_to(context)
        for ignoring in (".dockerignore", ".gitignore"):
            lines = (context / ignoring).read_text("utf-8").splitlines()
            assert str(folder) in {one.rstrip("/") for one in lines}, ignoring


def test_the_image_is_made_of_what_there_is_and_writes_where_the_volumes_are() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    declared = ConfigParser()
    declared.read(ROOT / "setup.cfg", "utf-8")
    for extra in (re.search(r"/src\[([a-z,-]+)\]", text) or [""])[1].split(","):
        assert extra in declared["options.extras_require"]
    assert (ROOT / "constraints.txt").exists()
    (data,) = re.findall(r"EIRHUB_HUB__DATA_DIR=(\S+)", text)
    uid = (re.search(r"--uid (\d+)", text) or [""])[1]
    assert f"chown {uid} secrets/s3" in COMPOSE.read_text("utf-8")
    for service in hub_services().values():
        targets = {volume.split(":")[1] for volume in service["volumes"]}
        assert targets == {data, f"{data}/secrets"}


def test_the_proxy_sends_to_containers_and_ports_that_there_are() -> None:
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text("utf-8")
    published = {port.split(":")[1] for port in compose()["services"]["haproxy"]["ports"]}
    assert published <= set(re.findall(r"bind :(\d+)", text))
    servers = re.findall(r"server \S+ ([\w-]+):(\d+) .*?port (\d+)", text)
    assert len(servers) == len(re.findall(r"^    server ", text, flags=re.MULTILINE))
    for name, port, monitor in servers:
        service = hub_services()[name]
        settings = load_settings(environment=service["environment"])
        (role,) = service["command"]
        router, web = settings.router, settings.web
        opened = {"router": {router.port, router.tls_port}, "web": {web.port}}[role]
        assert int(port) in opened
        assert int(monitor) == settings.monitor.port


def test_the_containers_believe_the_proxy_and_nobody_else() -> None:
    proxy = compose()["services"]["haproxy"]["networks"]["inside"]["ipv4_address"]
    for service in hub_services().values():
        settings = load_settings(environment=service["environment"])
        assert settings.router.proxies == settings.web.proxies == (f"{proxy}/32",)


def known_metrics() -> set[str]:
    """Every name that the hub's numbers have, as they are shown."""
    names = set()
    for line in Metrics().exposition().decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            names |= {f"{name}{suffix}" for suffix in suffixes}
    return names


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text("utf-8"))
    dashboard = json.loads((DEPLOY / "grafana" / "eirhub.json").read_text("utf-8"))
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return alerts + [each["expr"] for one in dashboard["panels"] for each in one["targets"]]


def test_rules_and_dashboard_name_only_what_the_hub_shows() -> None:
    named = set(re.findall(r"\beirhub_\w+", " ".join(expressions())))
    assert len(named) > 10
    assert named <= known_metrics()


def test_rules_and_dashboard_ask_for_labels_that_the_hub_gives() -> None:
    given = {"instance", "role", "job", "le"}
    for call in ast.walk(ast.parse((ROOT / "hub_kernel" / "metrics.py").read_text("utf-8"))):
        made = getattr(getattr(call, "func", None), "attr", "")
        if isinstance(call, ast.Call) and made in {"_counter", "_gauge", "_histogram"}:
            given |= {one.value for one in call.args[2:] if isinstance(one, ast.Constant)}
    for expression in expressions():
        grouped = " ".join(re.findall(r"by \(([^)]*)\)", expression))
        asked = set(re.findall(r"\w+", grouped)) | set(re.findall(r"[{,]\s*(\w+)[=!]", expression))
        assert asked <= given, expression


def test_panels_have_places_and_names_of_their_own() -> None:
    panels = json.loads((DEPLOY / "grafana" / "eirhub.json").read_text("utf-8"))["panels"]
    assert len({one["id"] for one in panels}) == len({one["title"] for one in panels})
    assert len({tuple(one["gridPos"].items()) for one in panels}) == len(panels)


def test_prometheus_takes_configuration_and_rules_and_the_alerts_ring() -> None:
    folder = DEPLOY / "prometheus"
    checked("promtool", "check", "config", "prometheus.yml", folder=folder)
    checked("promtool", "test", "rules", "rules.test.yml", folder=folder)


def test_haproxy_takes_its_configuration() -> None:
    checked("haproxy", "-c", "-q", "-f", "haproxy/haproxy.cfg")


@dataclass(frozen=True)
class Proxied:
    """A hub, and the ports of an HAProxy in front of it that runs the shipped configuration."""

    hub: Hub
    dicom: int
    pages: int


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxied")
    chosen = ["router.port=0", "web.port=0", "viewer.port=0", "monitor.port=0"]
    chosen += ["router.accept_unknown_ae=true", f"hub.data_dir={folder / 'data'}"]
    chosen += [f'{one}.proxies=["{PROXY}/32"]' for one in ("router", "web")]
    hub = build_hub(load_settings(overrides=chosen))
    with ExitStack() as stack:
        listening = stack.enter_context(running(hub, ("router", "web")))
        assert listening.dicom
        assert listening.http
        assert listening.monitor
        ports = {one: free_port() for one in ("11112", "2762", "8080")}
        text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text("utf-8")
        for old, new in ports.items():
            text = re.sub(rf"bind :{old}\b", f"bind {CLIENT}:{new}", text)
        text = re.sub(r"router-\d:\d+", listening.dicom, text)
        text = text.replace("web:8080", listening.http.removeprefix("http://"))
        text = text.replace("port 9400", f"port {listening.monitor.rpartition(':')[2]}")
        text = text.replace("default-server", f"source {PROXY}\n    default-server")
        (folder / "haproxy.cfg").write_text(text)
        command = [require_tool("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
        stack.callback(process.wait)
        stack.callback(process.kill)
        yield Proxied(hub, ports["11112"], ports["8080"])


def test_through_haproxy_an_instance_comes_from_its_sender(proxied: Proxied) -> None:
    made = ct(1, STUDY)
    sent = [Sent(str(made.SOPInstanceUID), encoded(made))]
    eventually(lambda: set(push(proxied.dicom, sent).values()) == {0})

    def addresses() -> set[str]:
        records = proxied.hub.access.audit.search(AuditQuery(limit=500)).records
        return {record.address for record in records if record.address}

    eventually(lambda: CLIENT in addresses())
    assert PROXY not in addresses()


def test_through_haproxy_pages_are_answered_and_numbers_are_not(proxied: Proxied) -> None:
    def status(path: str) -> int:
        try:
            with urllib.request.urlopen(
                f"http://{CLIENT}:{proxied.pages}{path}", timeout=30
            ) as got:
                return int(got.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.1)
            return 0

    eventually(lambda: status("/healthz") == 200)
    assert status("/metrics") == 403
