"""One person's numbers and how they came together: as of a moment, merge, take apart, take back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, render_template, request, url_for

from access_control.model import Action, Purpose
from hub_kernel.errors import InvalidValueError, NotFoundError
from patient_index.model import LinkEntry
from viewer_api import identity_changes, identity_desk
from viewer_api.found_people import require_search, shown
from viewer_api.pages.identity_compare import compared, weighed_rows
from viewer_api.pages.identity_words import decider_word, log_word, rule_word
from viewer_api.pages.language import local_time
from viewer_api.pages.people import person_lines, site_book
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import current_subject, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from werkzeug.wrappers import Response

    from hub_kernel.identifiers import PatientIdentifier
    from patient_index.model import Decision, Person
    from viewer_api.pages.identity_compare import CompareRow
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("identity_people", __name__)

_MOST_ROWS = 30
_LONGEST = 128
FAILURES: Mapping[str, LazyText] = {
    "reason": lazy_gettext("Nothing was changed: say why, in up to 400 characters."),
    "unknown": lazy_gettext("Nothing was changed: no person or number of that kind is known here."),
    "itself": lazy_gettext("Nothing was changed: it is the same person already."),
}


@dataclass(frozen=True)
class LogLine:
    """One moment of the history: what happened, to which numbers, by whom, and why."""

    at: datetime
    word: str
    kind: str
    numbers: tuple[PatientIdentifier, ...]
    people: tuple[str, ...]
    by: str
    why: str
    decision: Decision | None = None

    @property
    def fields(self) -> tuple[CompareRow, ...]:
        """What each field was worth, for what was weighed."""
        if self.decision is None:
            return ()
        rows = weighed_rows(self.decision.explanation)
        return tuple(row for row in rows if not row.nothing_said)

    @property
    def can_take_back(self) -> bool:
        """True for a change of links that nobody has taken back."""
        return (
            self.decision is not None
            and self.decision.undone_by is None
            and bool(self.decision.moved)
        )


@blueprint.get("/identity/people")
@signed_in
def page() -> str:
    """Find a person by name or number, to look after their identity."""
    require_search(Action.REVIEW_IDENTITY, Purpose.QUALITY)
    question = request.args.get("q", "").strip()[:_LONGEST]
    book = site_book()
    found = (
        services().patients.search(
            question, issuers=book.authorities_of(current_subject()), limit=_MOST_ROWS
        )
        if question
        else []
    )
    seen = [person for person in found if identity_desk.may_see(person)]
    shown(seen, Action.REVIEW_IDENTITY)
    lines = person_lines(seen, book)
    return render_template("identity_people.html", question=question, lines=lines)


@blueprint.get("/identity/people/<global_id>")
@signed_in
def history(global_id: str) -> str | Response:
    """Show the numbers of a person now, or as they stood at a moment, and every change."""
    _lead_on(global_id)
    person = identity_desk.require_person(global_id)
    as_of = _moment(request.args.get("as_of", ""))
    book = site_book()
    numbers = (
        services().patients.identifiers_of(global_id, as_of=as_of) if as_of else person.identifiers
    )
    lines = _log(person)
    return render_template(
        "identity_history.html",
        person=person,
        numbers=[(number, book.knowing((number,))) for number in numbers],
        site_names=[site.name for site in book.knowing(person.identifiers)],
        as_of=as_of.astimezone(local_time()) if as_of else None,
        lines=[line for line in lines if as_of is None or line.at <= as_of],
        failure=FAILURES.get(request.args.get("failed", "")),
        changed=request.args.get("changed", ""),
    )


@blueprint.get("/identity/people/<global_id>/merge")
@signed_in
def merge_page(global_id: str) -> str | Response:
    """Show both people side by side before they are merged."""
    person = identity_desk.require_person(global_id)
    other_id = services().patients.successor(request.args.get("other", "").strip()[:_LONGEST])
    if other_id is None:
        return _back(global_id, failed="unknown")
    if other_id == global_id:
        return _back(global_id, failed="itself")
    other = identity_desk.require_person(other_id)
    return render_template(
        "identity_merge.html", person=person, other=other, pair=compared(person, other)
    )


@blueprint.post("/identity/people/<global_id>/merge")
@signed_in
def merge(global_id: str) -> Response:
    """Make another person's numbers resolve to this one."""
    person = identity_desk.require_person(global_id)
    other = identity_desk.require_person(request.form.get("other", "")[:_LONGEST])
    return _after(
        global_id, lambda: identity_changes.merge(person, other, request.form.get("reason", ""))
    )


@blueprint.post("/identity/people/<global_id>/separate")
@signed_in
def separate(global_id: str) -> Response:
    """Make one number a person of its own again."""
    person = identity_desk.require_person(global_id)
    return _after(
        global_id,
        lambda: identity_changes.separate(person, _number(person), request.form.get("reason", "")),
    )


@blueprint.post("/identity/people/<global_id>/move")
@signed_in
def move(global_id: str) -> Response:
    """Make one number resolve to another person."""
    person = identity_desk.require_person(global_id)
    target = services().patients.successor(request.form.get("other", "").strip()[:_LONGEST])
    if target is None:
        return _back(global_id, failed="unknown")
    other = identity_desk.require_person(target)
    return _after(
        global_id,
        lambda: identity_changes.move(
            person, _number(person), other, request.form.get("reason", "")
        ),
    )


@blueprint.post("/identity/people/<global_id>/decisions/<int:decision_id>/take-back")
@signed_in
def take_back(global_id: str, decision_id: int) -> Response:
    """Take back one decision about this person."""
    person = identity_desk.require_person(global_id)
    return _after(
        global_id,
        lambda: identity_changes.take_back(person, decision_id, request.form.get("reason", "")),
    )


def _after(global_id: str, change: object) -> Response:
    try:
        change()  # type: ignore[operator]
    except InvalidValueError:
        return _back(global_id, failed="reason")
    except NotFoundError:
        return _back(global_id, failed="unknown")
    still = services().patients.successor(global_id) or global_id
    return redirect(url_for("identity_people.history", global_id=still, changed="1"), code=303)


def _back(global_id: str, *, failed: str) -> Response:
    return redirect(
        url_for("identity_people.history", global_id=global_id, failed=failed), code=303
    )


def _lead_on(global_id: str) -> None:
    """A global ID that was merged away leads to where it is answered now."""
    if services().patients.person(global_id) is not None:
        return
    now = services().patients.successor(global_id)
    if now is not None and now != global_id and services().patients.person(now) is not None:
        identity_desk.require_person(now)
        abort(redirect(url_for("identity_people.history", global_id=now), code=303))


def _number(person: Person) -> PatientIdentifier:
    """The number the form names; it must be one of the person's own."""
    asked = request.form.get("number", "")
    for number in person.identifiers:
        if f"{number.value} {number.issuer.oid}" == asked:
            return number
    raise NotFoundError("no such number of this person")


def _moment(text: str) -> datetime | None:
    """The moment a browser's field names, in the hub's region; anything else is now."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=local_time())


def _log(person: Person) -> list[LogLine]:
    """Every change that touched the person's numbers, latest first."""
    names = identity_desk.deciders()
    entries = identity_changes.entries_of(person)
    decisions = identity_changes.decisions_of(person, entries)
    lines = [_first_seen(entry, names) for entry in entries if entry.action == "REGISTER"]
    lines += [_decided(decision, names) for decision in decisions]
    return sorted(lines, key=_moment_of, reverse=True)


def _moment_of(line: LogLine) -> tuple[datetime, int]:
    """Of one and the same moment, first seen comes before whatever was decided then."""
    return line.at, line.decision.decision_id if line.decision else 0


def _first_seen(entry: LinkEntry, names: Mapping[str, str]) -> LogLine:
    return LogLine(
        at=entry.logged_at,
        word=log_word(entry.action),
        kind="",
        numbers=(entry.identifier,),
        people=(entry.global_id,),
        by=decider_word(entry.decided.by, names),
        why="",
    )


def _decided(decision: Decision, names: Mapping[str, str]) -> LogLine:
    people: Sequence[str] = (decision.subsumed, decision.survivor)
    kind = "undone" if decision.undone_by else ""
    if decision.action in {"UNLINK", "UNMERGE"}:
        kind = kind or "apart"
    rule = decision.decided.rule
    return LogLine(
        at=decision.decided_at,
        word=log_word(decision.action),
        kind=kind,
        numbers=decision.moved,
        people=tuple(people),
        by=decider_word(decision.decided.by, names),
        why=decision.decided.reason
        if rule == "person"
        else rule_word(rule, decision.decided.reason),
        decision=decision,
    )
