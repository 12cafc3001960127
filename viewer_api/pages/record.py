"""One person's Electronic Imaging Record: every study of every site on one axis of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from access_control.model import Action, Resource
from image_archive.model import StudyState
from viewer_api.pages.people import PersonLine, SiteBook, person_line, site_book
from viewer_api.pages.vocabulary import DISCIPLINE_WORDS, disciplines_of
from viewer_api.security import person_resource, refuse, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from datetime import date

    from image_archive.model import StudyRecord

blueprint = Blueprint("record", __name__)

_MOST_EXAMS = 100


@dataclass(frozen=True)
class ExamCard:
    """One study on the axis."""

    study: StudyRecord
    site: str
    complete: bool

    @property
    def study_instance_uid(self) -> str:
        """The UID its address and thumbnail hang on."""
        return self.study.study_instance_uid


@dataclass(frozen=True)
class Year:
    """One year of the axis, newest study first; `year` is None for studies without a date."""

    year: int | None
    exams: tuple[ExamCard, ...]


@dataclass(frozen=True)
class Choice:
    """One value of a filter."""

    value: str
    word: str
    chosen: bool


@dataclass(frozen=True)
class Record:
    """What the page shows: `start` studies are newer, at `older` the next ones begin."""

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


@blueprint.get("/patients/<global_id>")
@signed_in
def page(global_id: str) -> str:
    """Show the record of one person, whole: filters narrow what is shown, never what exists."""
    person = services().patients.person(global_id)
    if person is None:
        refuse(Action.VIEW_RECORD, Resource("patient", global_id), detail="unknown")
    require(Action.VIEW_RECORD, person_resource(person))
    book = site_book()
    studies = services().index.studies_of(person.identifiers)
    line = person_line(person, book, studies)
    return render_template("record.html", record=_record(line, studies, book))


def _record(line: PersonLine, studies: list[StudyRecord], book: SiteBook) -> Record:
    discipline, site_id = request.args.get("discipline", ""), request.args.get("site", "")
    shown = [
        study
        for study in studies
        if (not discipline or discipline in disciplines_of(study.modalities))
        and (not site_id or study.site_id == site_id)
    ]
    shown.sort(key=_moment, reverse=True)
    start = _start()
    end = start + _MOST_EXAMS
    return Record(
        line=line,
        discipline=discipline,
        site=site_id,
        start=start,
        older=end if end < len(shown) else None,
        years=_years(shown[start:end], book),
        disciplines=_discipline_choices(studies, discipline),
        sites=_site_choices(studies, site_id, book),
        shown=len(shown),
        total=len(studies),
    )


def _years(studies: list[StudyRecord], book: SiteBook) -> tuple[Year, ...]:
    return tuple(
        Year(year, tuple(_card(study, book) for study in group))
        for year, group in groupby(studies, key=_year)
    )


def _start() -> int:
    asked = request.args.get("start", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 0


def _card(study: StudyRecord, book: SiteBook) -> ExamCard:
    return ExamCard(study, book.name(study.site_id), complete=study.state is StudyState.COMPLETE)


def _year(study: StudyRecord) -> int | None:
    return study.study_date.year if study.study_date else None


def _moment(study: StudyRecord) -> tuple[bool, date | str, str, str]:
    return (
        study.study_date is not None,
        study.study_date or "",
        study.study_time,
        study.study_instance_uid,
    )


def _discipline_choices(studies: list[StudyRecord], chosen: str) -> tuple[Choice, ...]:
    present = {name for study in studies for name in disciplines_of(study.modalities)}
    return tuple(
        Choice(name, str(word), chosen=name == chosen)
        for name, word in DISCIPLINE_WORDS.items()
        if name in present
    )


def _site_choices(studies: list[StudyRecord], chosen: str, book: SiteBook) -> tuple[Choice, ...]:
    return tuple(
        Choice(site_id, book.name(site_id), chosen=site_id == chosen)
        for site_id in sorted({study.site_id for study in studies})
    )
