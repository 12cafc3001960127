"""Message brokers of the tests' own, RabbitMQ and Redis: on free ports, gone afterwards."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tests.support.child_server import end_with_parent
from tests.support.ports import free_port
from tests.support.tools import require_tool

_START_S = 120.0
_STOP_S = 60.0
_LOOPBACK = "127.0.0.1"


class Broker(Protocol):
    """A broker that can be killed, stopped for a while and started again on the same port."""

    url: str

    def start(self) -> None:
        """Start it and wait until it answers."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def stop(self) -> None:
        """End it as an operator does."""
        ...

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and never answers, for as long as the block runs."""
        ...


class _Program:
    """A program in a session of its own, ended with everything it has started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], **environment},
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 (it makes one system call)
            )

    def kill(self) -> None:
        if self._process is not None:
            self.send(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            finally:
                self.kill()

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)


class RabbitMq:
    """RabbitMQ, with a port mapper (epmd) of its own; queues survive `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._dist_port, self._epmd_port = (free_port() for _ in range(3))
        self._name = f"eirhub-{secrets.token_hex(4)}@localhost"
        self._epmd, self._server = _Program(), _Program()
        self.url = f"amqp://guest:guest@{_LOOPBACK}:{self._port}//"

    def start(self) -> None:
        epmd = ["epmd", "-port", str(self._epmd_port), "-address", _LOOPBACK]
        self._epmd.run([require_tool(epmd[0]), *epmd[1:]], self._folder / "epmd.log", {})
        _await_port(self._epmd_port, self._epmd)
        (self._folder / "plugins").write_text("[].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = {_LOOPBACK}:{self._port}\n"
            "vm_memory_high_watermark.relative = 0.8\ndisk_free_limit.absolute = 10MB\n"
        )
        program = Path(require_tool("rabbitmq-server")).resolve().parent
        self._server.run(
            [str(program / "rabbitmq-server")], self._folder / "server.log", self._environment()
        )
        self._await_answer()

    def kill(self) -> None:
        self._server.kill()
        self._epmd.kill()

    def stop(self) -> None:
        # Killed within minutes of making a quorum queue, RabbitMQ 3.10 does not bring it back.
        self._server.stop()
        self._epmd.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self._server.frozen():
            yield

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "HOME": folder,
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": _LOOPBACK,
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SCHEMA_DIR": f"{folder}/schema",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
            ),
        }

    def _await_answer(self) -> None:
        """Wait for the first frame of AMQP: the port alone opens before the server is ready."""
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._server.ended() or time.monotonic() > deadline:
                log = (self._folder / "server.log").read_text(errors="replace")
                self.kill()
                raise AssertionError(f"RabbitMQ did not start: {log[-3000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((_LOOPBACK, self._port), 2.0) as line:
                line.sendall(b"AMQP\x00\x00\x09\x01")
                return line.recv(1) == b"\x01"
        except OSError:
            return False


class Redis:
    """Redis without persistence: a killed one has forgotten everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._server = _Program()
        self.url = f"redis://{_LOOPBACK}:{self._port}/0"

    def start(self) -> None:
        options = {
            "bind": _LOOPBACK,
            "port": self._port,
            "save": "",
            "appendonly": "no",
            "dir": self._folder,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._server.run([require_tool("redis-server"), *words], self._folder / "server.log", {})
        _await_port(self._port, self._server)

    def kill(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        self._server.stop()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self._server.frozen():
            yield


BROKERS = {"rabbitmq": RabbitMq, "redis": Redis}


@contextmanager
def running_broker(name: str) -> Iterator[Broker]:
    """A running broker of that name in a private folder, for as long as the block runs."""
    folder = Path(tempfile.mkdtemp(prefix=f"eirhub-{name}-"))
    try:
        broker = BROKERS[name](folder)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await_port(port: int, program: _Program) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with closing(socket.create_connection((_LOOPBACK, port), 2.0)):
                return
        except OSError:
            if program.ended() or time.monotonic() > deadline:
                program.kill()
                raise
        time.sleep(0.05)
