"""Response headers that confine what a browser may do with a page, and refusals before routing.

CSP level 3 without inline script, no framing, no sniffing; addresses that smuggle `..` or NUL
answer 404 before any view sees them, an argument or a form field with NUL in it 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from flask import Flask, abort, current_app, request
from werkzeug.wrappers import Response

from viewer_api.errors import BadQueryError
from viewer_api.security.navigation import is_https
from viewer_api.services import services

P = ParamSpec("P")
R = TypeVar("R")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SANDBOXED_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The path of a shared link is its secret: never in a Referer, not even to ourselves. The
    # origin stays, or browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "strict-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LARGE = "eirhub_takes_large_bodies"
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_SMUGGLED = re.compile(rb"[\x00-\x1f\x7f]|(?:^|[/\\])\.\.(?:[/\\]|$)")


def takes_large_bodies(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view whose bodies may be as large as `web.max_store_bytes`."""
    setattr(view, _LARGE, True)
    return view


def install_headers(app: Flask) -> None:
    """Confine every answer of `app`; refuse smuggled paths, oversized bodies and NUL first."""
    app.before_request(_refuse_smuggled_path)
    app.before_request(_refuse_oversized_body)
    app.before_request(_refuse_null_characters)
    app.after_request(_confine)


def _confine(response: Response) -> Response:
    headers = response.headers
    if response.status_code == 308:
        _lead_within(response)
    # Names are looked at once: werkzeug would search them all for each of ours.
    named = {name.lower() for name, _ in headers}
    for name, value in _HEADERS.items():
        if name.lower() not in named:
            headers.add(name, value)
    if is_https():
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if "server" in named:
        headers.remove("Server")
    return response


def _lead_within(response: Response) -> None:
    """Shorten the redirect of an address with doubled slashes to its path.

    The framework writes it with the host that the asker claims (RFC 9110 10.2.2 needs none).
    """
    parts = urlsplit(response.location or "")
    response.location = urlunsplit(("", "", f"/{parts.path.lstrip('/')}", parts.query, ""))
    response.set_data(b"")


def _refuse_smuggled_path() -> None:
    path = request.environ.get("PATH_INFO", "").encode("latin-1", "replace")
    # Twice: an intermediate that decodes once more must not find anything either.
    if _SMUGGLED.search(path) or _SMUGGLED.search(unquote_to_bytes(path)):
        abort(404)


def _refuse_oversized_body() -> None:
    if _takes_large_bodies():
        request.max_content_length = services().settings.web.max_store_bytes
    limit = request.max_content_length
    if limit is not None and (request.content_length or 0) > limit:
        abort(413)


def _refuse_null_characters() -> None:
    """Refuse U+0000, which nobody types and PostgreSQL keeps in no text.

    JSON bodies are refused for the same where they are read (`api.parameters.json_object`).
    """
    if b"%00" in request.query_string or b"\0" in request.query_string:
        raise BadQueryError("the address holds a null character")
    if request.mimetype not in _FORMS or _takes_large_bodies():
        return
    if any("\0" in text for texts in request.form.listvalues() for text in texts):
        raise BadQueryError("a field holds a null character")


def _takes_large_bodies() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return bool(getattr(view, _LARGE, False))
