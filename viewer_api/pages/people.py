"""Persons and studies as the pages show them: sites by name, namesakes told apart, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from viewer_api.pages.language import site_name
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from access_control.model import Site, Subject
    from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
    from image_archive.model import StudyRecord
    from patient_index.model import Person


@dataclass(frozen=True)
class PersonLine:
    """One person in a list, with what tells them from a namesake."""

    person: Person
    sites: tuple[Site, ...]
    local_ids: tuple[str, ...]
    study_count: int
    last_study_date: date | None

    @property
    def name(self) -> str:
        """The name as written."""
        return self.person.name.display

    @property
    def latin_name(self) -> str:
        """The alphabetic name when it says more than the name as written."""
        latin = self.person.name.alphabetic.replace("^", " ").strip()
        return "" if latin == self.name else latin

    @property
    def site_names(self) -> tuple[str, ...]:
        """The sites that know this person, in the reader's language."""
        return tuple(site_name(site) for site in self.sites)


class SiteBook:
    """The sites as they stood at the beginning of a request: one query, however many rows."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self._by_id: Mapping[str, Site] = {site.site_id: site for site in sites}
        self._by_authority: dict[AssigningAuthority, list[Site]] = {}
        for site in self._by_id.values():
            self._by_authority.setdefault(site.assigning_authority, []).append(site)

    def all(self) -> tuple[Site, ...]:
        """Return every site."""
        return tuple(self._by_id.values())

    def site(self, site_id: str) -> Site | None:
        """Return the site, or None when it has been removed since."""
        return self._by_id.get(site_id)

    def name(self, site_id: str) -> str:
        """Return the site's name in the reader's language, or its ID when it is gone."""
        site = self._by_id.get(site_id)
        return site_name(site) if site else site_id

    def knowing(self, identifiers: Iterable[PatientIdentifier]) -> tuple[Site, ...]:
        """Return the sites that issued one of `identifiers`, by ID."""
        found = {
            site.site_id: site
            for identifier in identifiers
            for site in self._by_authority.get(identifier.issuer, ())
        }
        return tuple(found[site_id] for site_id in sorted(found))

    def authorities_of(self, subject: Subject) -> frozenset[AssigningAuthority] | None:
        """Return whose identifiers `subject` may search by; None is everybody's."""
        if subject.sites is None:
            return None
        return frozenset(
            site.assigning_authority
            for site in self._by_id.values()
            if site.site_id in subject.sites
        )


def site_book() -> SiteBook:
    """Return the sites as they stand now."""
    return SiteBook(services().sites.all())


def person_lines(persons: Sequence[Person], book: SiteBook) -> list[PersonLine]:
    """Return `persons` as lines; one query for all their studies."""
    everybody = [identifier for person in persons for identifier in person.identifiers]
    studies = services().index.studies_of(everybody) if everybody else []
    by_identifier: dict[PatientIdentifier, list[StudyRecord]] = {}
    for study in studies:
        by_identifier.setdefault(study.patient, []).append(study)
    return [
        person_line(
            person,
            book,
            [study for known in person.identifiers for study in by_identifier.get(known, ())],
        )
        for person in persons
    ]


def person_line(person: Person, book: SiteBook, studies: Sequence[StudyRecord]) -> PersonLine:
    """Return `person`, whose studies are `studies`, as a line."""
    dates = [study.study_date for study in studies if study.study_date]
    return PersonLine(
        person=person,
        sites=book.knowing(person.identifiers),
        local_ids=tuple(known.value for known in person.identifiers if book.knowing((known,))),
        study_count=len(studies),
        last_study_date=max(dates, default=None),
    )
