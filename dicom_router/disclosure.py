"""Which of what was found a caller may be shown: consent, as every answer of the node obeys it."""

from collections.abc import Sequence

from access_control.consent import Consents
from access_control.model import NO_REFUSALS
from dicom_router.model import Caller
from hub_kernel.identifiers import PatientIdentifier
from image_archive.query import IndexMatch


def shown_to(
    caller: Caller, matches: Sequence[IndexMatch], consents: Consents
) -> tuple[IndexMatch, ...]:
    """Leave out whoever refuses to be shown to this caller, as if they were not here."""
    refusing = consents.refusals_among({holder_of(match) for match in matches})
    if not refusing:
        return tuple(matches)
    return tuple(
        match for match in matches if caller.may_query(refusing.get(holder_of(match), NO_REFUSALS))
    )


def holder_of(match: IndexMatch) -> PatientIdentifier:
    """Return whose match it is; every level names the study, or the patient above it."""
    owner = match.study or match.patient
    if owner is None:
        raise ValueError("a match of no level")
    return owner.patient
