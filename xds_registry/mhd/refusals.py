"""Why a submission was refused, said in FHIR: rule, place (FHIRPath), what came, what is allowed.

The codes are those of ITI TF-3 Table 4.2.4.1-2; the words are the registry's own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub_kernel.fhir.outcome import FhirRefusedError, Issue
from xds_registry.errors import (
    ERROR_TEXTS,
    ErrorCode,
    MetadataRefusalError,
    XdsRefusalError,
)
from xds_registry.mhd.places import Place

_IN_EBRIM = re.compile(r"@id='(?P<id>[^']*)'\](?:/rim:Slot\[@name='(?P<slot>\w+)'\])?")
_ATTRIBUTE_OF_SLOT = {"hash": "sha1", "size": "size"}


@dataclass(frozen=True)
class _Kind:
    """What a refusal is to FHIR: the HTTP status, and a code of issue-type."""

    status: int
    code: str


_UNPROCESSABLE = _Kind(422, "business-rule")
_CONFLICT = _Kind(409, "duplicate")
_LATER = _Kind(503, "transient")
_NO_ROOM = _Kind(507, "no-store")
_KINDS: Mapping[ErrorCode, _Kind] = {
    ErrorCode.REGISTRY_METADATA: _Kind(422, "value"),
    ErrorCode.REPOSITORY_METADATA: _Kind(422, "value"),
    ErrorCode.UNKNOWN_PATIENT_ID: _Kind(422, "not-found"),
    ErrorCode.MISSING_DOCUMENT: _Kind(422, "not-found"),
    ErrorCode.UNRESOLVED_REFERENCE: _Kind(422, "not-found"),
    ErrorCode.DUPLICATE_UNIQUE_ID: _CONFLICT,
    ErrorCode.NON_IDENTICAL_HASH: _CONFLICT,
    ErrorCode.NON_IDENTICAL_SIZE: _CONFLICT,
    ErrorCode.REGISTRY_DUPLICATE_IN_MESSAGE: _Kind(422, "duplicate"),
    ErrorCode.REPOSITORY_DUPLICATE_IN_MESSAGE: _Kind(422, "duplicate"),
    ErrorCode.DEPRECATED_DOCUMENT: _Kind(409, "conflict"),
    ErrorCode.REGISTRY_BUSY: _LATER,
    ErrorCode.REPOSITORY_BUSY: _LATER,
    ErrorCode.REGISTRY_NOT_AVAILABLE: _LATER,
    ErrorCode.REGISTRY_OUT_OF_RESOURCES: _NO_ROOM,
    ErrorCode.REPOSITORY_OUT_OF_RESOURCES: _NO_ROOM,
    ErrorCode.REGISTRY_ERROR: _Kind(422, "processing"),
    ErrorCode.REPOSITORY_ERROR: _Kind(422, "processing"),
}
_RETRY_AFTER = ("Retry-After", "5")


def refused(refusals: Sequence[XdsRefusalError], places: Mapping[str, Place]) -> FhirRefusedError:
    """Return the refusals as one answer; `places` say where each object was sent.

    The status is that of the first. Nothing is said twice.
    """
    issues = dict.fromkeys(issue_of(one, places) for one in refusals)
    status = kind_of(refusals[0]).status
    headers = (_RETRY_AFTER,) if status == 503 else ()
    return FhirRefusedError(status, *issues, headers=headers)


def issue_of(refusal: XdsRefusalError, places: Mapping[str, Place]) -> Issue:
    """Return one refusal as an issue."""
    text = refusal.rule or ERROR_TEXTS[refusal.code]
    return Issue(
        kind_of(refusal).code,
        refusal.code.value,
        text.en,
        text.zh,
        where=_place(refusal, places),
        allowed=refusal.allowed,
        came=refusal.came,
        codes=(refusal.code.value,),
    )


def kind_of(refusal: XdsRefusalError) -> _Kind:
    """Return what a refusal is to FHIR."""
    return _KINDS.get(refusal.code, _UNPROCESSABLE)


def _place(refusal: XdsRefusalError, places: Mapping[str, Place]) -> str:
    """Return a FHIRPath; the place in ebRIM where the object is none of those that were sent."""
    if isinstance(refusal, MetadataRefusalError):
        object_id, attribute = refusal.object_id, refusal.attribute
    elif refusal.place in places:
        object_id, attribute = refusal.place, ""
    else:
        found = _IN_EBRIM.search(refusal.place)
        object_id = found["id"] if found else ""
        attribute = _ATTRIBUTE_OF_SLOT.get(found["slot"] or "", "") if found else ""
    place = places.get(object_id)
    return place.of(attribute) if place else refusal.place
