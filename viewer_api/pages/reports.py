"""Reports of a study: for professionals with their standing, for the citizen the one in force.

Text is escaped by the template. A PDF is framed without a sandbox (decision 34) for those who may
see the study; by a shared link it is not shown, since nobody can strike a name out of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, make_response, render_template

from access_control.model import Action
from eir_versions.errors import RenditionLostError
from eir_versions.reports.masking import identifying_words, masked
from eir_versions.reports.model import Standing
from viewer_api.pages.documents import PDF_POLICY, SELF_FRAMING_POLICY
from viewer_api.pages.people import site_book
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import identifiers_of_person, require_study, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from eir_versions.reports.model import Report, ReportLine, ShownReport
    from image_archive.model import StudyRecord

blueprint = Blueprint("reports", __name__)

STANDING_WORDS = {
    Standing.CURRENT: lazy_gettext("Signed"),
    Standing.PRELIMINARY: lazy_gettext("Preliminary, not signed"),
    Standing.SUPERSEDED: lazy_gettext("Superseded"),
    Standing.WITHDRAWN: lazy_gettext("Withdrawn"),
    Standing.UNREADABLE: lazy_gettext("Cannot be read"),
}
_PILLS = {Standing.CURRENT: "pill-ok", Standing.PRELIMINARY: "pill-warn"}


@dataclass(frozen=True)
class ReportCard:
    """One report as a page shows it."""

    report: Report
    standing: Standing

    @property
    def word(self) -> str:
        """What it is worth, in the reader's words."""
        return str(STANDING_WORDS[self.standing])

    @property
    def pill(self) -> str:
        """The class of its pill."""
        return _PILLS.get(self.standing, "pill-bad")

    @property
    def lines(self) -> tuple[tuple[ReportLine, str], ...]:
        """What it says, each line with its text."""
        return tuple((line, line.text) for line in self.report.lines)

    @property
    def at(self) -> datetime:
        """When it was issued, else when it came in."""
        return self.report.issued_at or self.report.received_at


@dataclass(frozen=True)
class PublicReport:
    """A report as a citizen reads it: no person is named. Without lines it is a PDF, not shown."""

    title: str
    at: datetime
    lines: tuple[tuple[ReportLine, str], ...]


def report_cards(study: StudyRecord) -> tuple[ReportCard, ...]:
    """Return every report of a study, those in force first."""
    return tuple(ReportCard(one.report, one.standing) for one in _standing(study))


def public_reports(study: StudyRecord) -> tuple[PublicReport, ...]:
    """Return what the public version shows, as long as it still is the report in force."""
    version = services().eir.version(study.study_instance_uid, "public")
    listed = {report_id for report_id, _ in version.reports} if version else set()
    in_force = [one.report for one in _standing(study) if one.standing is Standing.CURRENT]
    words = _words(study)
    return tuple(
        PublicReport(
            masked(one.title, words),
            one.issued_at or one.received_at,
            tuple(_without_names(line, words) for line in one.public_lines),
        )
        for one in in_force
        if one.report_id in listed
    )


@blueprint.get("/studies/<uid:study_uid>/reports/<report_id>")
@signed_in
def page(study_uid: str, report_id: str) -> Response:
    """Show one report of a study, whatever it is worth now."""
    study = require_study(study_uid, Action.VIEW_CLINICAL)
    answer = make_response(
        render_template(
            "report.html",
            study=study,
            card=_card(study, report_id),
            site=site_book().name(study.site_id),
        )
    )
    answer.headers["Content-Security-Policy"] = SELF_FRAMING_POLICY
    return answer


@blueprint.get("/studies/<uid:study_uid>/reports/<report_id>/document")
@signed_in
def document(study_uid: str, report_id: str) -> Response:
    """Answer the PDF of a report."""
    study = require_study(study_uid, Action.VIEW_CLINICAL)
    stored = _card(study, report_id).report.pdf
    if stored is None:
        abort(404)
    try:
        data = services().eir.reports.pdf(stored)
    except RenditionLostError:
        abort(404)
    answer = Response(data, content_type="application/pdf")
    answer.headers["Content-Security-Policy"] = PDF_POLICY
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer


def _card(study: StudyRecord, report_id: str) -> ReportCard:
    found = [one for one in report_cards(study) if one.report.report_id == report_id]
    if not found:
        abort(404)
    return found[0]


def _standing(study: StudyRecord) -> Sequence[ShownReport]:
    uid = study.study_instance_uid
    return services().eir.reports.standing(uid, services().index.instances_of(uid))


def _without_names(line: ReportLine, words: frozenset[str]) -> tuple[ReportLine, str]:
    """Return a line whose heading names nobody, and its text likewise."""
    return replace(line, name=masked(line.name, words)), masked(line.text, words)


def _words(study: StudyRecord) -> frozenset[str]:
    """What would name the person in a text: names and numbers the hub knows."""
    identifiers = identifiers_of_person(study.patient)
    global_id = services().patients.resolve(study.patient)
    person = services().patients.person(global_id) if global_id else None
    names = [study.patient_name, *([person.name] if person else [])]
    return identifying_words(names, _numbers(study, [one.value for one in identifiers], global_id))


def _numbers(study: StudyRecord, values: list[str], global_id: str | None) -> Iterator[str]:
    yield from values
    yield from study.other_patient_ids
    yield from (study.accession_number, study.study_id, global_id or "")
