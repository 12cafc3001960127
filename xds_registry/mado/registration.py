"""The FHIR manifest as the second document of a study, beside its Key Object Selection.

MADO 1.2 (4.2, manifest envelope): two document entries, of which the FHIR form `transforms` the
KOS. In XDS that is an XFRM association: a new generation of the KOS deprecates both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from xds_registry.mado.manifests import FhirManifest
from xds_registry.manifest import manifest_uuid
from xds_registry.mhd.codes import FORMAT_SCHEME
from xds_registry.mhd.document_references import MADO_FORMAT
from xds_registry.model import (
    AssociationType,
    AvailabilityStatus,
    Code,
    DocumentEntry,
    Submission,
    XdsAssociation,
)
from xds_registry.repository import RepositoryDocument, StoredBytes
from xds_registry.store_reading import End, Wanted, associations_at, documents_by_uuid

MIME_TYPE = "application/fhir+json"
FORMAT_CODE = Code(MADO_FORMAT, FORMAT_SCHEME, "MADO FHIR Imaging Study Manifest")


@dataclass(frozen=True)
class SecondForm:
    """A FHIR manifest whose bytes are durable."""

    manifest: FhirManifest
    stored: StoredBytes
    study_instance_uid: str
    generation: int

    @property
    def document(self) -> RepositoryDocument:
        """The document as the repository keeps it."""
        return RepositoryDocument(self.manifest.unique_id, MIME_TYPE, self.stored)


def former_form(session: Session, kos: DocumentEntry | None) -> DocumentEntry | None:
    """Return the current FHIR form of a KOS, None while it has none."""
    if kos is None:
        return None
    wanted = Wanted({AssociationType.TRANSFORMS}, {AvailabilityStatus.APPROVED})
    into = associations_at(session, [kos.entry_uuid], wanted, [End.TARGET])
    for entry in documents_by_uuid(session, [one.source for one in into]):
        if entry.format_code == FORMAT_CODE and entry.status == AvailabilityStatus.APPROVED:
            return entry
    return None


def with_fhir_manifest(
    submission: Submission, form: SecondForm, replaces: DocumentEntry | None
) -> Submission:
    """Return the submission of a study's KOS with its FHIR form as a second document.

    `replaces` is the former FHIR form of the study, None for its first.
    """
    kos = submission.entries[0]
    entry = replace(
        kos,
        entry_uuid=_uuid(kos, form, "entry"),
        unique_id=form.manifest.unique_id,
        mime_type=MIME_TYPE,
        format_code=FORMAT_CODE,
        sha1=form.stored.sha1,
        size=form.stored.size,
    )
    associations = list(_associations(submission, kos, entry, form))
    if replaces is not None:
        uuid = _uuid(kos, form, "replaces")
        kind, source = AssociationType.REPLACES, entry.entry_uuid
        home = kos.home_community_id
        associations.append(
            XdsAssociation(
                entry_uuid=uuid,
                association_type=kind,
                source=source,
                target=replaces.entry_uuid,
                home_community_id=home,
            )
        )
    return replace(
        submission,
        entries=(*submission.entries, entry),
        associations=(*submission.associations, *associations),
    )


def _associations(
    submission: Submission, kos: DocumentEntry, entry: DocumentEntry, form: SecondForm
) -> Iterator[XdsAssociation]:
    def made(kind: AssociationType, what: str, source: str, target: str) -> XdsAssociation:
        return XdsAssociation(
            entry_uuid=_uuid(kos, form, what),
            association_type=kind,
            source=source,
            target=target,
            submission_set_status="Original" if kind is AssociationType.HAS_MEMBER else "",
            home_community_id=kos.home_community_id,
        )

    set_uuid = submission.submission_set.entry_uuid
    yield made(AssociationType.HAS_MEMBER, "member", set_uuid, entry.entry_uuid)
    yield made(AssociationType.TRANSFORMS, "transforms", entry.entry_uuid, kos.entry_uuid)


def _uuid(kos: DocumentEntry, form: SecondForm, what: str) -> str:
    name = f"fhir-manifest/{form.generation}/registered-{what}"
    found = manifest_uuid(kos.repository_unique_id, form.study_instance_uid, name)
    return f"urn:uuid:{found}"
