"""When versions are made anew: what happened, which studies it concerns, and the ledger's commit.

Every reaction reads what is true now and renders what is not up to date with it, so that an event
delivered twice, late or out of order leaves the ledger as it is.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from eir_versions.errors import VersionOvertakenError
from eir_versions.ledger import (
    current_version,
    has_versions,
    is_up_to_date,
    record_version,
    supersede_all,
)
from eir_versions.recipes import Recipe, Recipes
from eir_versions.reports.desk import ReportDesk
from eir_versions.study_renderer import StudyContents, StudyRenderer
from eir_versions.version_document import version_document
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.events import (
    BurnedInDecided,
    ConsentRecorded,
    Event,
    InstancesRejected,
    LinkChanged,
    ReportReceived,
    StudyCompleted,
    VersionRendered,
    new_event,
)
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.outbox import Subscriber
from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord

_ROUNDS = 4


class StudyContentsIndex(Protocol):
    """What is asked of the archive's index (`image_archive.index.ArchiveIndex`)."""

    def study(
        self, study_instance_uid: str, /, *, with_rejected: bool = False
    ) -> StudyRecord | None:
        """Return the study, None when there is none."""
        ...

    def series_of(self, study_instance_uid: str, /) -> list[SeriesRecord]:
        """Return the series of a study in reading order."""
        ...

    def instances_of(
        self, study_instance_uid: str, series_instance_uid: str | None = None, /
    ) -> list[InstanceRecord]:
        """Return the instances of a study or of one series in reading order."""
        ...

    def studies_of(self, identifiers: Collection[PatientIdentifier], /) -> list[StudyRecord]:
        """Return the studies of a person known by these identifiers."""
        ...


class Circumstances(Protocol):
    """What beside its instances decides about a study's versions."""

    def person_of(self, patient: PatientIdentifier) -> str:
        """Return the global ID of the person, empty while nobody is linked."""
        ...

    def withholds(self, patient: PatientIdentifier) -> bool:
        """Return whether the person refuses everybody, or everything that is shared."""
        ...


class NoCircumstances:
    """Nobody is linked and nobody refuses: for a service without patients and consents."""

    def person_of(self, patient: PatientIdentifier) -> str:  # noqa: ARG002
        """Return nobody."""
        return ""

    def withholds(self, patient: PatientIdentifier) -> bool:  # noqa: ARG002
        """Return False."""
        return False


@dataclass(frozen=True)
class DerivingParts:
    """What deriving works with."""

    database: Database
    index: StudyContentsIndex
    renderer: StudyRenderer
    reports: ReportDesk
    circumstances: Circumstances


class VersionDeriver:
    """Keeps every version in step with what it is made of."""

    def __init__(self, parts: DerivingParts, recipes: Recipes) -> None:
        self._parts = parts
        self._recipes = recipes

    def subscribers(self) -> list[Subscriber]:
        """Return the reactions to events."""
        reactions = (
            ("eir_versions.render", StudyCompleted, self.study_completed),
            ("eir_versions.burned_in", BurnedInDecided, self.contents_changed),
            ("eir_versions.report", ReportReceived, self.contents_changed),
            ("eir_versions.rejection", InstancesRejected, self.contents_changed),
            ("eir_versions.link", LinkChanged, self.link_changed),
            ("eir_versions.consent", ConsentRecorded, self.consent_recorded),
        )
        return [Subscriber(name, kind, handle, heavy=True) for name, kind, handle in reactions]

    def study_completed(self, event: StudyCompleted) -> None:
        """Render each recipe for this generation of the study; what is up to date stays.

        The ledger rows and `VersionRendered` are one transaction per recipe. An instance that
        cannot be shown is listed with its reason and stops nothing.

        Raises:
            NotFoundError: the archive does not know the study.
        """
        uid = event.study_instance_uid
        if self._parts.index.study(uid, with_rejected=True) is None:
            raise NotFoundError("no such study")
        self._derive(uid, event, event.generation)

    def contents_changed(self, event: BurnedInDecided | InstancesRejected | ReportReceived) -> None:
        """Render anew what a report, a rejection or a decision about text has changed."""
        self._derive_again([event.study_instance_uid], event)

    def link_changed(self, event: LinkChanged) -> None:
        """Render anew what now belongs to another person, or to one who has refused."""
        self._derive_again(self._studies_of([event.identifier]), event)

    def consent_recorded(self, event: ConsentRecorded) -> None:
        """Render anew what the person now allows or refuses."""
        self._derive_again(self._studies_of(event.identifiers), event)

    def _studies_of(self, identifiers: Collection[PatientIdentifier]) -> list[str]:
        return [one.study_instance_uid for one in self._parts.index.studies_of(identifiers)]

    def _derive_again(self, study_uids: Iterable[str], cause: Event) -> None:
        """Derive the studies that have versions; the others get theirs when they are complete."""
        for uid in study_uids:
            with self._parts.database.read() as session:
                rendered = has_versions(session, uid)
            if rendered:
                self._derive(uid, cause)

    def _derive(self, study_uid: str, cause: Event, generation: int = 0) -> None:
        """Render until everything is up to date with what is read after the last commit."""
        for _ in range(_ROUNDS):
            self._take_reports(study_uid)
            contents = self.contents(study_uid)
            if contents is None:
                self._withdraw(study_uid)
                return
            owed = max(generation, contents.study.generation)
            rendered = [self._render(contents, one, owed, cause) for one in self._recipes]
            if not any(rendered):
                return
        raise VersionOvertakenError("the study changes faster than it can be rendered")

    def _render(
        self, contents: StudyContents, recipe: Recipe, generation: int, cause: Event
    ) -> bool:
        """Return whether something was, or has still, to be done."""
        renderer, uid = self._parts.renderer, contents.study.study_instance_uid
        with self._parts.database.read() as session:
            current = current_version(session, uid, recipe.name)
        generation = max(generation, current.generation if current else 0)
        now = renderer.inputs_sha256(contents.whose_as(current), recipe)
        if is_up_to_date(current, generation, now):
            return False
        draft = replace(
            renderer.draft(contents, recipe, generation, current),
            cause=type(cause).__name__,
            cause_event_id=cause.event_id,
        )
        document_key = renderer.kept.store(version_document(draft, recipe))
        try:
            with self._parts.database.unit_of_work() as unit:
                expected = current.version_id if current else None
                if record_version(unit, replace(draft, document_key=document_key), expected):
                    rendered = new_event(
                        VersionRendered,
                        unit.clock,
                        study_instance_uid=uid,
                        generation=generation,
                        recipe=recipe.name,
                        version_id=draft.version_id,
                        document_key=document_key,
                    )
                    unit.publish(rendered)
        except VersionOvertakenError:
            return True
        return True

    def _take_reports(self, study_uid: str) -> None:
        """Put on record what the study's documents say, and what has waited for it."""
        index, reports = self._parts.index, self._parts.reports
        study = index.study(study_uid)
        if study is not None:
            reports.take_documents(study, index.instances_of(study_uid))
            reports.match_waiting(study)

    def _withdraw(self, study_uid: str) -> None:
        """Leave no version in force of a study of which everything was taken back."""
        with self._parts.database.unit_of_work() as unit:
            supersede_all(unit, study_uid)

    def contents(self, study_uid: str) -> StudyContents | None:
        """Return the study as it stands; None where all of it has been taken back."""
        index, around = self._parts.index, self._parts.circumstances
        study = index.study(study_uid)
        if study is None:
            return None
        series = tuple(
            (item, tuple(index.instances_of(study_uid, item.series_instance_uid)))
            for item in index.series_of(study_uid)
        )
        whose, withheld = around.person_of(study.patient), around.withholds(study.patient)
        contents = StudyContents(study, series, whose, withheld)
        standing = self._parts.reports.standing(study_uid, contents.instances)
        return replace(contents, reports=standing)
