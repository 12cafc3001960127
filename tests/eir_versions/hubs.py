"""An archive with the version service on top, and what was published."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from eir_versions.decoding import DecoderPool
from eir_versions.model import Version
from eir_versions.recipes import load_recipes
from eir_versions.service import EirParts, EirService
from hub_kernel.database import Database
from hub_kernel.events import Event, StudyCompleted, new_event
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceOrigin
from image_archive.rejections import Rejections
from image_archive.service import ArchiveService
from tests.eir_versions.builders import image_dataset, part10
from tests.support.clock import FixedClock
from tests.support.tables import create_tables

STUDY = "1.2.826.0.1.3680043.10.7.1"
ORIGIN = InstanceOrigin(
    "east", AssigningAuthority("EAST", "1.2.3.4"), "EASTCT", "EIRHUB", "127.0.0.1"
)


class EventList:
    """Stands where the outbox stands: remembers what was published in committed units of work."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, _session: Session, occurred: Sequence[Event]) -> set[type[Event]]:
        self.events.extend(occurred)
        return {type(event) for event in occurred}


@dataclass
class Hub:
    """An archive with the service on top, and what was published."""

    archive: ArchiveService
    service: EirService
    backend: FilesystemBackend
    database: Database
    published: list[Event]
    clock: FixedClock
    people: "People"
    rejections: Rejections
    parts: EirParts

    def store(self, *datasets: Dataset) -> None:
        for dataset in datasets:
            self.archive.store_file(part10(dataset), ORIGIN)

    def complete(self, study: str = STUDY, generation: int = 1) -> None:
        event = new_event(
            StudyCompleted,
            self.clock,
            study_instance_uid=study,
            site_id="east",
            generation=generation,
        )
        self.service.subscribers()[0].handle(event)

    def tell(self, event: Event) -> None:
        """Deliver an event to every subscriber of the service, as the outbox would."""
        for subscriber in self.service.subscribers():
            if isinstance(event, subscriber.event_type):
                subscriber.handle(event)

    def version(self, recipe: str, study: str = STUDY) -> Version:
        version = self.service.version(study, recipe)
        assert version is not None
        return version


def slice_of(number: int, series: int = 1, **attributes: object) -> Dataset:
    """A CT slice with a bright square whose place tells its number."""
    pixels = np.zeros((128, 128), np.int16)
    pixels[number * 8 : number * 8 + 8, 20:100] = 500
    dataset = image_dataset(
        pixels,
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=f"{STUDY}.{series}",
        SOPInstanceUID=f"{STUDY}.{series}.{number + 1}",
        InstanceNumber=str(number + 1),
        SeriesNumber=str(series),
        StudyDate="20260301",
        BodyPartExamined="CHEST",
        SliceThickness="5",
        WindowCenter="250",
        WindowWidth="600",
    )
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@dataclass
class People:
    """Whose a patient is, and who refuses: what a test says."""

    persons: dict[str, str] = field(default_factory=dict)
    refusing: set[str] = field(default_factory=set)

    def person_of(self, patient: PatientIdentifier) -> str:
        return self.persons.get(patient.value, "")

    def withholds(self, patient: PatientIdentifier) -> bool:
        return patient.value in self.refusing


def made_hub(folder: Path, clock: FixedClock, pool: DecoderPool, recipes: Path | None) -> Hub:
    """Return a hub of its own in `folder`, with the recipes that ship or those of a folder."""
    outbox, people = EventList(), People()
    database = Database(f"sqlite:///{folder / 'hub.sqlite'}", outbox=outbox, clock=clock)
    create_tables(database)
    backend = FilesystemBackend(folder / "archive")
    archive = ArchiveService(database, backend, clock)
    index = ArchiveIndex(database)
    parts = EirParts(
        database,
        archive,
        index,
        backend,
        pool,
        circumstances=people,
        sites_of_sender=lambda sender: frozenset({"east"} if sender == "RIS|EAST" else ()),
    )
    service = EirService(parts, load_recipes(recipes))
    rejections = Rejections(database, backend, index)
    return Hub(archive, service, backend, database, outbox.events, clock, people, rejections, parts)
