"""Render one recipe of one study: choose slices, have them drawn, store bytes, keep the proof."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version as library_version
from typing import BinaryIO, Protocol

from eir_versions import reasons
from eir_versions.allowance import Allowance
from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.gate import TextGate
from eir_versions.errors import (
    FrameNotFoundError,
    RenditionLostError,
    UnrenderableInstanceError,
)
from eir_versions.jobs import Picture, PictureJob
from eir_versions.model import Draft, PictureKind, VersionPicture, VersionSource
from eir_versions.recipes import Recipe, Watermark
from eir_versions.selection import ImageInstance, Slice, Stack
from eir_versions.watermark import BUILTIN_FONT, available_font
from eir_versions.wire import InstanceFacts, job_to_json
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord

RENDERER_REVISION = 2
_LIBRARIES = (
    "numpy",
    "pillow",
    "simplejpeg",
    "imagecodecs",
    "pylibjpeg-openjpeg",
    "pyjpegls",
)
_UNKNOWN_DATE = "----"


class InstanceSource(Protocol):
    """Gives the stored Part 10 file of an instance (`image_archive.service.ArchiveService`)."""

    def open_instance(self, sop_instance_uid: str) -> BinaryIO:
        """Return the file as a stream.

        Raises:
            NotFoundError: no such instance is stored.
        """
        ...

    def open_pixels(self, sop_instance_uid: str) -> BinaryIO:
        """Return a file with the same pixel values, which may be its master; raises the same."""
        ...


@dataclass(frozen=True)
class StudyContents:
    """A study as the index holds it: its series in reading order, each with its instances."""

    study: StudyRecord
    series: tuple[tuple[SeriesRecord, tuple[InstanceRecord, ...]], ...]


@dataclass(frozen=True)
class RenderingParts:
    """What rendering works with: where instances come from, who draws, where bytes go.

    Without `texts` pictures of kinds that may carry text are not shown to the public at all.
    """

    instances: InstanceSource
    pool: DecoderPool
    renditions: ArchiveBackend
    texts: TextGate | None = None


@dataclass
class _Findings:
    """What has been made of a study so far."""

    pictures: list[VersionPicture] = field(default_factory=list)
    sources: dict[str, VersionSource] = field(default_factory=dict)
    key_count: int = 0
    image_count: int = 0

    def note(self, series_uid: str, image: ImageInstance, reason: str = "") -> None:
        """Remember an instance; one that gave a picture stays free of later failures."""
        known = self.sources.get(image.sop_instance_uid)
        if known is None or (known.reason and not reason):
            self.sources[image.sop_instance_uid] = VersionSource(
                image.sop_instance_uid, series_uid, image.dataset_sha256, reason
            )

    @property
    def reason(self) -> str:
        """Why there is no picture at all; empty when there is one."""
        if self.pictures:
            return ""
        if not self.image_count:
            return reasons.NO_IMAGE_OBJECTS
        said = [item.reason for item in self.sources.values()]
        return next((word for word in said if word != reasons.NO_PIXEL_DATA), reasons.UNREADABLE)


class StudyRenderer:
    """Renders recipes. It writes bytes under `renditions/` and nothing else."""

    def __init__(self, parts: RenderingParts) -> None:
        self._parts = parts

    @property
    def texts(self) -> TextGate | None:
        """What looks for text in pictures for the public."""
        return self._parts.texts

    def renderer_version(self, recipe: Recipe) -> str:
        """Return what, beside inputs and recipe, decides about the bytes."""
        libraries = "/".join(f"{name}-{library_version(name)}" for name in _LIBRARIES)
        font = f"/font-{_font(recipe.watermark)}" if recipe.watermark else ""
        return f"eir-{RENDERER_REVISION}/{libraries}{font}"

    def inputs_sha256(self, contents: StudyContents, recipe: Recipe) -> str:
        """Return the digest of all that the version depends on."""
        lines = sorted(
            f"{instance.sop_instance_uid} {instance.dataset_sha256} {instance.condition}"
            for _, instances in contents.series
            for instance in instances
        )
        head = (recipe.name, str(recipe.version), recipe.digest, self.renderer_version(recipe))
        texts = self._parts.texts
        if texts is not None and recipe.burned_in is not None:
            lines.append(texts.digest(contents.study.study_instance_uid))
        return _sha256("\n".join((*head, _date(contents.study), *lines)))

    def draft(self, contents: StudyContents, recipe: Recipe, generation: int) -> Draft:
        """Render and return a version for the ledger. No instance can make this fail.

        Raises:
            DecoderPoolStoppedError: the hub is shutting down.
            ArchiveFullError: there is no room for a picture.
        """
        findings = _Findings()
        if recipe.recipe.kind == "instances":
            for series, instances in contents.series:
                for instance in instances:
                    findings.note(series.series_instance_uid, _image(instance))
        else:
            for series, instances in contents.series:
                _Series(self, contents.study, series, recipe, findings).render(instances)
        return Draft(
            study_instance_uid=contents.study.study_instance_uid,
            recipe=recipe.name,
            recipe_version=recipe.version,
            recipe_digest=recipe.digest,
            generation=generation,
            renderer_version=self.renderer_version(recipe),
            inputs_sha256=self.inputs_sha256(contents, recipe),
            pictures=tuple(findings.pictures),
            sources=tuple(findings.sources.values()),
            reason=findings.reason if recipe.recipe.kind == "pictures" else "",
        )

    def draw(
        self, sop_instance_uid: str, job: PictureJob, presentation_state_uid: str = ""
    ) -> Picture:
        """Return the picture of a job on a stored instance, as a presentation state has it.

        Raises:
            UnrenderableInstanceError: with the reason.
            FrameNotFoundError: there is no such frame.
        """
        with ExitStack() as stack:
            source = stack.enter_context(self.opened_pixels(sop_instance_uid))
            if not presentation_state_uid:
                return self._parts.pool.picture(source, job)
            state = stack.enter_context(self.opened(presentation_state_uid))
            return self._parts.pool.picture(source, job, state)

    def facts(self, sop_instance_uid: str) -> InstanceFacts:
        """Return what the instance's own header says; raises as `draw` does."""
        with self.opened(sop_instance_uid) as source:
            return self._parts.pool.facts(source)

    def opened(self, sop_instance_uid: str) -> BinaryIO:
        """Return the stored file.

        Raises:
            UnrenderableInstanceError: not_stored.
        """
        try:
            return self._parts.instances.open_instance(sop_instance_uid)
        except NotFoundError as error:
            raise UnrenderableInstanceError(reasons.NOT_STORED) from error

    def opened_pixels(self, sop_instance_uid: str) -> BinaryIO:
        """Return a file with the instance's pixel values, for decoding; raises as `opened`."""
        try:
            return self._parts.instances.open_pixels(sop_instance_uid)
        except NotFoundError as error:
            raise UnrenderableInstanceError(reasons.NOT_STORED) from error

    def store(self, picture: Picture) -> str:
        """Make the bytes durable under their own digest and return the key."""
        digest = picture.sha256
        backend, key = self._parts.renditions, f"renditions/{digest[:2]}/{digest}"
        with suppress(NotFoundError):
            if backend.size(key) == len(picture.data):
                return key
        pending = backend.create()
        pending.write(picture.data)
        pending.publish(key)
        return key

    def load(self, picture: VersionPicture) -> bytes:
        """Return the bytes of a stored picture, proved by its digest.

        Raises:
            RenditionLostError: they are gone or are no longer what was rendered.
        """
        try:
            with self._parts.renditions.open(picture.storage_key) as stream:
                data = stream.read()
        except NotFoundError as error:
            raise RenditionLostError("the bytes of a picture are missing") from error
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise RenditionLostError("the bytes of a picture have changed")
        return data


class _Series:
    """The rendering of one series for one recipe."""

    def __init__(
        self,
        renderer: StudyRenderer,
        study: StudyRecord,
        series: SeriesRecord,
        recipe: Recipe,
        findings: _Findings,
    ) -> None:
        self._renderer = renderer
        self._study = study
        self._series = series
        self._recipe = recipe
        self._findings = findings
        self._allowance = Allowance(study, series, recipe, renderer)

    def render(self, instances: tuple[InstanceRecord, ...]) -> None:
        """Add the pictures of the series and the reasons for those that cannot be."""
        images = []
        for instance in instances:
            if instance.rows and instance.columns:
                images.append(_image(instance))
            else:
                self._note(_image(instance), reasons.NO_PIXEL_DATA)
        stack = Stack(images)
        self._findings.image_count += len(images)
        if not images:
            return
        taken: set[tuple[str, int]] = set()
        for position in self._recipe.selection.positions:
            if self._findings.key_count >= self._recipe.selection.max_pictures:
                break
            self._key_picture(stack, position, taken)
        if self._recipe.thumbnail is not None:
            style = self._recipe.thumbnail
            job = PictureJob(box=(style.edge, style.edge), quality=style.quality)
            self._first_drawn(stack, 0.5, job, PictureKind.THUMBNAIL)

    def _key_picture(self, stack: Stack, position: float, taken: set[tuple[str, int]]) -> None:
        first = next(stack.around(position, 1))
        if _place(first) in taken:
            return
        drawn = self._first_drawn(stack, position, self._job(), PictureKind.KEY)
        if drawn is not None:
            taken.add(_place(drawn))
            self._findings.key_count += 1
        taken.add(_place(first))

    def _first_drawn(
        self, stack: Stack, position: float, job: PictureJob, kind: PictureKind
    ) -> Slice | None:
        for candidate in stack.around(position, self._recipe.selection.attempts):
            image = candidate.instance
            frame_job = _for_frame(job, candidate.frame_number)
            try:
                frame_job = replace(frame_job, masks=self._allowance.masks(candidate))
                picture = self._renderer.draw(image.sop_instance_uid, frame_job)
            except UnrenderableInstanceError as error:
                self._note(image, error.reason)
            except FrameNotFoundError:
                self._note(image, reasons.NO_SUCH_FRAME)
            else:
                self._keep(candidate, frame_job, picture, kind)
                return candidate
        return None

    def _keep(self, drawn: Slice, job: PictureJob, picture: Picture, kind: PictureKind) -> None:
        image = drawn.instance
        self._note(image)
        self._findings.pictures.append(
            VersionPicture(
                picture_id="",
                series_instance_uid=self._series.series_instance_uid,
                sop_instance_uid=image.sop_instance_uid,
                frame_number=drawn.frame_number,
                kind=kind,
                media_type=picture.media_type,
                width=picture.width,
                height=picture.height,
                sha256=picture.sha256,
                inputs_sha256=self._picture_inputs(image, job),
                storage_key=self._renderer.store(picture),
                quality=picture.quality,
                compression_ratio=picture.compression_ratio,
                psnr_db=picture.psnr_db,
                ssim=picture.ssim,
            )
        )

    def _picture_inputs(self, image: ImageInstance, job: PictureJob) -> str:
        asked = json.dumps(job_to_json(job), sort_keys=True)
        version = self._renderer.renderer_version(self._recipe)
        return _sha256("\n".join((image.dataset_sha256, asked, version)))

    def _job(self) -> PictureJob:
        style = self._recipe.picture
        mark = self._recipe.watermark
        return PictureJob(
            box=(style.max_edge, style.max_edge) if style.max_edge else None,
            quality=style.quality,
            ratio_ceiling=style.ceiling_of(self._series.modality, self._series.body_part_examined),
            watermark=() if mark is None else tuple(_mark_lines(mark, self._study)),
            font="" if mark is None else _font(mark),
        )

    def _note(self, image: ImageInstance, reason: str = "") -> None:
        self._findings.note(self._series.series_instance_uid, image, reason)


def _for_frame(job: PictureJob, frame_number: int) -> PictureJob:
    return PictureJob(**{**vars(job), "frame_number": frame_number})


def _mark_lines(mark: Watermark, study: StudyRecord) -> Iterator[str]:
    builtin = _font(mark) == BUILTIN_FONT
    yield mark.ascii_tile if builtin else mark.tile
    for line in mark.ascii_lines if builtin else mark.lines:
        yield line.replace("{study_date}", _date(study))


def _date(study: StudyRecord) -> str:
    return _UNKNOWN_DATE if study.study_date is None else study.study_date.isoformat()


def _font(mark: Watermark) -> str:
    return available_font(tuple(mark.fonts))


def _image(instance: InstanceRecord) -> ImageInstance:
    return ImageInstance(
        instance.sop_instance_uid,
        instance.number_of_frames,
        instance.dataset_sha256,
        instance.sop_class_uid,
    )


def _place(item: Slice) -> tuple[str, int]:
    return item.instance.sop_instance_uid, item.frame_number


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
