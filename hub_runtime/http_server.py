"""The HTTP port: one waitress server in a thread of its own, stopped in order."""

import socket
import threading
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server

from hub_kernel.settings import WebSettings
from hub_runtime.bootstrap import Wsgi


class _OneLengthParser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """Refuses what proxies read in two ways; behind the parser only one of the headers is left."""

    def parse_header(self, header_plus: bytes) -> None:
        """Answer 400 to Content-Length beside Transfer-Encoding (RFC 9112 6.1), else parse."""
        names = {line.partition(b":")[0].strip().lower() for line in header_plus.split(b"\r\n")[1:]}
        if {b"content-length", b"transfer-encoding"} <= names:
            raise ParsingError("Content-Length beside Transfer-Encoding")
        super().parse_header(header_plus)


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """A connection whose requests `_OneLengthParser` reads."""

    parser_class = _OneLengthParser


class HttpServer:
    """Answers HTTP with `application` from `start` to `stop`."""

    def __init__(self, application: Wsgi, settings: WebSettings) -> None:
        self._application = application
        self._settings = settings
        self._open: dict[int, Any] = {}
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Open the port and return the address readers use.

        Raises:
            OSError: the port cannot be opened.
        """
        family = socket.AF_INET6 if ":" in self._settings.bind else socket.AF_INET
        listener = socket.create_server((self._settings.bind, self._settings.port), family=family)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = create_server(
            self._application,
            map=self._open,
            sockets=[listener],
            threads=self._settings.threads,
            max_request_body_size=self._settings.max_request_bytes,
            channel_timeout=self._settings.request_timeout_s,
            ident="eirhub",
            clear_untrusted_proxy_headers=True,
        )
        self._server.channel_class = _Channel
        self._thread = threading.Thread(target=self._server.run, name="http")
        self._thread.start()
        host = f"[{self._settings.bind}]" if family == socket.AF_INET6 else self._settings.bind
        return f"http://{host}:{listener.getsockname()[1]}"

    def stop(self) -> None:
        """Let requests under way finish, then close every connection and the port."""
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        # The event loop closes its own sockets: from another thread it would trip over them.
        self._server.trigger.pull_trigger(self._close_everything)
        if self._thread is not None:
            self._thread.join()

    def _close_everything(self) -> None:
        for connection in list(self._open.values()):
            connection.close()
