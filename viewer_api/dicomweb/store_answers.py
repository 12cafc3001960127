"""What a Store request is answered with, as DICOM JSON or XML (PS3.18 10.5.3, I; PS3.19 A)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from viewer_api.dicomweb.json_model import Json, tag_key

if TYPE_CHECKING:
    from collections.abc import Sequence

_RETRIEVE_URL, _REFERENCED_CLASS, _REFERENCED_INSTANCE = 0x00081190, 0x00081150, 0x00081155
_FAILURE_REASON, _FAILED, _REFERENCED, _OTHER = 0x00081197, 0x00081198, 0x00081199, 0x0008119A


@dataclass(frozen=True)
class Stored:
    """One instance that is durable, and where it is retrieved."""

    sop_class_uid: str
    sop_instance_uid: str
    address: str


@dataclass(frozen=True)
class NotStored:
    """One part that was not stored, and why (PS3.18 Table I.2-2); the UIDs where it had any."""

    reason: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


@dataclass
class StoreReport:
    """What became of every part of one request."""

    stored: list[Stored] = field(default_factory=list)
    failed: list[NotStored] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The HTTP status: 200 all, 202 some, 409 none (PS3.18 Table 10.5.3-1)."""
        if not self.failed:
            return 200
        return 202 if self.stored else 409

    def as_json(self, study_address: str) -> Json:
        """Return the Store Instances Response Module; `study_address` where one study holds all."""
        named = [one for one in self.failed if one.sop_instance_uid]
        unnamed = [one for one in self.failed if not one.sop_instance_uid]
        found: Json = {}
        if study_address:
            found |= _element(_RETRIEVE_URL, "UR", study_address)
        return (
            found
            | _sequence(_FAILED, [_reference(one) | _reason(one) for one in named])
            | _sequence(_REFERENCED, [_reference(one) | _where(one) for one in self.stored])
            | _sequence(_OTHER, [_reason(one) for one in unnamed])
        )


def _element(tag: int, vr: str, value: str | int) -> Json:
    return {tag_key(tag): {"vr": vr, "Value": [value]}}


def _sequence(tag: int, items: Sequence[Json]) -> Json:
    return {tag_key(tag): {"vr": "SQ", "Value": list(items)}} if items else {}


def _reference(one: Stored | NotStored) -> Json:
    of_class = _element(_REFERENCED_CLASS, "UI", one.sop_class_uid)
    return of_class | _element(_REFERENCED_INSTANCE, "UI", one.sop_instance_uid)


def _reason(one: NotStored) -> Json:
    return _element(_FAILURE_REASON, "US", one.reason)


def _where(one: Stored) -> Json:
    return _element(_RETRIEVE_URL, "UR", one.address)
