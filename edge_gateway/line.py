"""One hub over HTTP: its address, what proves whom, and requests within bounds of time and size.

No redirect is followed, no proxy of the environment is used, nothing is asked twice.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError
from urllib3.util import Timeout

from edge_gateway import protocol, reasons
from edge_gateway.errors import (
    HubNotReadyError,
    LineDownError,
    NotAdmittedError,
    RefusedByHubError,
    UnprovenHubError,
)
from edge_gateway.problems import ALL, problem_name
from hub_kernel.errors import ConfigurationError

# X509_V_ERR_… of OpenSSL: not yet valid, expired; another host name, another address.
_UNPROVEN = {
    9: reasons.HUB_EXPIRED,
    10: reasons.HUB_EXPIRED,
    62: reasons.HUB_OTHER_NAME,
    64: reasons.HUB_OTHER_NAME,
}
_MOST_ANSWER_BYTES = 16 * 1024 * 1024


class Readable(Protocol):
    """A body that is read while it is sent."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next piece, nothing at the end."""
        ...


@dataclass(frozen=True)
class HubAddress:
    """Where the hub is, for which site we speak, and what proves it: a token, a certificate."""

    url: str
    site_id: str
    token: str = ""
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class LineLimits:
    """Bounds of one request: seconds to connect or to get bytes out, and of silence after that."""

    connect_s: float = 20.0
    silence_s: float = 90.0
    chunk_bytes: int = 4 * 1024 * 1024


class Line:
    """Requests to one hub for one site; safe from many threads."""

    def __init__(self, address: HubAddress, limits: LineLimits) -> None:
        """Read the certificates, so that wrong files show at the start.

        Raises:
            ConfigurationError: the address or a file cannot be used.
        """
        self._root = _root(address)
        self._headers = {"User-Agent": "eirhub-edge", protocol.RESUMABLE: protocol.VERSION}
        if address.token:
            self._headers["Authorization"] = f"Bearer {address.token}"
        self._pool = urllib3.PoolManager(
            ssl_context=_context(address),
            retries=False,
            timeout=Timeout(connect=limits.connect_s, read=limits.silence_s),
            maxsize=8,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: "bytes | Readable | None" = None,
    ) -> "Answer":
        """Send one request below `/edge/SITE/` and return the answer, read to its end.

        Raises:
            LineDownError: there was none.
            UnprovenHubError: the hub's certificate does not hold.
        """
        try:
            response = self._pool.request(
                method,
                f"{self._root}/{path}",
                headers={**self._headers, **headers},
                body=body,  # type: ignore[arg-type]  # anything with read() is sent
                redirect=False,
                preload_content=False,
            )
            data = response.read(_MOST_ANSWER_BYTES)
            response.close() if len(data) == _MOST_ANSWER_BYTES else response.release_conn()
        except SSLError as error:
            raise _tls_error(error) from error
        except (HTTPError, OSError) as error:
            raise LineDownError(f"the hub was not reached ({type(error).__name__})") from error
        return Answer(response.status, response.headers, data)


@dataclass(frozen=True)
class Answer:
    """One answer of the hub, read to its end."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def told(self) -> dict[str, Any] | None:
        """The JSON object in it, None when there is none."""
        try:
            told = json.loads(self.data)
        except ValueError:
            return None
        return told if isinstance(told, dict) else None

    @property
    def problem(self) -> str:
        """The name of the problem it tells, empty for none."""
        return problem_name((self.told or {}).get("type")) if self.status >= 400 else ""


def raise_for(answer: Answer) -> None:
    """Raise what a refusal means; answers of success pass."""
    if answer.status < 300:
        return
    name = answer.problem
    if answer.status in {401, 403, 404}:
        raise NotAdmittedError(f"the hub answered {answer.status}")
    known = ALL.get(name)
    if known is not None and known.final:
        raise RefusedByHubError(name, known.title)
    raise HubNotReadyError(name or f"HTTP {answer.status}")


def told_in(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer of success; raises as `raise_for`, or LineDownError."""
    raise_for(answer)
    told = answer.told
    if told is None:
        raise LineDownError("the answer is not the hub's")
    return told


def _root(address: HubAddress) -> str:
    parts = urlsplit(address.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("edge.hub_url: the hub's address, as https://hub.example:8443")
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ConfigurationError("edge.hub_url: https is needed beyond this machine")
    if not address.site_id:
        raise ConfigurationError("edge.site_id: the site this edge stands at")
    return f"{address.url.rstrip('/')}/edge/{quote(address.site_id, safe='')}"


def _context(address: HubAddress) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key)
    except OSError as error:
        raise ConfigurationError(
            f"edge: the TLS files cannot be used ({error.strerror or type(error).__name__})"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _tls_error(error: SSLError) -> LineDownError:
    cause = next((one for one in error.args if isinstance(one, ssl.SSLCertVerificationError)), None)
    if cause is None:
        return LineDownError("TLS: the connection failed")
    reason = _UNPROVEN.get(cause.verify_code, reasons.HUB_UNPROVEN)
    return UnprovenHubError(reason, f"the hub's certificate does not hold: {cause.verify_message}")
