"""The review queue of emergency accesses: who opened whose record and why, judged by an auditor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for

from access_control.break_glass import Verdict
from access_control.errors import InvalidBreakGlassError
from hub_kernel.errors import NotFoundError
from viewer_api import break_glass_desk, identity_desk
from viewer_api.pages.words import gettext
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.wrappers import Response

    from access_control.break_glass import BrokenGlass

blueprint = Blueprint("break_glass_review", __name__, url_prefix="/audit/emergencies")

_MOST_REVIEWED = 50


@dataclass(frozen=True)
class Line:
    """One emergency as the page shows it; `reviewer` is the name of who judged it."""

    glass: BrokenGlass
    is_open: bool
    reviewer: str


@blueprint.get("")
@signed_in
def page() -> str:
    """Show what waits for review, and what was reviewed last."""
    break_glass_desk.require_reviewer()
    return _page()


@blueprint.post("/<int:glass_id>")
@signed_in
def judge(glass_id: int) -> Response | tuple[str, int]:
    """Write down the verdict on one emergency."""
    break_glass_desk.require_reviewer()
    try:
        verdict = Verdict(request.form.get("verdict", ""))
    except ValueError:
        abort(400)
    try:
        break_glass_desk.review(glass_id, verdict, request.form.get("note", ""))
    except NotFoundError:
        abort(404)
    except InvalidBreakGlassError:
        failed = gettext("Nothing was written down: say what you found, and of others alone.")
        return _page(failed), 400
    return redirect(url_for("break_glass_review.page", written="1"), code=303)


def _page(failed: str = "") -> str:
    queue = services().break_glass
    return render_template(
        "break_glass_review.html",
        waiting=_lines(queue.waiting()),
        reviewed=_lines(queue.reviewed(_MOST_REVIEWED)),
        failed=failed,
        written=bool(request.args.get("written")),
    )


def _lines(found: Iterable[BrokenGlass]) -> list[Line]:
    names, now = identity_desk.deciders(), services().clock.now()
    return [
        Line(
            glass,
            is_open=glass.closed_at is None and glass.ends_at > now,
            reviewer=names.get(glass.reviewed_by, glass.reviewed_by),
        )
        for glass in found
    ]
