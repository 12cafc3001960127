"""Find a person: one box for name, pinyin, initials or any number.

The page and the rows fetched while typing are the same template, so both show the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from viewer_api.found_people import by_accession_number, require_search, shown
from viewer_api.pages.people import PersonLine, SiteBook, person_lines, site_book
from viewer_api.security import current_subject, shown_persons, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from patient_index.model import Person

blueprint = Blueprint("find", __name__)

_MOST_ROWS = 30
_LONGEST_QUESTION = 128


@dataclass(frozen=True)
class Findings:
    """What a question found: `more` says that rows beyond the first were left off."""

    question: str
    lines: list[PersonLine]
    more: bool


@blueprint.get("/patients")
@signed_in
def page() -> str:
    """Show the box and, for a question in the address, its rows."""
    return render_template("find.html", found=_found())


@blueprint.get("/patients/results")
@signed_in
def results() -> str:
    """Answer only the rows, for the script that asks while the reader types."""
    return render_template("_results.html", found=_found())


def _found() -> Findings:
    require_search()
    question = request.args.get("q", "").strip()[:_LONGEST_QUESTION]
    if not question:
        shown(())
        return Findings("", [], more=False)
    book = site_book()
    persons = shown_persons(_persons(question, book))
    shown(persons[:_MOST_ROWS])
    return Findings(
        question=question,
        lines=person_lines(persons[:_MOST_ROWS], book),
        more=len(persons) > _MOST_ROWS,
    )


def _persons(question: str, book: SiteBook) -> list[Person]:
    """Persons the reader may see, whom the index or an accession number leads to."""
    issuers = book.authorities_of(current_subject())
    found = services().patients.search(question, issuers=issuers, limit=_MOST_ROWS + 1)
    return list(found) or by_accession_number(question, current_subject().sites)
