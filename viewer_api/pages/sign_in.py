"""Sign in and out: a local account becomes a session on the server and a cookie in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, make_response, redirect, render_template, request

from access_control.errors import AccountLockedError, BadCredentialsError
from access_control.model import Resource, SubjectKind
from viewer_api.pages.acting import act_as
from viewer_api.pages.frame import landing_url
from viewer_api.security import (
    clear_session_cookie,
    current_subject,
    open_to_everyone,
    record_access,
    safe_next,
    session_token,
    set_session_cookie,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from datetime import datetime

    from werkzeug.wrappers import Response

blueprint = Blueprint("sign_in", __name__)

_THE_HUB = Resource("operations")
_LONGEST_NAME = 128
_LONGEST_PASSWORD = 1024


@blueprint.get("/sign-in")
@open_to_everyone
def page() -> Response:
    """Show the form; who is signed in already goes on to where they wanted."""
    if current_subject().kind is SubjectKind.USER:
        return redirect(_wanted(), code=303)
    return make_response(render_template("sign_in.html", wanted=_wanted(), username=""))


@blueprint.post("/sign-in")
@open_to_everyone
def enter() -> Response:
    """Start a session, always a new one; or show the form again and say what happened.

    An unknown name and a wrong password read the same.
    """
    username = request.form.get("username", "").strip()[:_LONGEST_NAME]
    password = request.form.get("password", "")[:_LONGEST_PASSWORD]
    try:
        subject = services().accounts.authenticate(username, password, request.remote_addr or "")
    except BadCredentialsError:
        # Not even the typed name is recorded: it is a password more often than one would think.
        record_access("sign_in", "refused", _THE_HUB)
        return _again(username, refused=True, locked_until=None)
    except AccountLockedError as locked:
        record_access("sign_in", "refused", _THE_HUB, detail="locked")
        return _again(username, refused=False, locked_until=locked.until)
    if session_token():
        services().sessions.end(session_token())
    act_as(subject)
    record_access("sign_in", "success", _THE_HUB)
    wanted = _wanted()
    answer = redirect(landing_url(subject) if wanted == "/" else wanted, code=303)
    set_session_cookie(answer, services().sessions.start(subject))
    return answer


@blueprint.post("/sign-out")
@open_to_everyone
def leave() -> Response:
    """End the session on the server, then in the browser."""
    if session_token():
        record_access("sign_out", "success", _THE_HUB)
        services().sessions.end(session_token())
    answer = redirect("/sign-in?left=1", code=303)
    clear_session_cookie(answer)
    return answer


def _again(username: str, *, refused: bool, locked_until: datetime | None) -> Response:
    body = render_template(
        "sign_in.html",
        wanted=_wanted(),
        username=username,
        refused=refused,
        locked_until=locked_until,
    )
    return make_response(body, 429 if locked_until else 401)


def _wanted() -> str:
    return safe_next(request.values.get("next"))
