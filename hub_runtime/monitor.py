"""The port at which one process of a hub is watched: alive, ready, numbers (`[monitor]`).

Roles without pages have no other HTTP port, and each process counts for itself. While a process is
being ended it goes on to say so here: whoever sends it new work looks, and ceases to.
"""

import json
from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from hub_runtime.http_server import HttpServer
from hub_runtime.hub import Hub
from image_archive.errors import ArchiveError

_JSON = "application/json"
_THREADS = 2
Answer = tuple[str, str, bytes]


class Monitor:
    """Answers for one process of `hub`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._ending = False
        self._paths: dict[str, Callable[[], Answer]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._numbers,
        }

    def server(self) -> HttpServer:
        """Return its HTTP server, not yet listening."""
        wanted = self._hub.settings.monitor
        own = {"bind": wanted.bind, "port": wanted.port, "threads": _THREADS, "proxies": ()}
        return HttpServer(self, self._hub.settings.web.model_copy(update=own))

    def begin_to_end(self) -> None:
        """Be ready for nothing more."""
        self._ending = True

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Answer one request (WSGI)."""
        found = self._paths.get(environ.get("PATH_INFO", ""))
        if found is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            answer: Answer = ("404 Not Found", "text/plain", b"")
        else:
            answer = found()
        status, kind, body = answer
        start_response(status, [("Content-Type", kind), ("Cache-Control", "no-store")])
        return [body]

    def _alive(self) -> Answer:
        return "200 OK", _JSON, json.dumps({"status": "ok"}).encode()

    def _ready(self) -> Answer:
        lacking = self._lacking()
        said = {"status": "not ready" if lacking else "ready", "lacking": lacking}
        status = "503 Service Unavailable" if lacking else "200 OK"
        return status, _JSON, json.dumps(said).encode()

    def _numbers(self) -> Answer:
        return "200 OK", CONTENT_TYPE_LATEST, self._hub.base.metrics.exposition()

    def _lacking(self) -> list[str]:
        lacking = ["it is being ended"] if self._ending else []
        try:
            with self._hub.database.read() as session:
                session.execute(select(text("1")))
        except SQLAlchemyError:
            lacking.append("the database is out of reach")
        try:
            if self._hub.archive.backend.free_bytes() <= 0:
                lacking.append("the archive is below its reserve")
        except (OSError, ArchiveError):
            lacking.append("the archive is out of reach")
        return lacking
