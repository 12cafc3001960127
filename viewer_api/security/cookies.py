"""Cookies of the hub: `__Host-` and Secure over https, plain names on loopback http (RFC 6265bis).

A cookie carries a random token and nothing else; what it means lives on the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from viewer_api.security.navigation import is_https

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

SESSION_COOKIE = "eirhub"
LINK_COOKIE = "eirhub-link"
_PLAIN_NAMES = {SESSION_COOKIE: "eirhub_session", LINK_COOKIE: "eirhub_link"}


def session_token() -> str:
    """Return the session token the browser sent, or the empty text."""
    return named_cookie(SESSION_COOKIE)


def set_session_cookie(response: Response, token: str) -> None:
    """Give the browser the session `token`; it ends with the browser."""
    set_named_cookie(response, SESSION_COOKIE, token)


def clear_session_cookie(response: Response) -> None:
    """Take the session token back from the browser."""
    clear_named_cookie(response, SESSION_COOKIE)


def named_cookie(name: str) -> str:
    """Return the value of the hub's cookie `name`, or the empty text."""
    return request.cookies.get(_wire_name(name), "")


def set_named_cookie(
    response: Response, name: str, value: str, *, max_age_s: int | None = None
) -> None:
    """Set the hub's cookie `name`: HttpOnly, SameSite=Lax, whole host, no domain."""
    response.set_cookie(
        _wire_name(name),
        value,
        max_age=max_age_s,
        path="/",
        secure=is_https(),
        httponly=True,
        samesite="Lax",
    )


def clear_named_cookie(response: Response, name: str) -> None:
    """Remove the hub's cookie `name` from the browser."""
    response.delete_cookie(
        _wire_name(name), path="/", secure=is_https(), httponly=True, samesite="Lax"
    )


def _wire_name(name: str) -> str:
    if is_https():
        return f"__Host-{name}"
    return _PLAIN_NAMES.get(name, name.replace("-", "_"))
