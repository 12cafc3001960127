"""An HTTP port, plain or TLS: one waitress server in a thread of its own, stopped in order."""

import copy
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server

from hub_kernel.settings import WebSettings
from hub_kernel.tls import TlsFiles, server_context
from hub_runtime.http_pace import PacedChannel, cut_slow_peers
from hub_runtime.http_pieces import MOST_WAITING_BYTES
from hub_runtime.http_proxies import BehindProxies
from hub_runtime.http_tls import TlsChannel
from hub_runtime.hub import Wsgi

_CLEANUP_S = 30
_MOST_CONNECTIONS = 512  # those that are kept between requests included


BodyLimits = Mapping[str, int]
"""Largest request bodies, in bytes, of the paths that begin so, where it is not the common one."""

MayBeLarge = Callable[[str], bool]
"""Tells by the Authorization header whether a body beyond the common limit may come at all."""


@dataclass(frozen=True)
class LargeBodies:
    """Where bodies may be larger than elsewhere, and who may send them."""

    limits: BodyLimits
    allowed: MayBeLarge = lambda _authorization: True


class _OneLengthParser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """Refuses what proxies read in two ways; behind the parser only one of the headers is left."""

    body_limits: BodyLimits = {}
    may_be_large: MayBeLarge

    def parse_header(self, header_plus: bytes) -> None:
        """Answer 400 to Content-Length beside Transfer-Encoding (RFC 9112 6.1), else parse.

        A body that is larger than others may be is only taken from who may send one: it would
        lie on the disk before anybody is asked who sent it.
        """
        names = {line.partition(b":")[0].strip().lower() for line in header_plus.split(b"\r\n")[1:]}
        if {b"content-length", b"transfer-encoding"} <= names:
            raise ParsingError("Content-Length beside Transfer-Encoding")
        super().parse_header(header_plus)
        for beginning, most_bytes in self.body_limits.items():
            if self.path.startswith(beginning) and self._is_taken(most_bytes):
                adjusted: Any = copy.copy(self.adj)  # type: ignore[has-type]
                adjusted.max_request_body_size = most_bytes
                self.adj = adjusted

    def _is_taken(self, most_bytes: int) -> bool:
        common: int = self.adj.max_request_body_size
        small = not self.chunked and 0 <= self.content_length <= common
        if small or most_bytes <= common:
            return True
        return type(self).may_be_large(self.headers.get("AUTHORIZATION", ""))


class HttpServer:
    """Answers HTTP with `application` from `start` to `stop`.

    With `tls` the port speaks TLS alone. `port` is taken instead of the settings' own, for a second
    port beside the first.
    """

    def __init__(
        self,
        application: Wsgi,
        settings: WebSettings,
        *,
        tls: TlsFiles | None = None,
        port: int | None = None,
        large_bodies: LargeBodies | None = None,
    ) -> None:
        """Read the certificates, so that wrong files show before anything is opened.

        Raises:
            ConfigurationError: a TLS file cannot be used.
        """
        self._application = BehindProxies.of(settings.proxies, application)
        self._settings = settings
        self._port = settings.port if port is None else port
        self._context = server_context(tls, section="web") if tls else None
        self._parser = _parser(large_bodies or LargeBodies({}))
        self._open: dict[int, Any] = {}
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Open the port and return the address readers use.

        Raises:
            OSError: the port cannot be opened.
        """
        scheme = "https" if self._context else "http"
        family = socket.AF_INET6 if ":" in self._settings.bind else socket.AF_INET
        listener = socket.create_server((self._settings.bind, self._port), family=family)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = create_server(
            self._application,
            map=self._open,
            sockets=[listener],
            threads=self._settings.threads,
            max_request_body_size=self._settings.max_request_bytes,
            channel_timeout=self._settings.request_timeout_s,
            cleanup_interval=min(_CLEANUP_S, self._settings.request_timeout_s),
            ident="eirhub",
            clear_untrusted_proxy_headers=not self._settings.proxies,
            url_scheme=scheme,
            connection_limit=_MOST_CONNECTIONS,
            outbuf_high_watermark=MOST_WAITING_BYTES,
            asyncore_use_poll=True,  # select knows no descriptor beyond 1023
        )
        self._server.maintenance = partial(cut_slow_peers, self._server)
        self._server.channel_class = _channels(self._parser, self._context)
        self._thread = threading.Thread(target=self._server.run, name="http")
        self._thread.start()
        host = f"[{self._settings.bind}]" if family == socket.AF_INET6 else self._settings.bind
        return f"{scheme}://{host}:{listener.getsockname()[1]}"

    def stop(self) -> None:
        """Let requests under way finish, then close every connection and the port."""
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        # The event loop closes its own sockets: from another thread it would trip over them. Woken
        # by the shutdown it may have done so, its trigger's too, before this one is pulled.
        with suppress(OSError):
            self._server.trigger.pull_trigger(self._close_everything)
        if self._thread is not None:
            self._thread.join()

    def _close_everything(self) -> None:
        for connection in list(self._open.values()):
            connection.close()


def _parser(bodies: LargeBodies) -> type[_OneLengthParser]:
    allowed = {"body_limits": bodies.limits, "may_be_large": staticmethod(bodies.allowed)}
    return type("Parser", (_OneLengthParser,), allowed)


def _channels(
    parser: type[_OneLengthParser], context: ssl.SSLContext | None
) -> Callable[..., PacedChannel | None]:
    """Return what makes the channels of a listener.

    A peer that is gone before TLS begins must not be an error of the listener: waitress would close
    it for good.
    """
    base = TlsChannel if context else PacedChannel
    channel = type("Channel", (base,), {"parser_class": parser, "context": context})

    def make(server: Any, sock: Any, addr: Any, adj: Any, **how: Any) -> PacedChannel | None:
        made: PacedChannel | None = None
        try:
            made = channel(server, sock, addr, adj, **how)
        except OSError as gone:
            _close_half_made(gone)
            sock.close()
        return made

    return make if context else channel


def _close_half_made(error: OSError) -> None:
    """Close what `ssl` leaves open when a peer is gone just while its socket is wrapped."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        half_made = frame.f_locals.get("self")
        if isinstance(half_made, ssl.SSLSocket):
            half_made.close()
