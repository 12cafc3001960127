"""When a study is complete, write its manifest, keep it, and register it (XDS-I.b, RAD-68).

The bytes are durable first; then document, entry, associations, deprecation of the former manifest,
and `StudyRegistered` become true in one transaction. A crash at any point leaves the study either
registered or not, and the event is delivered again until it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from access_control.sites import SiteDirectory
from hub_kernel.database import Database, UnitOfWork
from hub_kernel.errors import NotFoundError
from hub_kernel.events import StudyCompleted, StudyRegistered, new_event
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceRecord, StudyRecord
from image_archive.rejections import without_rejected
from xds_registry import store
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.errors import PatientNotYetLinkedError, StudyNotReadyError
from xds_registry.linked_people import PersonLinks
from xds_registry.mado.manifests import ManifestFrame, build_fhir_manifest
from xds_registry.mado.registration import SecondForm, former_form, with_fhir_manifest
from xds_registry.mado.studies import StudyWriter, study_contents
from xds_registry.manifest import (
    Manifest,
    ManifestInstance,
    ManifestSeries,
    ManifestSource,
    ManifestStudy,
    build_manifest,
)
from xds_registry.manifest_metadata import (
    MANIFEST_MIME_TYPE,
    ManifestFacts,
    manifest_submission,
)
from xds_registry.model import AvailabilityStatus, DocumentEntry
from xds_registry.repository import DocumentRepository, RepositoryDocument, StoredBytes
from xds_registry.store_replacing import deprecate
from xds_registry.subscriptions_events import documents_registered
from xds_registry.tables import StudyManifestRow

SUBSCRIBER = "xds_registry.manifest"


@dataclass(frozen=True)
class ManifestSettings:
    """How manifests describe this hub; `home_community_id` may be empty.

    With `fhir_manifests` every manifest is registered in its FHIR form too (MADO).
    """

    source: Callable[[], ManifestSource]
    domain: AffinityDomain
    home_community_id: str
    fhir_manifests: bool = False


@dataclass(frozen=True)
class ManifestInputs:
    """Where a manifest's facts are read from."""

    index: ArchiveIndex
    backend: ArchiveBackend
    links: PersonLinks
    sites: SiteDirectory


class StudyManifests:
    """Registers one manifest per completed generation of a study."""

    def __init__(
        self,
        database: Database,
        repository: DocumentRepository,
        inputs: ManifestInputs,
        settings: ManifestSettings,
    ) -> None:
        self._database = database
        self._repository = repository
        self._inputs = inputs
        self._settings = settings

    def subscribers(self, followed_by: Iterable[Callable[[str], object]] = ()) -> list[Subscriber]:
        """Return what the task engine has to deliver here.

        `followed_by` are called with every study after its registration, until all have succeeded.
        """
        followers = tuple(followed_by)

        def register(completed: StudyCompleted) -> None:
            self.register(completed)
            for follow in followers:
                follow(completed.study_instance_uid)

        return [Subscriber(SUBSCRIBER, StudyCompleted, register, queue="registration")]

    def register(self, completed: StudyCompleted) -> None:
        """Register the manifest of this generation; does nothing where it, or a later one, is.

        Where every instance has been taken back the former manifest is withdrawn instead.

        Raises:
            StudyNotReadyError, PatientNotYetLinkedError: to be tried again later.
            XdsRefusalError: the former manifest cannot be replaced; a person has to look.
        """
        uid, generation = completed.study_instance_uid, completed.generation
        with self._database.read() as session:
            if _latest_generation(session, uid) >= generation:
                return
        study = self._inputs.index.study(uid, with_rejected=True)
        if study is None:
            raise StudyNotReadyError("the archive does not know the study")
        global_id = self._inputs.links.resolve(study.patient)
        if global_id is None:
            raise PatientNotYetLinkedError("the patient of the study has no global ID yet")
        content_at = self._settings.domain.localize(completed.occurred_at)
        listed = self._listed(study)
        if not listed.series:
            self._withdraw(uid, generation)
            return
        manifest = build_manifest(listed, generation, self._settings.source(), content_at)
        stored = self._repository.store(manifest.data)
        facts = self._facts(study, completed, self._inputs.links.global_identifier(global_id))
        second = self._second_form(study, facts, listed, manifest, content_at)
        with self._database.unit_of_work() as work:
            if _latest_generation(work.session, uid) >= generation:
                return
            self._commit(work, study, facts, (manifest, stored), second)
            registered = new_event(
                StudyRegistered,
                work.clock,
                study_instance_uid=uid,
                generation=generation,
                document_unique_id=manifest.sop_instance_uid,
                global_id=global_id,
            )
            work.publish(registered)

    def manifest_of(self, study_instance_uid: str) -> DocumentEntry | None:
        """Return the current manifest of a study, or None while it has none."""
        with self._database.read() as session:
            return _current_manifest(session, study_instance_uid)

    def _commit(
        self,
        work: UnitOfWork,
        study: StudyRecord,
        facts: ManifestFacts,
        document: tuple[Manifest, StoredBytes],
        second: SecondForm | None,
    ) -> None:
        manifest, stored = document
        session = work.session
        former = _current_manifest(session, study.study_instance_uid)
        submission = manifest_submission(study, facts, document, self._settings.domain, former)
        self._repository.record(
            session, RepositoryDocument(manifest.sop_instance_uid, MANIFEST_MIME_TYPE, stored)
        )
        if second is not None:
            submission = with_fhir_manifest(submission, second, former_form(session, former))
            self._repository.record(session, second.document)
        store.register(session, submission)
        work.publish(documents_registered(submission, work.clock))
        session.add(
            StudyManifestRow(
                study_instance_uid=study.study_instance_uid,
                generation=facts.generation,
                entry_uuid=submission.entries[0].entry_uuid,
                unique_id=manifest.sop_instance_uid,
                registered_at=work.clock.now(),
            )
        )

    def _withdraw(self, uid: str, generation: int) -> None:
        with self._database.unit_of_work() as work:
            former = _current_manifest(work.session, uid)
            if former is None or _latest_generation(work.session, uid) >= generation:
                return
            deprecate(work.session, [former.entry_uuid])
            work.session.add(
                StudyManifestRow(
                    study_instance_uid=uid,
                    generation=generation,
                    entry_uuid=former.entry_uuid,
                    unique_id=former.unique_id,
                    registered_at=work.clock.now(),
                )
            )

    def _second_form(
        self,
        study: StudyRecord,
        facts: ManifestFacts,
        listed: ManifestStudy,
        manifest: Manifest,
        content_at: datetime,
    ) -> SecondForm | None:
        """Return the FHIR form of a manifest, its bytes durable; None where it is not wanted.

        It lists what the manifest lists, and nothing that arrived since.
        """
        if not self._settings.fhir_manifests:
            return None
        frame = ManifestFrame(
            generation=facts.generation,
            kos_uid=manifest.sop_instance_uid,
            content_at=content_at,
            institution=facts.institution,
            source=self._settings.source(),
        )
        kept = {one.sop_instance_uid for series in listed.series for one in series.instances}
        contents = study_contents(study, self._inputs.index).only(kept)
        built = build_fhir_manifest(contents, frame, StudyWriter(self._settings.domain))
        stored = self._repository.store(built.data)
        return SecondForm(built, stored, study.study_instance_uid, facts.generation)

    def _facts(
        self, study: StudyRecord, completed: StudyCompleted, global_identifier: PatientIdentifier
    ) -> ManifestFacts:
        institution, level = "", ""
        try:
            site = self._inputs.sites.get(study.site_id)
        except NotFoundError:
            pass  # the site has been removed since; its studies stay
        else:
            institution, level = site.institution, site.level
        return ManifestFacts(
            global_identifier=global_identifier,
            institution=institution,
            facility_level=level,
            generation=completed.generation,
            completed_at=completed.occurred_at,
            repository_unique_id=self._repository.repository_unique_id,
            home_community_id=self._settings.home_community_id,
        )

    def _listed(self, study: StudyRecord) -> ManifestStudy:
        """Return the study as its manifest lists it, series and instances in acquisition order.

        What was taken back is left out; nothing may be left.
        """
        held = self._inputs.index.instances_of(study.study_instance_uid, with_rejected=True)
        if not held:
            raise StudyNotReadyError("the archive holds no instance of the study")
        by_series: dict[str, list[InstanceRecord]] = {}
        for instance in without_rejected(self._inputs.backend, held):
            by_series.setdefault(instance.series_instance_uid, []).append(instance)
        return ManifestStudy(
            study_instance_uid=study.study_instance_uid,
            patient_id=study.patient_id_as_sent,
            issuer_namespace=study.patient.issuer.namespace,
            issuer_oid=study.patient.issuer.oid,
            patient_name=study.patient_name.dicom,
            patient_birth_date=study.patient_birth_date,
            patient_sex=study.patient_sex,
            accession_number=study.accession_number,
            study_id=study.study_id,
            study_date=study.study_date,
            study_time=study.study_time,
            study_description=study.study_description,
            referring_physician_name=study.referring_physician_name.dicom,
            series=tuple(self._series(study.study_instance_uid, by_series)),
        )

    def _series(
        self, study_uid: str, by_series: Mapping[str, list[InstanceRecord]]
    ) -> Iterator[ManifestSeries]:
        series = self._inputs.index.series_of(study_uid)
        for one in sorted(series, key=lambda s: (s.series_number or 0, s.series_instance_uid)):
            instances = by_series.get(one.series_instance_uid, [])
            instances.sort(key=lambda i: (i.instance_number or 0, i.sop_instance_uid))
            if instances:
                yield ManifestSeries(
                    one.series_instance_uid,
                    tuple(ManifestInstance(i.sop_class_uid, i.sop_instance_uid) for i in instances),
                )


def _latest_generation(session: Session, study_uid: str) -> int:
    found = session.scalar(
        select(StudyManifestRow.generation)
        .where(StudyManifestRow.study_instance_uid == study_uid)
        .order_by(StudyManifestRow.generation.desc())
        .limit(1)
    )
    return found or 0


def _current_manifest(session: Session, study_uid: str) -> DocumentEntry | None:
    uuid = session.scalar(
        select(StudyManifestRow.entry_uuid)
        .where(StudyManifestRow.study_instance_uid == study_uid)
        .order_by(StudyManifestRow.generation.desc())
        .limit(1)
    )
    entries = store.documents_by_uuid(session, [uuid]) if uuid else []
    approved = [entry for entry in entries if entry.status == AvailabilityStatus.APPROVED]
    return approved[0] if approved else None
