"""What a provided bundle left in the registry and the repository."""

from sqlalchemy import func, select

from tests.xds_registry.mhd.endpoint import (
    Fhir,
    found,
)
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow, SubmissionSetRow


def documents_of(fhir: Fhir) -> list[dict[str, object]]:
    return found(fhir.get("DocumentReference", patient=person(fhir)))


def person(fhir: Fhir) -> str:
    return fhir.hub.know("L-1")


def kept_counts(fhir: Fhir) -> tuple[int, int, int]:
    with fhir.hub.database.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (DocumentEntryRow, SubmissionSetRow, RepositoryDocumentRow)
        ]
    return counts[0], counts[1], counts[2]
