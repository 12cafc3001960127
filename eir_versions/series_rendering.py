"""Render one series for one recipe: key objects first, else slices by rule, then a thumbnail."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from eir_versions import reasons
from eir_versions.allowance import Allowance, FrameSource
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.jobs import Picture, PictureJob
from eir_versions.model import PictureKind, VersionPicture, VersionSource
from eir_versions.presentation_states import is_left_out
from eir_versions.recipes import Recipe, Watermark
from eir_versions.selection import ImageInstance, Slice, Stack
from eir_versions.watermark import BUILTIN_FONT, available_font
from eir_versions.wire import PresentedImages, job_to_json
from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord

_UNKNOWN_DATE = "----"
_NO_IMAGE = frozenset({reasons.NO_PIXEL_DATA, reasons.STATE_NOT_APPLIED})

PictureKey = tuple[PictureKind, str]
"""What a picture is for, and the digest of all it is made of."""


class Drawing(FrameSource, Protocol):
    """Draws and keeps pictures (`eir_versions.study_renderer.StudyRenderer`)."""

    def renderer_version(self, recipe: Recipe) -> str:
        """Return what, beside inputs and recipe, decides about the bytes."""
        ...

    def store(self, picture: Picture) -> str:
        """Make the bytes durable and return their key."""
        ...

    def is_kept(self, picture: VersionPicture) -> bool:
        """Return whether the bytes are there and are what was rendered."""
        ...


@dataclass
class Findings:
    """What has been made of a study so far.

    `selected` are the frames that a key object selection names, by instance; where it names no
    frame of an instance, its first. `earlier` are pictures that need not be drawn again. `states`
    are the presentation states to draw key pictures with, the first that is for a frame; `undone`
    those among them that a picture had to be drawn without, and why.
    """

    selected: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    earlier: Mapping[PictureKey, VersionPicture] = field(default_factory=dict)
    states: tuple[tuple[str, PresentedImages], ...] = ()
    undone: dict[str, str] = field(default_factory=dict)
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

    def name_undone(self) -> None:
        """Give the states that could not be applied that reason, once all series are noted."""
        for uid, reason in self.undone.items():
            if uid in self.sources:
                self.sources[uid] = replace(self.sources[uid], reason=reason)

    def state_for(self, place: Slice) -> str:
        """Return the presentation state that a frame is to be drawn with, empty without one."""
        where = place.instance.sop_instance_uid, place.frame_number
        return next((uid for uid, images in self.states if images.covers(*where)), "")

    @property
    def reason(self) -> str:
        """Why there is no picture at all; empty when there is one."""
        if self.pictures:
            return ""
        if not self.image_count:
            return reasons.NO_IMAGE_OBJECTS
        said = [item.reason for item in self.sources.values()]
        return next((word for word in said if word not in _NO_IMAGE), reasons.UNREADABLE)


class SeriesRendering:
    """The rendering of one series for one recipe."""

    def __init__(
        self,
        renderer: Drawing,
        study: StudyRecord,
        series: SeriesRecord,
        recipe: Recipe,
        findings: Findings,
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
                images.append(image_of(instance))
            else:
                left_out = is_left_out(instance.sop_class_uid)
                why = reasons.STATE_NOT_APPLIED if left_out else reasons.NO_PIXEL_DATA
                self._note(image_of(instance), why)
        stack = Stack(images)
        self._findings.image_count += len(images)
        if not images:
            return
        if self._findings.selected:
            self._selected_pictures(images)
        else:
            self._pictures_by_rule(stack)
        if self._recipe.thumbnail is not None:
            style = self._recipe.thumbnail
            job = PictureJob(box=(style.edge, style.edge), quality=style.quality)
            middle = stack.around(0.5, self._recipe.selection.attempts)
            self._first_drawn(middle, job, PictureKind.THUMBNAIL)

    def _selected_pictures(self, images: list[ImageInstance]) -> None:
        for image in images:
            for frame in self._findings.selected.get(image.sop_instance_uid, ()):
                if self._findings.key_count < self._recipe.selection.max_pictures:
                    one = iter([Slice(image, frame or 1)])
                    drawn = self._first_drawn(one, self._job(), PictureKind.KEY)
                    self._findings.key_count += drawn is not None

    def _pictures_by_rule(self, stack: Stack) -> None:
        taken: set[tuple[str, int]] = set()
        for position in self._recipe.selection.positions:
            if self._findings.key_count >= self._recipe.selection.max_pictures:
                break
            self._key_picture(stack, position, taken)

    def _key_picture(self, stack: Stack, position: float, taken: set[tuple[str, int]]) -> None:
        first = next(stack.around(position, 1))
        if _place(first) in taken:
            return
        around = stack.around(position, self._recipe.selection.attempts)
        drawn = self._first_drawn(around, self._job(), PictureKind.KEY)
        if drawn is not None:
            taken.add(_place(drawn))
            self._findings.key_count += 1
        taken.add(_place(first))

    def _first_drawn(
        self, candidates: Iterator[Slice], job: PictureJob, kind: PictureKind
    ) -> Slice | None:
        for candidate in candidates:
            state = self._findings.state_for(candidate) if kind is PictureKind.KEY else ""
            plain = replace(job, frame_number=candidate.frame_number)
            stated = replace(plain, presentation_state_uid=state)
            # A state that cannot be applied must not cost the picture: it is drawn without.
            why = self._refused(candidate, stated, kind)
            if not why:
                return candidate
            if state and not self._refused(candidate, plain, kind):
                self._findings.undone[state] = why
                return candidate
        return None

    def _refused(self, candidate: Slice, job: PictureJob, kind: PictureKind) -> str:
        """Draw and keep the picture; return why there is none, empty when there is one."""
        image = candidate.instance
        try:
            job = replace(job, masks=self._allowance.masks(candidate))
            if self._kept(candidate, job, kind):
                return ""
            picture = self._renderer.draw(image.sop_instance_uid, job)
        except UnrenderableInstanceError as error:
            why = error.reason
        except FrameNotFoundError:
            why = reasons.NO_SUCH_FRAME
        else:
            self._keep(candidate, job, picture, kind)
            return ""
        self._note(image, why)
        return why

    def _kept(self, drawn: Slice, job: PictureJob, kind: PictureKind) -> bool:
        """Take over the very same picture of the version before, if its bytes are still there."""
        made_of = self._picture_inputs(drawn.instance, job)
        earlier = self._findings.earlier.get((kind, made_of))
        if earlier is None or not self._renderer.is_kept(earlier):
            return False
        self._note(drawn.instance)
        self._findings.pictures.append(earlier)
        return True

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
                job=job_text(job),
                storage_key=self._renderer.store(picture),
                quality=picture.quality,
                compression_ratio=picture.compression_ratio,
                psnr_db=picture.psnr_db,
                ssim=picture.ssim,
            )
        )

    def _picture_inputs(self, image: ImageInstance, job: PictureJob) -> str:
        version = self._renderer.renderer_version(self._recipe)
        return picture_inputs(image.dataset_sha256, job_text(job), version)

    def _job(self) -> PictureJob:
        style = self._recipe.picture
        mark = self._recipe.watermark
        return PictureJob(
            box=(style.max_edge, style.max_edge) if style.max_edge else None,
            quality=style.quality,
            ratio_ceiling=style.ceiling_of(
                self._series.modality,
                self._series.body_part_examined,
                self._series.series_description,
                self._study.study_description,
            ),
            watermark=() if mark is None else tuple(_mark_lines(mark, self._study)),
            font="" if mark is None else font_of(mark),
            figures=True,
        )

    def _note(self, image: ImageInstance, reason: str = "") -> None:
        self._findings.note(self._series.series_instance_uid, image, reason)


def picture_inputs(dataset_sha256: str, job: str, renderer_version: str) -> str:
    """Return the digest of all that a picture is made of; `job` is what `job_text` wrote."""
    return sha256_of("\n".join((dataset_sha256, job, renderer_version)))


def job_text(job: PictureJob) -> str:
    """Return the job as the ledger keeps it."""
    return json.dumps(job_to_json(job), sort_keys=True)


def _mark_lines(mark: Watermark, study: StudyRecord) -> Iterator[str]:
    builtin = font_of(mark) == BUILTIN_FONT
    yield mark.ascii_tile if builtin else mark.tile
    for line in mark.ascii_lines if builtin else mark.lines:
        yield line.replace("{study_date}", date_of(study))


def date_of(study: StudyRecord) -> str:
    """Return the study date as a watermark shows it."""
    return _UNKNOWN_DATE if study.study_date is None else study.study_date.isoformat()


def font_of(mark: Watermark) -> str:
    """Return the font that a watermark is written in on this machine."""
    return available_font(tuple(mark.fonts))


def image_of(instance: InstanceRecord) -> ImageInstance:
    """Return what selection needs to know of an instance."""
    return ImageInstance(
        instance.sop_instance_uid,
        instance.number_of_frames,
        instance.dataset_sha256,
        instance.sop_class_uid,
    )


def _place(item: Slice) -> tuple[str, int]:
    return item.instance.sop_instance_uid, item.frame_number


def sha256_of(text: str) -> str:
    """Return the SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
