"""What a person's consent page and API share: where they stand, and writing down what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_control.consent import EVERYONE, SHARING, ConsentEntry, ConsentKind, site_scope
from access_control.errors import InvalidConsentError
from access_control.model import Resource
from viewer_api.security import current_subject, record_access
from viewer_api.services import services

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from patient_index.model import Person

RECORD = "record_consent"


def scopes() -> list[str]:
    """Return every scope that can be refused now: everyone, sharing, each site."""
    return [EVERYONE, SHARING, *(site_scope(site.site_id) for site in services().sites.all())]


def record(person: Person, kind: str, scope: str, reason: str) -> ConsentEntry:
    """Write down what the person says, on record in the same transaction.

    Raises:
        InvalidConsentError: no such kind, no such scope, or no reason.
    """
    if kind not in set(ConsentKind):
        raise InvalidConsentError(f"kind must be one of {', '.join(ConsentKind)}")
    known = {entry.scope for entry in services().consents.current(person.global_id)}
    if scope not in {*scopes(), *known}:
        raise InvalidConsentError("scope must be all, sharing or site: and a site of the region")

    def on_record(session: Session) -> None:
        record_access(
            RECORD,
            "success",
            Resource("patient", person.global_id),
            detail=f"{kind} {scope}",
            session=session,
        )

    return services().consents.record(
        person.global_id,
        ConsentKind(kind),
        scope,
        by=current_subject().subject_id,
        reason=reason,
        also=on_record,
    )
