"""Where notifications may go, and how one is sent: within bounds, never further than configured.

An address comes in a message, so it is worth nothing by itself: only what begins with a configured
prefix is ever connected to, no redirect is followed and no proxy of the environment is used.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout

from hub_kernel.errors import ConfigurationError
from xds_registry.errors import XdsRegistryError
from xds_registry.mtom import SOAP_MEDIA_TYPE

LONGEST_ADDRESS = 500
_HIDDEN = re.compile("%(2e|2f|5c)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (NewConnectionError, "nobody listens"),
    (ConnectTimeoutError, "no connection in time"),
    (ReadTimeoutError, "no answer in time"),
    (SSLError, "TLS failed"),
)


class ConsumerUnavailableError(XdsRegistryError):
    """A consumer did not take a notification; the message says how, in a few words of ours."""


@dataclass(frozen=True)
class NotificationSettings:
    """Who may be notified, and for how long it is tried.

    `allowed_consumers` are prefixes of addresses; without any, nobody can subscribe. The files are
    PEM: whom to trust instead of the system's authorities, and who this hub is to consumers. What a
    consumer has not taken after `parked_after_days` is parked for a person to look at.
    """

    allowed_consumers: tuple[str, ...] = ()
    parked_after_days: int = 7
    longest_days: int = 366
    most_per_subscriber: int = 100
    connect_s: float = 5.0
    answer_s: float = 10.0
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


class Consumers:
    """The configured consumers; safe from many threads."""

    def __init__(self, settings: NotificationSettings) -> None:
        """Check the prefixes.

        Raises:
            ConfigurationError: one is no address of HTTP.
        """
        self._timeout = Timeout(connect=settings.connect_s, read=settings.answer_s)
        self._allowed = [_prefix(text) for text in settings.allowed_consumers]
        self._tls = _lazily(lambda: _tls(settings))

    def allows(self, address: str) -> bool:
        """Tell whether `address` lies under a configured prefix."""
        parts = _split(address)
        return parts is not None and any(_under(parts, prefix) for prefix in self._allowed)

    def send(self, address: str, envelope: bytes, action: str) -> None:
        """Hand one message to a consumer; return when it says that it has it.

        Raises:
            ConsumerUnavailableError: it does not say so in time, or the address is not allowed.
        """
        if not self.allows(address):
            raise ConsumerUnavailableError("the address is not allowed")
        headers = {
            "Content-Type": f'{SOAP_MEDIA_TYPE}; charset=UTF-8; action="{action}"',
            "Accept": SOAP_MEDIA_TYPE,
            "User-Agent": "eirhub",
        }
        try:
            response = self._tls().request(
                "POST",
                address,
                body=envelope,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=self._timeout,
            )
        except (HTTPError, OSError) as error:
            raise ConsumerUnavailableError(_reason(error)) from error
        status = response.status
        response.close()  # what it says beside its status is of no use to anybody
        if not 200 <= status < 300:
            raise ConsumerUnavailableError(f"HTTP {status}")


def host_of(address: str) -> str:
    """Return the host that an allowed address names."""
    return urlsplit(address).hostname or ""


def _prefix(text: str) -> SplitResult:
    parts = _split(text)
    if parts is None:
        raise ConfigurationError(f"allowed consumers: {text[:80]} is no http or https address")
    return parts


def _split(address: str) -> SplitResult | None:
    """Return the parts of an address that leaves no room for two readings of it, else None."""
    if not address.isascii() or not address.isprintable() or len(address) > LONGEST_ADDRESS:
        return None
    if any(letter in address for letter in ' \\#"<>^`{|}') or _HIDDEN.search(address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or port == 0:
        return None
    return None if {"..", "."} & set(parts.path.split("/")) else parts


def _under(parts: SplitResult, prefix: SplitResult) -> bool:
    path, start = parts.path or "/", prefix.path or "/"
    return (
        parts.scheme == prefix.scheme
        and parts.hostname == prefix.hostname
        and (parts.port or _PORTS[parts.scheme]) == (prefix.port or _PORTS[prefix.scheme])
        and (path == start or path.startswith(start if start.endswith("/") else f"{start}/"))
    )


def _lazily(make: Callable[[], urllib3.PoolManager]) -> Callable[[], urllib3.PoolManager]:
    made: list[urllib3.PoolManager] = []

    def get() -> urllib3.PoolManager:
        if not made:
            made.append(make())
        return made[0]

    return get


def _tls(settings: NotificationSettings) -> urllib3.PoolManager:
    trusted = str(settings.ca_file) if settings.ca_file else None
    context = ssl.create_default_context(cafile=trusted)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate_file:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    return urllib3.PoolManager(num_pools=16, maxsize=4, ssl_context=context)


def _reason(error: Exception) -> str:
    """Return why it was not taken, without repeating what anybody sent."""
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    return "the connection failed"
