"""Who looked: every access to one person's data as the audit trail has it, for the person to read.

By the desk a representative sees everything about the person; by a shared link only what concerns
its examination, for a link may have been passed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from access_control.audit import AuditQuery
from viewer_api.identity_changes import entries_of
from viewer_api.services import services

if TYPE_CHECKING:
    from access_control.audit import AuditRecord
    from image_archive.model import StudyRecord
    from patient_index.model import Person

PAGE = 100


@dataclass(frozen=True)
class Access:
    """One access: the record, and the study it was about, if it was about one."""

    record: AuditRecord
    study: StudyRecord | None


@dataclass(frozen=True)
class Accesses:
    """Accesses, latest first; `older` continues them, and is None at their beginning."""

    found: tuple[Access, ...]
    older: int | None


def of_person(person: Person, before: int | None = None) -> Accesses:
    """Return every access to the person's record, studies and documents, by anybody.

    A search that showed the person is one too.

    What was looked at under an earlier global ID of the same numbers belongs to it.
    """
    studies = services().index.studies_of(person.identifiers)
    people = {person.global_id, *(entry.global_id for entry in entries_of(person))}
    about = people | services().registry.documents.unique_ids(person.global_id)
    return _search(about, studies, before, frozenset(people))


def of_study(study: StudyRecord, before: int | None = None) -> Accesses:
    """Return every access to one study and to the record it stands in, and nothing of others."""
    global_id = services().patients.resolve(study.patient)
    return _search({global_id} if global_id else set(), [study], before)


def _search(
    about: set[str],
    studies: list[StudyRecord],
    before: int | None,
    named: frozenset[str] = frozenset(),
) -> Accesses:
    by_id: dict[str, StudyRecord] = {study.study_instance_uid: study for study in studies}
    for study in studies:
        for unique_id in services().registry.documents.made_of(study.study_instance_uid):
            by_id[unique_id] = study
    page = services().audit.search(
        AuditQuery(
            resource_ids=frozenset({*about, *by_id}),
            named=named,
            before_sequence=before,
            limit=PAGE,
        )
    )
    found = tuple(Access(record, by_id.get(record.resource_id)) for record in page.records)
    return Accesses(found, page.next_before)
