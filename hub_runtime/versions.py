"""The record's versions wired: whose a study is, who refuses, and which links die with that."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from access_control.audit import AuditEvent, AuditTrail
from access_control.consent import Consents
from access_control.model import Subject, SubjectKind
from access_control.sites import SiteDirectory
from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.gate import TextGate
from eir_versions.recipes import load_recipes
from eir_versions.reports.model import Report
from eir_versions.service import EirParts, EirService
from hub_kernel.events import ConsentRecorded, LinkChanged
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.outbox import Subscriber
from hub_runtime.foundation import Access, Foundation
from hub_runtime.identity import Identity
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from patient_index.domains import DomainDirectory
from patient_index.service import PatientIndex

_HUB = Subject(SubjectKind.MACHINE, "eirhub", "eirhub")


@dataclass(frozen=True)
class VersionParts:
    """What versions are wired to."""

    base: Foundation
    access: Access
    archive: ArchiveService
    index: ArchiveIndex
    pool: DecoderPool
    identity: Identity
    texts: TextGate


def build_versions(parts: VersionParts) -> EirService:
    """Return the service of the recipes that the settings name.

    Raises:
        InvalidRecipeError: a recipe breaks a rule.
    """
    base, access = parts.base, parts.access
    rendering = EirParts(
        base.database,
        parts.archive,
        parts.index,
        base.backend,
        parts.pool,
        parts.texts,
        circumstances=_Circumstances(parts.identity.patients, access.consents),
        sites_of_sender=lambda sender: _sites_of(sender, parts.identity.domains, access.sites),
        report_matched=partial(_record_match, access.audit),
        time_zone=ZoneInfo(base.settings.hub.time_zone),
    )
    return EirService(rendering, load_recipes(base.settings.eir.recipes))


class StaleLinks:
    """Ends shared links that show what is another person's by now, or what its person refuses."""

    def __init__(self, parts: VersionParts) -> None:
        self._parts = parts

    def subscribers(self) -> list[Subscriber]:
        """Return the reactions: to merging and unmerging, and to a refusal."""
        return [
            Subscriber("stale-links", LinkChanged, self.link_changed),
            Subscriber("refused-links", ConsentRecorded, self.consent_recorded),
        ]

    def link_changed(self, changed: LinkChanged) -> None:
        """End the links to the identifier's studies that were made for another person."""
        global_id = self._parts.identity.patients.resolve(changed.identifier) or changed.global_id
        self._end([changed.identifier], keep=global_id)

    def consent_recorded(self, recorded: ConsentRecorded) -> None:
        """End every link of a person who refuses sharing; a later consent brings none back."""
        if recorded.sharing_ends:
            self._end(recorded.identifiers, keep=None)

    def _end(self, identifiers: Collection[PatientIdentifier], *, keep: str | None) -> None:
        for study in self._parts.index.studies_of(identifiers):
            uid = study.study_instance_uid
            self._parts.access.links.revoke_all(uid, keep=keep, ended=partial(self._record, uid))

    def _record(self, study_uid: str, session: Session, link_ids: Iterable[str]) -> None:
        for link_id in link_ids:
            self._parts.access.audit.record(
                session, _event("share", study_uid, f"link {link_id} withdrawn by the hub")
            )


@dataclass(frozen=True)
class _Circumstances:
    """Asks the patient index and the consents."""

    patients: PatientIndex
    consents: Consents

    def person_of(self, patient: PatientIdentifier) -> str:
        return self.patients.resolve(patient) or ""

    def withholds(self, patient: PatientIdentifier) -> bool:
        global_id = self.patients.resolve(patient)
        known = self.patients.identifiers_of(global_id) if global_id else ()
        refusals = self.consents.refusals(known or (patient,))
        return refusals.everyone or refusals.sharing


def _sites_of(sender: str, domains: DomainDirectory, sites: SiteDirectory) -> frozenset[str]:
    """Return the sites in whose domains a sender issues numbers."""
    mine = {domain.oid for domain in domains.of_sender(sender)}
    return frozenset(one.site_id for one in sites.all() if one.assigning_authority.oid in mine)


def _record_match(audit: AuditTrail, session: Session, report: Report, study_uid: str) -> None:
    words = f"report {report.report_id} waited for this study"
    audit.record(session, _event("receive_report", study_uid, words))


def _event(action: str, study_uid: str, detail: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        outcome="success",
        subject=_HUB,
        resource_kind="study",
        resource_id=study_uid,
        address="",
        detail=detail,
    )
