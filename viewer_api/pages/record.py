"""One person's Electronic Imaging Record: every study of every site on one axis of time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from access_control.model import Action, Resource
from image_archive.contents import Contents
from image_archive.model import StudyState
from viewer_api.pages.document_words import DocumentCard, document_card, is_manifest
from viewer_api.pages.people import PersonLine, SiteBook, person_line, site_book
from viewer_api.pages.vocabulary import DISCIPLINE_WORDS, disciplines_of
from viewer_api.pages.words import gettext
from viewer_api.security import (
    broken_glass,
    permitted,
    person_resource,
    refuse,
    require,
    signed_in,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from image_archive.model import StudyRecord

blueprint = Blueprint("record", __name__)

_MOST_CARDS = 100
# Of larger studies every object counts as one picture: they are stacks of slices, and counting the
# frames of a hundred of them would take a tenth of a second.
_MOST_COUNTED = 300
# Stands beside the disciplines in their filter: what was written, not what was made of pictures.
_DOCUMENTS = "documents"


@dataclass(frozen=True)
class ExamCard:
    """One study on the axis; `reported` is the standing of its report, empty without one.

    `held` is what is in it, once it is to be shown.
    """

    study: StudyRecord
    site: str
    complete: bool
    reported: str = ""
    held: Contents = Contents()

    @property
    def study_instance_uid(self) -> str:
        """The UID its address and thumbnail hang on."""
        return self.study.study_instance_uid

    @property
    def year(self) -> int | None:
        """The year it was made in, None where no date is known."""
        return self.study.study_date.year if self.study.study_date else None

    @property
    def moment(self) -> tuple[bool, str, str, str]:
        """What the axis is ordered by."""
        day, time = self.study.study_date, self.study.study_time.replace(":", "")[:6]
        return day is not None, day.isoformat() if day else "", time, self.study_instance_uid


@dataclass(frozen=True)
class PaperCard:
    """One registered document on the axis; `pictures` are those of studies it says are elsewhere.

    That is so of the manifests of other archives whose studies this one does not have.
    """

    document: DocumentCard
    pictures: int = 0

    @property
    def year(self) -> int | None:
        """The year it is about, None where no date is known."""
        return self.document.day.year if self.document.day else None

    @property
    def moment(self) -> tuple[bool, str, str, str]:
        """What the axis is ordered by."""
        day, time = self.document.day, self.document.clock.replace(":", "")
        return day is not None, day.isoformat() if day else "", time, self.document.entry_id


Card = ExamCard | PaperCard


@dataclass(frozen=True)
class Year:
    """One year of the axis, newest first; `year` is None for what has no date."""

    year: int | None
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Choice:
    """One value of a filter."""

    value: str
    word: str
    chosen: bool


@dataclass(frozen=True)
class Record:
    """What the page shows: `start` cards are newer, at `older` the next ones begin.

    `shown` and `total` count examinations, `documents` what is registered beside them.
    """

    line: PersonLine
    discipline: str
    site: str
    start: int
    older: int | None
    years: tuple[Year, ...]
    disciplines: tuple[Choice, ...]
    sites: tuple[Choice, ...]
    shown: int
    total: int
    documents: int
    asks_elsewhere: bool = False


@blueprint.get("/patients/<global_id>")
@signed_in
def page(global_id: str) -> str:
    """Show the record of one person, whole: filters narrow what is shown, never what exists."""
    person = services().patients.person(global_id)
    if person is None:
        refuse(Action.VIEW_RECORD, Resource("patient", global_id), detail="unknown")
    resource = person_resource(person)
    require(Action.VIEW_RECORD, resource)
    book = site_book()
    studies = services().index.studies_of(person.identifiers)
    line = person_line(person, book, studies)
    documents: list[PaperCard] = []
    if permitted(Action.RETRIEVE_DOCUMENT, resource):
        found = services().registry.documents.of(global_id)
        manifests = any(is_manifest(one.entry) for one in found)
        elsewhere = _pictures_elsewhere(global_id) if manifests else {}
        documents = [
            PaperCard(document_card(one, book), elsewhere.get(one.entry.entry_uuid, 0))
            for one in found
        ]
    record = _record(line, studies, documents, book)
    if services().registry.elsewhere.has_communities:
        may = permitted(Action.RETRIEVE_DOCUMENT, resource) and not broken_glass()
        record = replace(record, asks_elsewhere=may)
    return render_template("record.html", record=record)


def _pictures_elsewhere(global_id: str) -> Counter[str]:
    """Count the pictures that each manifest of another archive lists, by its entryUUID."""
    counted: Counter[str] = Counter()
    for study in services().registry.studies_elsewhere(global_id):
        counted[study.entry_uuid] += study.instance_count
    return counted


def _record(
    line: PersonLine,
    studies: list[StudyRecord],
    documents: list[PaperCard],
    book: SiteBook,
) -> Record:
    discipline, site_id = request.args.get("discipline", ""), request.args.get("site", "")
    shown = [
        study
        for study in studies
        if (not discipline or discipline in disciplines_of(study.modalities))
        and (not site_id or study.site_id == site_id)
    ]
    papers = [
        one
        for one in documents
        if discipline in {"", _DOCUMENTS} and (not site_id or site_id in one.document.site_ids)
    ]
    reported = services().eir.reported([study.study_instance_uid for study in shown])
    cards: list[Card] = [*(_card(study, book, reported) for study in shown), *papers]
    cards.sort(key=lambda card: card.moment, reverse=True)
    start = _start()
    end = start + _MOST_CARDS
    return Record(
        line=line,
        discipline=discipline,
        site=site_id,
        start=start,
        older=end if end < len(cards) else None,
        years=_years(_counted(cards[start:end])),
        disciplines=_discipline_choices(studies, documents, discipline),
        sites=_site_choices(studies, documents, site_id, book),
        shown=len(shown),
        total=len(studies),
        documents=len(papers),
    )


def _counted(cards: Sequence[Card]) -> list[Card]:
    """Return the cards, those of studies with what they hold, by one query."""
    studies = [card.study for card in cards if isinstance(card, ExamCard)]
    held = {one.study_instance_uid: Contents(one.instance_count) for one in studies}
    small = [one for one in studies if one.instance_count <= _MOST_COUNTED]
    held.update(services().index.held_by_studies([one.study_instance_uid for one in small]))
    return [
        replace(card, held=held[card.study_instance_uid]) if isinstance(card, ExamCard) else card
        for card in cards
    ]


def _years(cards: Sequence[Card]) -> tuple[Year, ...]:
    return tuple(
        Year(year, tuple(group)) for year, group in groupby(cards, key=lambda card: card.year)
    )


def _start() -> int:
    asked = request.args.get("start", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 0


def _card(study: StudyRecord, book: SiteBook, reported: Mapping[str, str]) -> ExamCard:
    return ExamCard(
        study,
        book.name(study.site_id),
        complete=study.state is StudyState.COMPLETE,
        reported=reported.get(study.study_instance_uid, ""),
    )


def _discipline_choices(
    studies: list[StudyRecord], documents: list[PaperCard], chosen: str
) -> tuple[Choice, ...]:
    present = {name for study in studies for name in disciplines_of(study.modalities)}
    choices = [
        Choice(name, str(word), chosen=name == chosen)
        for name, word in DISCIPLINE_WORDS.items()
        if name in present
    ]
    if documents:
        choices.append(Choice(_DOCUMENTS, gettext("Documents"), chosen=chosen == _DOCUMENTS))
    return tuple(choices)


def _site_choices(
    studies: list[StudyRecord], documents: list[PaperCard], chosen: str, book: SiteBook
) -> tuple[Choice, ...]:
    present = {study.site_id for study in studies}
    present.update(site_id for one in documents for site_id in one.document.site_ids)
    return tuple(
        Choice(site_id, book.name(site_id), chosen=site_id == chosen) for site_id in sorted(present)
    )
