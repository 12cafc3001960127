"""Requests that a proxy passes on have their client's address; nobody else is believed (RFC 7239).

Sign-in counts attempts by address, the audit trail names it, and the numbers of `/metrics` are open
to this machine: so a proxy that does not say who asks is refused, as at the DICOM port.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hub_kernel.proxies import Proxies, plain_address

Wsgi = Callable[..., Any]

_CLAIMS = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_BY",
)
# What a proxy asks for itself, to know whether we live.
_ITS_OWN = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True)
class BehindProxies:
    """A WSGI application whose callers may be behind `proxies`."""

    proxies: Proxies
    application: Wsgi

    @classmethod
    def of(cls, networks: Iterable[str], application: Wsgi) -> Wsgi:
        """Return `application` behind the proxies in `networks`; as it is where there are none."""
        proxies = Proxies.of(networks)
        return cls(proxies, application) if proxies.networks else application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer for the client; 400 to a proxy that does not say properly who that is."""
        claims = {name: environ.pop(name, "") for name in _CLAIMS}
        if self.proxies.hold(environ["REMOTE_ADDR"]) and environ.get("PATH_INFO") not in _ITS_OWN:
            try:
                environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = self._client(claims)
            except ValueError:
                start_response("400 Bad Request", [("Content-Type", "text/plain")])
                return [b"the proxy does not say who asks (X-Forwarded-For)\n"]
            if claims["HTTP_X_FORWARDED_PROTO"] in {"http", "https"}:
                environ["wsgi.url_scheme"] = claims["HTTP_X_FORWARDED_PROTO"]
        return self.application(environ, start_response)

    def _client(self, claims: Mapping[str, str]) -> str:
        """Return the last address that is no proxy's: what stands before it anybody may have said.

        Raises:
            ValueError: there is none, or something else.
        """
        said = [one.strip() for one in claims["HTTP_X_FORWARDED_FOR"].split(",")]
        for one in reversed(said):
            client = str(plain_address(one))
            if not self.proxies.hold(client):
                return client
        return client
