"""What every page shares: menu by role, language and theme links, filters of the templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from flask import Blueprint, current_app, redirect, render_template, request, url_for

from access_control.model import Role, SubjectKind
from viewer_api import break_glass_desk, burned_in_desk, conflict_desk
from viewer_api.language import asker_language
from viewer_api.pages import language, vocabulary
from viewer_api.pages.assets import asset_url
from viewer_api.pages.contents_words import contents_words
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import broken_glass, current_subject, signed_in, viewer_root
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask
    from flask.blueprints import BlueprintSetupState
    from werkzeug.wrappers import Response

    from access_control.model import Subject

blueprint = Blueprint("frame", __name__)

# The order decides: who has several roles lands on the first page of this list.
_MENU = (
    ("find.page", lazy_gettext("Find a person"), {Role.RADIOLOGIST, Role.CLINICIAN}),
    ("break_glass.page", lazy_gettext("Emergency access"), {Role.RADIOLOGIST, Role.CLINICIAN}),
    ("arrivals.page", lazy_gettext("Has it arrived?"), {Role.TECHNICIAN}),
    ("edge.page", lazy_gettext("Has it arrived?"), {Role.TECHNICIAN, Role.ENGINEER, Role.MANAGER}),
    ("region.page", lazy_gettext("Region at a glance"), {Role.ENGINEER, Role.MANAGER}),
    ("trail.page", lazy_gettext("Who saw what"), {Role.AUDITOR}),
    ("break_glass_review.page", lazy_gettext("Emergency accesses"), {Role.AUDITOR}),
    ("identity_review.page", lazy_gettext("Review desk"), {Role.REGISTRAR}),
    ("conflicts.page", lazy_gettext("Conflict desk"), {Role.REGISTRAR, Role.ENGINEER}),
    ("burned_in.page", lazy_gettext("Text in pictures"), {Role.REGISTRAR}),
)

_WAITING: Mapping[str, Callable[[], int]] = {
    "break_glass_review.page": break_glass_desk.waiting_count,
    "conflicts.page": conflict_desk.waiting_count,
    "burned_in.page": burned_in_desk.waiting_count,
}


@dataclass(frozen=True)
class MenuEntry:
    """One entry of the menu: where it leads, its word, whether the reader is there, what waits."""

    url: str
    word: str
    current: bool
    badge: int = 0


@blueprint.get("/")
@signed_in
def landing() -> Response:
    """Lead a reader to the page of their role."""
    return redirect(landing_url(current_subject()), code=303)


@blueprint.record_once
def install(state: BlueprintSetupState) -> None:
    """Give the templates of the application their filters and common values."""
    app = cast("Flask", state.app)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        age=language.age_word,
        ago=language.ago,
        body_part=vocabulary.body_part_word,
        clock=language.clock_time,
        day=language.day,
        held=contents_words,
        local_day=language.local_day,
        modality=vocabulary.modality_word,
        moment=language.moment,
        month_day=language.month_day,
        sex=vocabulary.sex_word,
        site_name=language.site_name,
        size=language.size_word,
        span=language.span_word,
        study_clock=language.study_clock,
    )
    app.context_processor(_common)
    language.install_choices(app)


def landing_url(subject: Subject) -> str:
    """Return the address of the first page that `subject` may use."""
    entries = menu(subject)
    return entries[0].url if entries else url_for("frame.nothing_here")


@blueprint.get("/welcome")
@signed_in
def nothing_here() -> str:
    """Tell a reader whose account has no role yet what to do."""
    return render_template("welcome.html")


def menu(subject: Subject) -> list[MenuEntry]:
    """Return the pages that the roles of `subject` use."""
    return [
        MenuEntry(url_for(endpoint), str(word), request.endpoint == endpoint, _badge(endpoint))
        for endpoint, word, roles in _MENU
        if subject.roles & roles and _has(endpoint)
    ]


def _has(endpoint: str) -> bool:
    """Say whether this application has the page: a gateway has one, and none of the hub's."""
    return endpoint in current_app.view_functions


def _badge(endpoint: str) -> int:
    """What waits behind an entry; the desks that hold something say so."""
    waiting = _WAITING.get(endpoint)
    return waiting() if waiting else 0


def hub_name() -> str:
    """Return what this hub is called, in the reader's language."""
    settings = services().settings.hub
    return settings.name_en if asker_language() == "en" else settings.name


def _common() -> dict[str, Any]:
    subject = current_subject()
    person = subject.kind is SubjectKind.USER
    return {
        "asset": asset_url,
        "broken_glass": broken_glass(),
        "hub_name": hub_name(),
        "lang": language.language_code(),
        "language_links": _links("lang", language.LANGUAGE_NAMES, asker_language()),
        "may_break_glass": _has("break_glass.page") and break_glass_desk.may_open(),
        "menu": menu(subject) if person else [],
        "reader": subject if person else None,
        "reader_roles": [str(vocabulary.ROLE_WORDS[str(role)]) for role in sorted(subject.roles)],
        "theme": language.chosen_theme(),
        "theme_links": _links("theme", _THEME_WORDS, language.chosen_theme()),
        "viewer_open": bool(viewer_root()),
    }


_THEME_WORDS = {
    "auto": lazy_gettext("Automatic"),
    "light": lazy_gettext("Light"),
    "dark": lazy_gettext("Dark"),
}


def _links(parameter: str, words: dict[str, Any], current: str) -> list[dict[str, Any]]:
    """Links to this same page with `parameter` changed; the path itself is never repeated.

    A relative address keeps the secret of a shared link out of the page's text.
    """
    kept = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in {"lang", "theme"}
    ]
    return [
        {
            "code": code,
            "word": str(word),
            "url": "?" + urlencode([*kept, (parameter, code)]),
            "current": code == current,
        }
        for code, word in words.items()
    ]
