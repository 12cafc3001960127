"""What packages of one layer tell each other: facts, in the past tense, delivered at least once."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter

from hub_kernel.clock import Clock
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName

E = TypeVar("E", bound="Event")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact. `event_id` is what a subscriber remembers to stay idempotent."""

    event_id: str
    occurred_at: datetime

    @property
    def is_urgent(self) -> bool:
        """Whether what follows from it goes before everything else: an emergency."""
        return False


@dataclass(frozen=True, kw_only=True)
class ObservedPatient:
    """Who a study says its patient is, as one site sent it.

    `other_ids` are further numbers found in the dataset (0010,1000 and 0010,1002), unchecked.
    """

    identifier: PatientIdentifier
    name: PersonName
    birth_date: date | None
    sex: str
    other_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InstanceArchived(Event):
    """An instance is durable and indexed."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    site_id: str
    patient: ObservedPatient


@dataclass(frozen=True, kw_only=True)
class KeyObjectArchived(Event):
    """A Key Object Selection is durable and indexed; it may take instances of its study back."""

    sop_instance_uid: str
    study_instance_uid: str
    site_id: str


@dataclass(frozen=True, kw_only=True)
class InstancesRejected(Event):
    """Instances of a study have been taken back, or a rejection has been withdrawn."""

    study_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class StudyCompleted(Event):
    """A study has gone quiet. `generation` is 1 the first time and grows with each reopening.

    `emergency` says that the order behind it was urgent.
    """

    study_instance_uid: str
    site_id: str
    generation: int
    emergency: bool = False

    @property
    def is_urgent(self) -> bool:
        """Whether it is an emergency."""
        return self.emergency


@dataclass(frozen=True, kw_only=True)
class StudyRegistered(Event):
    """The manifest of this generation of the study is in the registry."""

    study_instance_uid: str
    generation: int
    document_unique_id: str
    global_id: str


@dataclass(frozen=True, kw_only=True)
class DocumentsRegistered(Event):
    """A submission is in the registry: its set, and the document entries that came with it."""

    submission_set_uuid: str
    entry_uuids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VersionRendered(Event):
    """One recipe has been rendered for this generation of the study.

    `document_key` is where the archive's backend holds the version's description (JSON), empty in
    events of a hub that wrote none.
    """

    study_instance_uid: str
    generation: int
    recipe: str
    version_id: str
    document_key: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportReceived(Event):
    """A report of a study is on record: a first one, a correction, or one that takes it back."""

    study_instance_uid: str
    report_id: str


@dataclass(frozen=True, kw_only=True)
class ReportsFiled(Event):
    """Reports are on record with their study that came as its documents, or had waited for it.

    Who renders the study knows already; `ReportReceived` tells of all others.
    """

    study_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class ConsentRecorded(Event):
    """A person has agreed to something or refused it; `sharing_ends` kills their shared links."""

    global_id: str
    identifiers: tuple[PatientIdentifier, ...]
    sharing_ends: bool


@dataclass(frozen=True, kw_only=True)
class BurnedInDecided(Event):
    """Somebody has decided about a picture of the study that carries text in its pixels."""

    study_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class LinkChanged(Event):
    """A local identifier now resolves to another global ID."""

    identifier: PatientIdentifier
    global_id: str


EVENT_TYPES: dict[str, type[Event]] = {
    event_type.__name__: event_type
    for event_type in (
        InstanceArchived,
        KeyObjectArchived,
        InstancesRejected,
        StudyCompleted,
        StudyRegistered,
        DocumentsRegistered,
        VersionRendered,
        BurnedInDecided,
        ReportReceived,
        ReportsFiled,
        ConsentRecorded,
        LinkChanged,
    )
}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(event_type) for name, event_type in EVENT_TYPES.items()
}


def new_event(event_type: type[E], clock: Clock, **fields: Any) -> E:
    """Return an event of that type with a fresh identifier and the clock's time."""
    return event_type(event_id=str(uuid.uuid4()), occurred_at=clock.now(), **fields)


def encode_event(event: Event) -> str:
    """Return the event as JSON; `decode_event` gives an equal event back."""
    return _ADAPTERS[type(event).__name__].dump_json(event).decode()


def decode_event(kind: str, payload: str) -> Event:
    """Return the event written by `encode_event`.

    Raises:
        KeyError: no event of that kind exists in this version of the hub.
    """
    event: Event = _ADAPTERS[kind].validate_json(payload)
    return event
