"""Who looked at my pictures: every access in plain words, at the desk and by the shared link."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from access_control.model import Action, Purpose
from viewer_api import accesses, identity_desk
from viewer_api.pages.language import day, local_time
from viewer_api.pages.people import site_book
from viewer_api.pages.public_exam import exam_in_words
from viewer_api.pages.shared import opened_study, quiet
from viewer_api.pages.vocabulary import ROLE_WORDS
from viewer_api.pages.words import gettext, lazy_gettext
from viewer_api.security import open_to_everyone, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from werkzeug.wrappers import Response

    from access_control.audit import AuditRecord
    from image_archive.model import StudyRecord
    from viewer_api.accesses import Access
    from viewer_api.pages.people import SiteBook
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("access_log", __name__)

DEEDS: Mapping[str, LazyText] = {
    "view_record": lazy_gettext("looked at the list of your examinations"),
    "view_diagnostic": lazy_gettext("looked at the pictures of your examination"),
    "view_clinical": lazy_gettext("looked at the pictures of your examination"),
    "view_public": lazy_gettext("looked at your examination by a shared link"),
    "open_link": lazy_gettext("opened a shared link to your examination"),
    "share": lazy_gettext("worked on links that share your examination"),
    "query": lazy_gettext("searched your examination"),
    "query_registry": lazy_gettext("asked which documents there are about you"),
    "retrieve_document": lazy_gettext("fetched a document about your examination"),
    "review_identity": lazy_gettext("checked who you are: names and numbers"),
    "decide_identity": lazy_gettext("changed which numbers are yours"),
    "manage_consent": lazy_gettext("looked at your consents, or at this list"),
    "record_consent": lazy_gettext("wrote down your consent"),
    "hold_record": lazy_gettext("placed or lifted a hold on your record, or looked at it"),
    "delete_study": lazy_gettext("deleted an examination whose term was over"),
    "view_operations": lazy_gettext("checked whether your examination has arrived"),
    "feed_patient": lazy_gettext("sent who you are: names and numbers"),
    "receive_report": lazy_gettext("sent a report of your examination"),
    "find_patient": lazy_gettext("asked for your names and numbers"),
    "break_glass": lazy_gettext("opened your record in an emergency"),
    "end_break_glass": lazy_gettext("closed your record again after an emergency"),
    "review_break_glass": lazy_gettext("checked why your record was opened in an emergency"),
}
_FOUND = lazy_gettext("searched for people and saw your name and numbers")


@dataclass(frozen=True)
class AccessLine:
    """One access in words, or several alike in a row. `refused` says that nothing was shown.

    `emergency` says that nothing but an emergency allowed it.

    `at` is the latest of them, `since` the earliest.
    """

    at: datetime
    since: datetime
    times: int
    who: str
    role: str
    deed: str
    about: str
    refused: bool
    address: str
    emergency: bool = False


@dataclass(frozen=True)
class Day:
    """The accesses of one day at the hub's region, latest first."""

    day: date
    lines: tuple[AccessLine, ...]


@blueprint.get("/identity/people/<global_id>/accesses")
@signed_in
def page(global_id: str) -> str:
    """Show the person, or who speaks for them, every access; made to be printed."""
    person = identity_desk.require_person(global_id, Action.MANAGE_CONSENT)
    found = accesses.of_person(person, _before())
    book = site_book()
    return render_template(
        "accesses.html",
        person=person,
        site_names=[site.name for site in book.knowing(person.identifiers)],
        days=days(found.found, book),
        older=found.older,
        newest=_before() is None,
    )


@blueprint.get("/share/exam/accesses")
@open_to_everyone
def by_link() -> Response:
    """Show who holds the link every access to its examination."""
    study = opened_study()
    found = accesses.of_study(study, _before())
    body = render_template(
        "shared_accesses.html",
        days=days(found.found, site_book(), addresses=False),
        older=found.older,
        newest=_before() is None,
    )
    return quiet(body)


def days(found: Iterable[Access], book: SiteBook, *, addresses: bool = True) -> list[Day]:
    """Return accesses by day, in plain words; the addresses of computers only if asked for."""
    lines = [_line(access, book, addresses=addresses) for access in found]
    return [
        Day(date_, tuple(_together(list(same)) for _, same in groupby(group, key=_likeness)))
        for date_, group in groupby(lines, key=lambda line: line.at.astimezone(local_time()).date())
    ]


def _likeness(line: AccessLine) -> tuple[object, ...]:
    return line.who, line.role, line.deed, line.about, line.refused, line.address, line.emergency


def _together(alike: Sequence[AccessLine]) -> AccessLine:
    """Say once what somebody did again and again; nothing is left out, only counted."""
    return replace(alike[0], since=alike[-1].at, times=len(alike))


def _line(access: Access, book: SiteBook, *, addresses: bool) -> AccessLine:
    record = access.record
    return AccessLine(
        at=record.recorded_at,
        since=record.recorded_at,
        times=1,
        who=_who(record, book),
        role=", ".join(str(ROLE_WORDS.get(role, role)) for role in record.roles),
        deed=_deed(record),
        about=_about(access.study) if access.study else "",
        refused=record.outcome != "success",
        address=record.address if addresses else "",
        emergency=record.purpose == Purpose.BREAK_GLASS,
    )


def _deed(record: AuditRecord) -> str:
    """Say what was done; a record of nobody in particular is of a search that showed the person."""
    return str(DEEDS.get(record.action, record.action) if record.resource_id else _FOUND)


def _who(record: AuditRecord, book: SiteBook) -> str:
    if record.subject_kind == "link":
        return gettext("Whoever held the link and its passcode")
    if record.subject_kind == "site":
        return book.name(record.subject_id)
    if record.subject_kind == "anonymous":
        return gettext("Somebody who was not signed in")
    return record.display or record.subject_id


def _about(study: StudyRecord) -> str:
    return f"{exam_in_words(study)} · {day(study.study_date)}"


def _before() -> int | None:
    text = request.args.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
