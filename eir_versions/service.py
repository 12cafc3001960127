"""The record's three versions, at rest and on demand; the door of this package to the others."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import BinaryIO, Protocol

from sqlalchemy.orm import Session

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.desk import BurnedInDesk
from eir_versions.deidentification.gate import TextGate
from eir_versions.deidentification.text_finder import TextFinder
from eir_versions.deriving import (
    Circumstances,
    DerivingParts,
    NoCircumstances,
    StudyContentsIndex,
    VersionDeriver,
)
from eir_versions.errors import FrameNotFoundError, RenditionLostError, UnrenderableInstanceError
from eir_versions.explaining import Explained, Explanation, explain
from eir_versions.jobs import MEDIA_TYPES, PALETTES, Picture, PictureJob
from eir_versions.ledger import (
    current_version,
    find_version,
    reported_studies,
    version_sources,
)
from eir_versions.model import RenderRequest, Version, VersionPicture, VersionSource
from eir_versions.movies import Movies
from eir_versions.picture_memory import Drawn, PictureMemory
from eir_versions.ready_thumbnails import ReadyThumbnails
from eir_versions.recipes import CLINICAL, PUBLIC, BurnedIn, Recipes, Thumbnail
from eir_versions.reports.desk import DeskParts, ReportDesk, StudyFinder
from eir_versions.reports.model import Report
from eir_versions.series_rendering import picture_inputs
from eir_versions.study_renderer import InstanceSource, RenderingParts, StudyRenderer
from eir_versions.wire import NativeFrame, PresentedImages, StoredFrame
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from image_archive.model import InstanceRecord
from image_archive.repairing import last_repair

_MAX_VIEWPORT = 8192
_REMEMBERED_BYTES = 64 << 20
_SERIES_TRIED = 5


class StudyIndex(StudyContentsIndex, StudyFinder, Protocol):
    """What is asked of the archive's index (`image_archive.index.ArchiveIndex`)."""

    def instance(self, sop_instance_uid: str, /) -> InstanceRecord | None:
        """Return the instance, None when there is none."""
        ...


@dataclass(frozen=True)
class EirParts:
    """What the service works with.

    `instances` gives stored files, `renditions` is the archive's backend, where pictures are kept
    under `renditions/`. The pool belongs to the caller, who stops it. `texts` looks for text in
    what the public would see. `sites_of_sender`, `report_matched` and `time_zone` are as in
    `DeskParts`.
    """

    database: Database
    instances: InstanceSource
    index: StudyIndex
    renditions: ArchiveBackend
    pool: DecoderPool
    texts: TextGate | None = None
    circumstances: Circumstances = field(default_factory=NoCircumstances)
    sites_of_sender: Callable[[str], frozenset[str]] = lambda _: frozenset()
    report_matched: Callable[[Session, Report, str], None] = lambda _session, _report, _study: None
    time_zone: tzinfo = UTC


class EirService:
    """Renders every recipe of a completed study, and single pictures when a reader asks."""

    def __init__(self, parts: EirParts, recipes: Recipes) -> None:
        self._parts = parts
        self._recipes = recipes
        self._renderer = StudyRenderer(
            RenderingParts(parts.instances, parts.pool, parts.renditions, parts.texts)
        )
        self._movies = Movies(parts.instances, parts.pool, parts.renditions)
        self.reports = ReportDesk(
            DeskParts(
                parts.database,
                parts.index,
                self._renderer,
                parts.pool,
                self._renderer.kept,
                person_of=lambda patient: parts.circumstances.person_of(patient) or None,
                sites_of_sender=parts.sites_of_sender,
                matched=parts.report_matched,
                time_zone=parts.time_zone,
            )
        )
        self._deriver = VersionDeriver(
            DerivingParts(
                parts.database, parts.index, self._renderer, self.reports, parts.circumstances
            ),
            recipes,
        )
        self._ready = ReadyThumbnails(
            parts.renditions,
            parts.index,
            self._thumbnail_job,
            self._drawn_thumbnail,
            self._renderer.renderer_version(recipes.get(CLINICAL)),
        )
        folder = parts.renditions.shared_folder
        self._remembered = PictureMemory(_REMEMBERED_BYTES, repairs=lambda: last_repair(folder))

    @property
    def movies(self) -> Movies:
        """Movies of multi-frame instances."""
        return self._movies

    @property
    def recipes(self) -> Recipes:
        """The recipes in force: titles and notices for the pages."""
        return self._recipes

    def subscribers(self) -> list[Subscriber]:
        """Return the reactions of this package to events."""
        return [*self._deriver.subscribers(), self._ready.subscriber()]

    def close(self) -> None:
        """End what looks for text in pictures; the decoders belong to whoever made them."""
        if self._parts.texts is not None:
            self._parts.texts.stop()

    @property
    def texts(self) -> TextGate:
        """What looks for text in pictures; without one of its own, one that sees nothing."""
        return self._parts.texts or TextGate(self._parts.database, TextFinder(wanted=False))

    @property
    def burned_in(self) -> BurnedInDesk:
        """The desk for pictures with text in their pixels."""
        scan = self._recipes.get(PUBLIC).burned_in or BurnedIn()
        return BurnedInDesk(self._parts.database, self.texts, scan, self.draw)

    def draw(self, sop_instance_uid: str, job: PictureJob) -> Picture:
        """Return the picture of a job on a stored instance, for desks and exports of this package.

        Raises:
            UnrenderableInstanceError: with the reason; FrameNotFoundError for a wrong number.
        """
        return self._renderer.draw(sop_instance_uid, job)

    def version(self, study_instance_uid: str, recipe: str) -> Version | None:
        """Return the current version, None when it has not been rendered yet."""
        with self._parts.database.read() as session:
            return current_version(session, study_instance_uid, recipe)

    def shown_version(self, study_instance_uid: str, recipe: str) -> Version | None:
        """Return the current version with those pictures alone that are still true.

        What was rejected, or has given its place to other bytes, is shown no more from that commit
        on, though the version that follows has yet to be rendered.
        """
        version = self.version(study_instance_uid, recipe)
        if version is None:
            return None
        true = tuple(one for one in version.pictures if self._is_true(version, one))
        return replace(version, pictures=true)

    def reported(self, study_instance_uids: Collection[str]) -> Mapping[str, str]:
        """Return "current" or "preliminary" for those studies that have such a report."""
        with self._parts.database.read() as session:
            return reported_studies(session, study_instance_uids)

    def find_version(self, version_id: str) -> Version | None:
        """Return a version by its identifier, superseded or not."""
        with self._parts.database.read() as session:
            return find_version(session, version_id)

    def sources(self, version_id: str) -> tuple[VersionSource, ...]:
        """Return the instances of a version; `reason` says why one could not be shown."""
        with self._parts.database.read() as session:
            return version_sources(session, version_id)

    def explain(self, version: Version) -> Explanation:
        """Return what a version is made of, with every claim of the ledger tried again.

        Raises:
            NotFoundError: its recipe is not in force any more.
        """
        contents = self._deriver.contents(version.study_instance_uid)
        recipe = self._recipes.get(version.recipe)
        sources = self.sources(version.version_id)
        return explain(self._renderer, Explained(version, sources, contents, recipe))

    def picture_bytes(self, picture: VersionPicture) -> bytes:
        """Return the encoded bytes of a picture.

        Raises:
            RenditionLostError: they are gone or are no longer what was rendered.
        """
        return self._renderer.load(picture)

    def thumbnail(
        self,
        *,
        study_uid: str | None = None,
        series_uid: str | None = None,
        instance: str | InstanceRecord | None = None,
    ) -> Picture:
        """Return the small picture of an instance, else of a series, else of a study.

        A series is named together with its study, an instance by its UID or by its record. What
        is not pre-rendered is made on demand.

        Raises:
            NotFoundError: nothing of that name is archived.
            UnrenderableInstanceError: nothing of it can be shown; `reason` says why.
        """
        if isinstance(instance, str):
            instance = self._instance(instance)
        if instance is not None:
            return self._instance_thumbnail(instance)
        if study_uid is None:
            raise InvalidValueError("a thumbnail needs a study or an instance")
        with suppress(RenditionLostError):  # what was rendered once can be drawn again
            stored = self._stored_thumbnail(study_uid, series_uid)
            if stored is not None:
                return stored
        return self._fresh_thumbnail(study_uid, series_uid)

    def rendered(self, request: RenderRequest, instance: InstanceRecord | None = None) -> Picture:
        """Return the picture of one frame as asked for.

        `instance` is the one the request names, to who has looked it up already.

        Raises:
            InvalidValueError: media type, quality, viewport, window or palette is out of range.
            NotFoundError: no such instance, or no such presentation state in its study.
            FrameNotFoundError: no such frame.
            UnrenderableInstanceError: with the reason.
        """
        _check(request)
        instance = self._image(request.sop_instance_uid, instance)
        job = PictureJob(
            frame_number=request.frame_number,
            window=request.window,
            box=request.viewport,
            media_type=request.media_type,
            quality=request.quality,
            overlays=request.overlays,
            reduced=request.viewport is not None,
            in_suv=request.in_suv,
            palette=request.palette,
            presentation_state_uid=request.presentation_state_uid,
            ratio_ceiling=request.ratio_ceiling,
            native=request.native,
            measured=False,
        )
        state = self._instance(job.presentation_state_uid) if job.presentation_state_uid else None
        if state is not None and state.study_instance_uid != instance.study_instance_uid:
            raise NotFoundError("no such presentation state in this study")
        drawn = Drawn(instance.dataset_sha256, state.dataset_sha256 if state else "", job)
        picture = self._remembered.get(drawn)
        if picture is None:
            picture = self._renderer.draw(instance.sop_instance_uid, job, instance.storage_key)
            self._remembered.put(drawn, picture)
        return picture

    def presented_images(self, sop_instance_uid: str) -> PresentedImages:
        """Return the images that an archived presentation state is for.

        Raises:
            UnrenderableInstanceError: with the reason; it may be no state that is applied.
        """
        return self._renderer.presented_images(sop_instance_uid)

    def preview(self, source: BinaryIO) -> Picture:
        """Return the small picture of a Part 10 file that is not archived, from its first frame.

        Raises:
            UnrenderableInstanceError: with the reason.
        """
        style = self._recipes.get(CLINICAL).thumbnail or Thumbnail()
        job = PictureJob(1, box=(style.edge, style.edge), quality=style.quality)
        try:
            return self._parts.pool.picture(source, job)
        except FrameNotFoundError as error:
            raise UnrenderableInstanceError(reasons.NO_SUCH_FRAME) from error

    def frame_bytes(self, sop_instance_uid: str, frame_number: int) -> StoredFrame:
        """Return one frame as stored, 1-based: its codestream or its native samples (PS3.18 8.7.3).

        Raises:
            NotFoundError: no such instance.
            FrameNotFoundError: no such frame.
            UnrenderableInstanceError: no pixels, or the frame's bytes are not there.
        """
        instance = self._image(sop_instance_uid)
        with self._renderer.opened(instance.sop_instance_uid) as source:
            return self._parts.pool.frame(source, frame_number)

    def native_frame(self, sop_instance_uid: str, frame_number: int) -> NativeFrame:
        """Return one frame decoded, for readers that cannot decompress; raises as `frame_bytes`."""
        instance = self._image(sop_instance_uid)
        with self._renderer.opened_pixels(instance.sop_instance_uid) as source:
            return self._parts.pool.native_frame(source, frame_number)

    def _stored_thumbnail(self, study_uid: str, series_uid: str | None) -> Picture | None:
        version = self.version(study_uid, CLINICAL)
        if version is None:
            return None
        for item in version.thumbnails:
            if series_uid in (None, item.series_instance_uid) and self._is_true(version, item):
                return Picture(self._renderer.load(item), item.media_type, item.width, item.height)
        return None

    def _is_true(self, version: Version, picture: VersionPicture) -> bool:
        """Return whether the archive still shows the instance, with the bytes that were drawn."""
        instance = self._parts.index.instance(picture.sop_instance_uid)
        if instance is None or not picture.job:
            return instance is not None
        made_of = picture_inputs(instance.dataset_sha256, picture.job, version.renderer_version)
        return picture.inputs_sha256 == made_of

    def _fresh_thumbnail(self, study_uid: str, series_uid: str | None) -> Picture:
        index = self._parts.index
        named = [item.series_instance_uid for item in index.series_of(study_uid)]
        wanted = [uid for uid in named if series_uid in (None, uid)]
        if not wanted:
            raise NotFoundError("no such study or series")
        refused = UnrenderableInstanceError(reasons.NO_PIXEL_DATA)
        for uid in wanted[:_SERIES_TRIED]:
            images = [item for item in index.instances_of(study_uid, uid) if item.rows]
            if images:
                try:
                    return self._instance_thumbnail(images[len(images) // 2])
                except UnrenderableInstanceError as error:
                    refused = error
        raise refused

    def _instance_thumbnail(self, instance: InstanceRecord) -> Picture:
        if not instance.rows:
            raise UnrenderableInstanceError(reasons.NO_PIXEL_DATA)
        drawn = Drawn(instance.dataset_sha256, "", self._thumbnail_job(instance))
        picture = self._remembered.get(drawn)
        if picture is None:
            picture = self._ready.find(instance) or self._drawn_thumbnail(instance)
            self._remembered.put(drawn, picture)
        return picture

    def made_of(self, instance: InstanceRecord) -> list[str]:
        """Return where thumbnails and a movie of the instance are kept, if there are any."""
        return [*self._ready.keys(instance), self._movies.key(instance)]

    def _thumbnail_job(self, instance: InstanceRecord) -> PictureJob:
        style = self._recipes.get(CLINICAL).thumbnail or Thumbnail()
        frame, box = instance.number_of_frames // 2 + 1, (style.edge, style.edge)
        return PictureJob(frame, box=box, quality=style.quality, reduced=True)

    def _drawn_thumbnail(self, instance: InstanceRecord) -> Picture:
        job = self._thumbnail_job(instance)
        try:
            return self._renderer.draw(instance.sop_instance_uid, job, instance.storage_key)
        except FrameNotFoundError as error:
            raise UnrenderableInstanceError(reasons.NO_SUCH_FRAME) from error

    def _instance(self, sop_instance_uid: str) -> InstanceRecord:
        instance = self._parts.index.instance(sop_instance_uid)
        if instance is None:
            raise NotFoundError("no such instance")
        return instance

    def _image(self, sop_instance_uid: str, known: InstanceRecord | None = None) -> InstanceRecord:
        instance = known or self._instance(sop_instance_uid)
        if not instance.rows:
            raise UnrenderableInstanceError(reasons.NO_PIXEL_DATA)
        return instance


def _check(request: RenderRequest) -> None:
    if request.media_type not in MEDIA_TYPES:
        raise InvalidValueError(f"media type: one of {', '.join(sorted(MEDIA_TYPES))}")
    if not 1 <= request.quality <= 100:
        raise InvalidValueError("quality: 1 to 100")
    if request.window is not None and not request.window.is_usable:
        raise InvalidValueError("window: a finite centre and a width above 0")
    if request.palette and request.palette not in PALETTES:
        raise InvalidValueError(f"palette: one of {', '.join(PALETTES)}")
    if request.viewport and not all(0 < edge <= _MAX_VIEWPORT for edge in request.viewport):
        raise InvalidValueError(f"viewport: 1 to {_MAX_VIEWPORT} pixels each way")
