"""Run a hub: its roles, the ready line, and an orderly end."""

import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from access_control.atna_application import application_started, application_stopped
from hub_kernel.errors import ConfigurationError
from hub_kernel.leases import Leases, process_name
from hub_kernel.periodic_jobs import PeriodicJobs
from hub_kernel.settings import Settings
from hub_kernel.tasks import TaskEngine
from hub_runtime.http_server import HttpServer, LargeBodies
from hub_runtime.hub import Hub
from hub_runtime.jobs import machine_jobs, task_engine
from hub_runtime.monitor import Monitor
from hub_runtime.own_tls import dicom_tls_context, web_tls_files
from hub_runtime.router_processes import RouterProcesses
from hub_runtime.sharing import body_limits
from hub_runtime.viewer_port import viewer_server
from viewer_api.dicomweb import STORE_PATH

T = TypeVar("T")

_SIGNAL_POLL_S = 0.25
# A receiving thread comes back from the disk or the network a dozen times for each instance; by
# default it would wait 5 ms each time for a thread that computes.
_SWITCH_S = 0.0005

ROLES = ("router", "web", "worker", "hl7")


@dataclass(frozen=True)
class Listening:
    """Where a running hub answers; None for a role that does not run here."""

    dicom: str | None = None
    http: str | None = None
    hl7: str | None = None
    https: str | None = None
    dicom_tls: str | None = None
    viewer: str | None = None
    monitor: str | None = None

    @property
    def ready_line(self) -> str:
        """The one line that says every port answers."""
        ports = {
            "dicom": self.dicom,
            "http": self.http,
            "hl7": self.hl7,
            "https": self.https,
            "dicom_tls": self.dicom_tls,
            "viewer": self.viewer,
            "monitor": self.monitor,
        }
        said = " ".join(f"{name}={address}" for name, address in ports.items() if address)
        return f"eirhub ready {said}".rstrip()


@contextmanager
def running(
    hub: Hub,
    roles: tuple[str, ...] = ROLES,
    *,
    inherited: tuple[int, ...] = (),
    engine_of: Callable[[Hub], TaskEngine] = task_engine,
) -> Iterator[Listening]:
    """Run `roles` of `hub` until the block ends, then stop them in the reverse order.

    `inherited` are sockets that listen on the DICOM ports already; `engine_of` makes what a worker
    runs, which is the hub's unless it is a gateway.

    What was received is durable; what is still owed stays in the outbox for the next start.

    Raises:
        ConfigurationError: a port cannot be opened.
    """
    with ExitStack() as stack:
        stack.callback(hub.close)
        hub.open()
        hub.access.audit.record_now(application_started(" ".join(roles)))
        stack.callback(lambda: hub.access.audit.record_now(application_stopped(" ".join(roles))))
        dicom = http = https = hl7 = dicom_tls = viewer = None
        monitor = Monitor(hub)
        watched = _open_monitor(hub, monitor, stack) if not inherited else None
        if "web" in roles:
            http, https = _open_web(hub, stack)
            hub.address.url = hub.settings.web.public_url or http
            viewer = _open_viewer(hub, stack)
        if "worker" not in roles and not inherited:
            _look_after_machine(hub, stack)
        if "worker" in roles:
            engine = engine_of(hub)
            engine.start()
            stack.callback(engine.stop)
            hub.forwarding.service.start()
            stack.callback(hub.forwarding.service.stop)
        if "hl7" in roles:
            listener = hub.hl7_node()
            port = _open("HL7", hub.settings.hl7.port, listener.start)
            stack.callback(listener.stop)
            hl7 = f"{hub.settings.hl7.bind}:{port}"
        # Last in, first out: nothing is received before what follows receipt is running.
        if "router" in roles:
            dicom, dicom_tls = _open_dicom(hub, stack, inherited)
        stack.callback(monitor.begin_to_end)
        yield Listening(dicom, http, hl7, https, dicom_tls, viewer, watched)


def _look_after_machine(hub: Hub, stack: ExitStack) -> None:
    """Do what a worker would do for its own machine, where there may be none."""
    jobs = PeriodicJobs(machine_jobs(hub), Leases(hub.database, process_name()))
    jobs.start()
    stack.callback(jobs.stop)


def _open_monitor(hub: Hub, monitor: Monitor, stack: ExitStack) -> str | None:
    """Open the port at which this process is watched, if it has one; it is the last to close."""
    port = hub.settings.monitor.port
    if port is None:
        return None
    server = monitor.server()
    address = _open("monitor", port, server.start)
    stack.callback(server.stop)
    return address


def _open_web(hub: Hub, stack: ExitStack) -> tuple[str, str | None]:
    """Open the HTTP port, and the HTTPS port beside it where there is a certificate."""
    web, application = hub.settings.web, hub.wsgi()
    bodies = LargeBodies(_body_limits(hub.settings), lambda said: _may_send(hub, said))
    _spool_beside(hub.settings.archive_path)
    server = HttpServer(application, web, large_bodies=bodies)
    http = _open("HTTP", web.port, server.start)
    stack.callback(server.stop)
    files = web_tls_files(hub.settings)
    if files is None:
        return http, None
    secure = HttpServer(application, web, tls=files, port=web.tls_port, large_bodies=bodies)
    https = _open("HTTPS", web.tls_port, secure.start)
    stack.callback(secure.stop)
    return http, https


def _body_limits(settings: Settings) -> dict[str, int]:
    return {**body_limits(settings.registry), STORE_PATH: settings.web.max_store_bytes}


def _open_viewer(hub: Hub, stack: ExitStack) -> str | None:
    """Open the port of the diagnostic viewer, where it is installed."""
    server = viewer_server(hub)
    if server is None:
        return None
    address = _open("viewer", hub.settings.viewer.port, server.start)
    stack.callback(server.stop)
    hub.address.viewer_port = int(address.rpartition(":")[2])
    return address


def _may_send(hub: Hub, authorization: str) -> bool:
    """Tell whether who shows this may send a large body; certificates are looked at afterwards."""
    if hub.settings.access.machine_authentication != "token":
        return True
    return hub.trust.authenticate({"HTTP_AUTHORIZATION": authorization}) is not None


def _spool_beside(archive: Path) -> None:
    """Let bodies that are too large for memory lie on the archive's volume while they arrive.

    The system's folder for temporary files is often small, or memory itself. They have no name
    there: a crash leaves none behind.
    """
    folder = archive / "spool"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)


def _open_dicom(hub: Hub, stack: ExitStack, inherited: tuple[int, ...]) -> tuple[str, str | None]:
    """Open the DICOM port, and the DICOM TLS port beside it where there is a certificate."""
    wanted = hub.settings.router
    if not inherited and wanted.processes != 1:
        ports = _open("DICOM", wanted.port, _start_processes(hub, stack))
    else:
        sys.setswitchinterval(_SWITCH_S)
        hub.archive.prepare()
        node = hub.dicom_node(inherited)
        stack.callback(node.stop)
        ports = [_open("DICOM", wanted.port, node.start)]
        secure = _open("DICOM TLS", wanted.tls_port, node.start_tls)
        ports += [secure] if secure else []
    hub.address.dicom_port = ports[0]
    addresses = [f"{wanted.bind}:{port}" for port in ports]
    return addresses[0], addresses[1] if len(addresses) > 1 else None


def _start_processes(hub: Hub, stack: ExitStack) -> Callable[[], list[int]]:
    secure = dicom_tls_context(hub.settings) is not None
    processes = RouterProcesses(hub.settings, secure, hub.archive.open_claims)
    hub.base.metrics.elsewhere = processes.metrics
    stack.callback(processes.stop)
    return processes.start


class EndRequest:
    """SIGTERM and SIGINT as a wish to end, heard from the moment this is made."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked.set())

    def wait(self) -> None:
        """Return once the process is asked to end."""
        # The kernel may hand the signal to any thread, and Python runs handlers in this one only:
        # it must look now and then instead of sleeping until somebody wakes it.
        while not self._asked.wait(_SIGNAL_POLL_S):
            pass


def _open(what: str, port: int, start: Callable[[], T]) -> T:
    try:
        return start()
    except OSError as error:
        raise ConfigurationError(
            f"the {what} port {port} cannot be opened ({error.strerror}): another program may hold "
            "it; choose another port, or 0 for any free one"
        ) from error
