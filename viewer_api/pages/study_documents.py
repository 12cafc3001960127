"""What is written about a study, for the place beside its pictures: the seam for its report.

Objects of the study itself (structured reports, PDF) and registered documents that name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from access_control.model import Action
from viewer_api.pages.document_words import DocumentCard, document_card, is_manifest
from viewer_api.pages.reports import ReportCard, report_cards
from viewer_api.security import permitted, person_resource
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from image_archive.model import SeriesRecord, StudyRecord
    from patient_index.model import Person
    from viewer_api.pages.people import SiteBook
    from xds_registry.model import DocumentEntry

_WRITTEN = frozenset({"SR", "DOC"})


@dataclass(frozen=True)
class StudyDocuments:
    """`reports` are read out of what arrived, `objects` are series of the study.

    `about` names it, `same_day` is only of its day.
    """

    reports: tuple[ReportCard, ...] = ()
    objects: tuple[SeriesRecord, ...] = ()
    about: tuple[DocumentCard, ...] = ()
    same_day: tuple[DocumentCard, ...] = ()


def study_documents(
    study: StudyRecord, person: Person | None, series: Sequence[SeriesRecord], book: SiteBook
) -> StudyDocuments:
    """Return what the current subject may read about `study`."""
    reports = report_cards(study)
    objects = tuple(one for one in series if one.modality in _WRITTEN)
    if person is None or not permitted(Action.RETRIEVE_DOCUMENT, person_resource(person)):
        return StudyDocuments(reports, objects)
    about, same_day = [], []
    for document in services().registry.documents.of(person.global_id):
        if is_manifest(document.entry):
            continue
        card = document_card(document, book)
        if _names(document.entry, study):
            about.append(card)
        elif study.study_date is not None and card.day == study.study_date:
            same_day.append(card)
    return StudyDocuments(reports, objects, tuple(reversed(about)), tuple(reversed(same_day)))


def _names(entry: DocumentEntry, study: StudyRecord) -> bool:
    """Whether a reference of the document (ITI TF-3 4.2.3.2.28) is the study or its accession."""
    named = {reference.cxi.split("^")[0] for reference in entry.reference_ids}
    return bool(named & {study.study_instance_uid, study.accession_number or None})
