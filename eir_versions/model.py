"""The vocabulary of versions: what a reader of the ledger gets."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from eir_versions.jobs import JPEG
from eir_versions.pixels import Window


class PictureKind(StrEnum):
    """A key picture is for reading, a thumbnail for finding."""

    KEY = "key"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True)
class VersionSource:
    """An instance that the version is made of, or could not be made of: then `reason` says why."""

    sop_instance_uid: str
    series_instance_uid: str
    dataset_sha256: str
    reason: str = ""


@dataclass(frozen=True)
class VersionPicture:
    """One stored picture and the proof of its origin.

    `inputs_sha256` covers the dataset's digest, the job with its frame, and the renderer. `job` is
    the job as JSON, empty in rows of earlier hubs. `quality` is None for a lossless picture.
    """

    picture_id: str
    series_instance_uid: str
    sop_instance_uid: str
    frame_number: int
    kind: PictureKind
    media_type: str
    width: int
    height: int
    sha256: str
    inputs_sha256: str
    storage_key: str
    quality: int | None = None
    compression_ratio: float | None = None
    psnr_db: float | None = None
    ssim: float | None = None
    job: str = ""


@dataclass(frozen=True)
class Version:
    """One rendered version of one generation of a study.

    A version without pictures has a `reason`; a diagnostic version never has pictures and needs
    none. `skipped_count` instances could not be shown; `EirService.sources` lists them. `selection`
    says what chose the key pictures: "rule", or "kos", the code of its title and its UID. `cause`
    is the event that led to it, `global_id` whose study it was then, `reports` the reports it shows
    with their standing at that time.
    """

    version_id: str
    study_instance_uid: str
    recipe: str
    recipe_version: int
    generation: int
    pictures: tuple[VersionPicture, ...]
    created_at: datetime
    renderer_version: str
    inputs_sha256: str
    reason: str = ""
    source_count: int = 0
    skipped_count: int = 0
    superseded_at: datetime | None = None
    recipe_digest: str = ""
    selection: str = ""
    cause: str = ""
    global_id: str = ""
    reports: tuple[tuple[str, str], ...] = ()

    @property
    def key_pictures(self) -> tuple[VersionPicture, ...]:
        """The pictures for reading."""
        return tuple(item for item in self.pictures if item.kind is PictureKind.KEY)

    @property
    def thumbnails(self) -> tuple[VersionPicture, ...]:
        """One small picture per series that can be shown."""
        return tuple(item for item in self.pictures if item.kind is PictureKind.THUMBNAIL)


@dataclass(frozen=True)
class StandingVersion:
    """What others register of a version in force; `document_key` is where its description lies."""

    version_id: str
    recipe: str
    generation: int
    created_at: datetime
    document_key: str


@dataclass(frozen=True)
class Draft:
    """A version that has been rendered and stored but is not in the ledger yet."""

    study_instance_uid: str
    recipe: str
    recipe_version: int
    recipe_digest: str
    generation: int
    renderer_version: str
    inputs_sha256: str
    pictures: tuple[VersionPicture, ...]
    sources: tuple[VersionSource, ...]
    reason: str = ""
    selection: str = ""
    cause: str = ""
    cause_event_id: str = ""
    global_id: str = ""
    reports: tuple[tuple[str, str], ...] = ()
    document_key: str = ""
    version_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class RenderRequest:
    """A picture asked for on demand (PS3.18 8.3.5): `window` replaces the stored VOI.

    `viewport` is (width, height) to fit into, never an enlargement; None keeps the true size.
    `presentation_state_uid` names a softcopy presentation state of the same study to apply.
    `in_suv` says that the window is in SUVbw, `palette` names one of `jobs.PALETTES`.
    `native` leaves out the subtraction that an image recommends.
    With `ratio_ceiling` the quality rises, to PNG in the end, until a JPEG compresses no further.
    """

    sop_instance_uid: str
    frame_number: int = 1
    window: Window | None = None
    viewport: tuple[int, int] | None = None
    media_type: str = JPEG
    quality: int = 90
    overlays: bool = False
    presentation_state_uid: str = ""
    in_suv: bool = False
    palette: str = ""
    ratio_ceiling: float | None = None
    native: bool = False
