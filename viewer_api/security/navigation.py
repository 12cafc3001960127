"""Addresses the hub gives out or follows: its own root, and where to go after signing in.

`Host`, `Forwarded` and `X-Forwarded-*` are claims of the asker and are never believed.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import current_app, request

from viewer_api.services import services

# The configuration key of an application that readers reach elsewhere than at `web.public_url`.
PUBLIC_URL = "EIRHUB_PUBLIC_URL"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def safe_next(url: str | None, default: str = "/") -> str:
    r"""Return `url` when it is a path on this hub, else `default`.

    Refused are other hosts in every spelling a browser follows (`//evil`, `/\evil`,
    `https:evil`) and anything with control characters.
    """
    if not url or not url.startswith("/") or any(ord(letter) < 0x20 for letter in url):
        return default
    if url.startswith(("//", "/\\")) or "\\" in url:
        return default
    parts = urlsplit(url)
    return default if parts.scheme or parts.netloc else url


def is_https() -> bool:
    """Say whether the reader's browser speaks https with the hub, itself or before a proxy."""
    return request.is_secure or _public_url().startswith("https://")


def public_root() -> str:
    """Return the hub's own root address, without a trailing slash, for absolute links.

    The configured public address wins. Without one a loopback `Host` is repeated as asked;
    any other `Host` is replaced by the address the server listens on.
    """
    configured = _public_url()
    if configured:
        return configured
    scheme = "https" if request.is_secure else "http"
    name, port = _asked_host()
    if name not in _LOOPBACK_NAMES:
        name, port = _listening_name(), None
    # Some clients leave the port out of Host; a forwarded port is only in Host.
    port = port or int(request.environ.get("SERVER_PORT", "80"))
    authority = f"[{name}]" if ":" in name else name
    return f"{scheme}://{authority}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")


def viewer_root() -> str:
    """Return the root address of the diagnostic viewer, empty where it is not open.

    Without a configured one it is the name the reader knows the hub by, at the viewer's port.
    """
    port = services().viewer_port()
    if not port or services().settings.viewer.public_url:
        return services().settings.viewer.public_url.rstrip("/") if port else ""
    parts = urlsplit(public_root())
    name = parts.hostname or "localhost"
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def _asked_host() -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{request.environ.get('HTTP_HOST', '')}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    return name, port


def _public_url() -> str:
    configured = current_app.config.get(PUBLIC_URL, services().settings.web.public_url)
    return str(configured or "").rstrip("/")


def _listening_name() -> str:
    name = str(request.environ.get("SERVER_NAME", "")) or "localhost"
    return "localhost" if name in {"0.0.0.0", "::", "waitress.invalid"} else name  # noqa: S104
