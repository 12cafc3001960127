"""A person's consents and refusals, as the registrar writes them down on their behalf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from access_control.consent import EVERYONE, SHARING, ConsentKind, site_scope
from access_control.errors import InvalidConsentError
from access_control.model import Action
from viewer_api import consent_desk, identity_desk
from viewer_api.pages.identity_words import decider_word
from viewer_api.pages.people import site_book
from viewer_api.pages.words import gettext
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from access_control.consent import ConsentEntry
    from patient_index.model import Person
    from viewer_api.pages.people import SiteBook

blueprint = Blueprint("consents", __name__)


@dataclass(frozen=True)
class Stance:
    """Where the person stands on one scope; `entry` is the statement that holds, if any."""

    scope: str
    title: str
    meaning: str
    entry: ConsentEntry | None

    @property
    def refused(self) -> bool:
        """True when the person refuses this."""
        return self.entry is not None and self.entry.kind is ConsentKind.REFUSE


@dataclass(frozen=True)
class Said:
    """One statement of the history, in words."""

    entry: ConsentEntry
    title: str
    by: str


@blueprint.get("/identity/people/<global_id>/consents")
@signed_in
def page(global_id: str) -> str:
    """Show where the person stands, and everything they ever said."""
    return _page(_person(global_id))


@blueprint.post("/identity/people/<global_id>/consents")
@signed_in
def record(global_id: str) -> Response | tuple[str, int]:
    """Write down what the person says now."""
    person = _person(global_id)
    form = request.form
    scope = form.get("scope", "")
    if scope == "site":
        scope = site_scope(form.get("site", ""))
    try:
        consent_desk.record(person, form.get("kind", ""), scope, form.get("reason", ""))
    except InvalidConsentError:
        return _page(person, failed=True), 400
    return redirect(url_for("consents.page", global_id=global_id, written="1"), code=303)


def _person(global_id: str) -> Person:
    return identity_desk.require_person(global_id, Action.MANAGE_CONSENT)


def _page(person: Person, *, failed: bool = False) -> str:
    book, names = site_book(), identity_desk.deciders()
    holding = {entry.scope: entry for entry in services().consents.current(person.global_id)}
    stances = [_stance(scope, holding.get(scope), book) for scope in _scopes(set(holding))]
    history = services().consents.history(person.global_id)
    return render_template(
        "consents.html",
        person=person,
        site_names=[site.name for site in book.knowing(person.identifiers)],
        refused=[stance for stance in stances if stance.refused],
        open=[stance for stance in stances if not stance.refused],
        site_prefix=site_scope(""),
        site_scopes=[one.scope for one in stances if one.scope.startswith(site_scope(""))],
        history=[
            Said(entry, _words(entry.scope, book)[0], decider_word(entry.by, names))
            for entry in history
        ],
        failed=failed,
        written=bool(request.args.get("written")),
    )


def _scopes(said: set[str]) -> list[str]:
    """Every scope there is, and those of sites that are gone but were spoken of."""
    known = consent_desk.scopes()
    return [*known, *sorted(said - set(known))]


def _stance(scope: str, entry: ConsentEntry | None, book: SiteBook) -> Stance:
    title, meaning = _words(scope, book)
    return Stance(scope, title, meaning, entry)


def _words(scope: str, book: SiteBook) -> tuple[str, str]:
    """What a scope is called, and what refusing it means."""
    if scope == EVERYONE:
        return gettext("Everyone"), gettext(
            "Nobody sees pictures or documents any more, the sites that made them included."
        )
    if scope == SHARING:
        return gettext("Shared links"), gettext(
            "No link opens any more, and none can be made. Doctors see everything as before."
        )
    name = book.name(scope.removeprefix("site:"))
    return name, gettext("Who works for %(site)s alone sees nothing.", site=name)
