"""Render one recipe of one study: choose slices, have them drawn, store bytes, keep the proof."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version as library_version
from typing import BinaryIO, Protocol

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.gate import TextGate
from eir_versions.errors import RenditionLostError, UnrenderableInstanceError
from eir_versions.jobs import Picture, PictureJob
from eir_versions.model import Draft, Version, VersionPicture
from eir_versions.presentation_states import APPLICABLE
from eir_versions.recipes import PUBLIC, Recipe
from eir_versions.rendition_store import RenditionStore
from eir_versions.reports.model import ShownReport, Standing
from eir_versions.series_rendering import (
    Findings,
    PictureKey,
    SeriesRendering,
    date_of,
    font_of,
    image_of,
    sha256_of,
)
from eir_versions.wire import InstanceFacts, PresentedImages
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.model import KEY_OBJECT_SELECTION, InstanceRecord, SeriesRecord, StudyRecord

RENDERER_REVISION = 5
BY_RULE = "rule"
_LIBRARIES = (
    "numpy",
    "pillow",
    "simplejpeg",
    "imagecodecs",
    "pylibjpeg-openjpeg",
    "pyjpegls",
)
_MOST_KEY_OBJECTS = 16
_MOST_STATES = 50


class InstanceSource(Protocol):
    """Gives the stored Part 10 file of an instance (`image_archive.service.ArchiveService`)."""

    def open_instance(self, sop_instance_uid: str) -> BinaryIO:
        """Return the file as a stream.

        Raises:
            NotFoundError: no such instance is stored.
        """
        ...

    def open_pixels(self, sop_instance_uid: str, storage_key: str = "") -> BinaryIO:
        """Return a file with the same pixel values, which may be its master; raises the same."""
        ...


@dataclass(frozen=True)
class StudyContents:
    """A study as it stands: its series in reading order, each with its instances; and the rest.

    `global_id` is whose it is, `withheld` that this person refuses what the public version is for,
    `reports` what has been reported, in force or not.
    """

    study: StudyRecord
    series: tuple[tuple[SeriesRecord, tuple[InstanceRecord, ...]], ...]
    global_id: str = ""
    withheld: bool = False
    reports: tuple[ShownReport, ...] = ()

    def whose_as(self, version: Version | None) -> "StudyContents":
        """Return the study with nobody's name if nobody was known when `version` was made.

        Such a version says nothing of whose the study is, and stays true of whoever it turns out to
        be: a link that comes late makes no version anew.
        """
        made_for_nobody = version is not None and not version.global_id
        return replace(self, global_id="") if made_for_nobody else self

    def reports_for(self, recipe: str) -> tuple[ShownReport, ...]:
        """Return the reports that a version shows; the public one those in force alone."""
        if recipe != PUBLIC:
            return self.reports
        return tuple(one for one in self.reports if one.standing is Standing.CURRENT)

    @property
    def instances(self) -> Iterable[InstanceRecord]:
        """Every instance."""
        return (one for _, some in self.series for one in some)


@dataclass(frozen=True)
class RenderingParts:
    """What rendering works with: where instances come from, who draws, where bytes go.

    Without `texts` pictures of kinds that may carry text are not shown to the public at all.
    """

    instances: InstanceSource
    pool: DecoderPool
    renditions: ArchiveBackend
    texts: TextGate | None = None


@cache
def _libraries() -> str:
    """The libraries that draw; they are looked up in files, and stay while the process runs."""
    return "/".join(f"{name}-{library_version(name)}" for name in _LIBRARIES)


class StudyRenderer:
    """Renders recipes. It writes bytes under `renditions/` and nothing else."""

    def __init__(self, parts: RenderingParts) -> None:
        self._parts = parts
        self.kept = RenditionStore(parts.renditions)

    @property
    def texts(self) -> TextGate | None:
        """What looks for text in pictures for the public."""
        return self._parts.texts

    def renderer_version(self, recipe: Recipe) -> str:
        """Return what, beside inputs and recipe, decides about the bytes."""
        font = f"/font-{font_of(recipe.watermark)}" if recipe.watermark else ""
        return f"eir-{RENDERER_REVISION}/{_libraries()}{font}"

    def inputs_sha256(self, contents: StudyContents, recipe: Recipe) -> str:
        """Return the digest of all that the version depends on."""
        lines = sorted(
            f"{instance.sop_instance_uid} {instance.dataset_sha256} {instance.condition}"
            for instance in contents.instances
        )
        lines += sorted(
            f"{one.report.sha256} {one.standing}" for one in contents.reports_for(recipe.name)
        )
        texts = self._parts.texts
        if texts is not None and recipe.burned_in is not None:
            lines.append(texts.digest(contents.study.study_instance_uid))
        withheld = "withheld" if self._is_withheld(contents, recipe) else ""
        head = (recipe.name, str(recipe.version), recipe.digest, self.renderer_version(recipe))
        whose = (date_of(contents.study), contents.global_id, withheld)
        return sha256_of("\n".join((*head, *whose, *lines)))

    def draft(
        self,
        contents: StudyContents,
        recipe: Recipe,
        generation: int,
        earlier: Version | None = None,
    ) -> Draft:
        """Render and return a version for the ledger. No instance can make this fail.

        Pictures of `earlier` that are made of the very same things are taken over.

        Raises:
            DecoderPoolStoppedError: the hub is shutting down.
            ArchiveFullError: there is no room for a picture.
        """
        draft = Draft(
            study_instance_uid=contents.study.study_instance_uid,
            recipe=recipe.name,
            recipe_version=recipe.version,
            recipe_digest=recipe.digest,
            generation=generation,
            renderer_version=self.renderer_version(recipe),
            inputs_sha256=self.inputs_sha256(contents, recipe),
            pictures=(),
            sources=(),
            global_id=contents.global_id,
            reports=tuple(
                (one.report.report_id, one.standing.value)
                for one in contents.reports_for(recipe.name)
            ),
        )
        if self._is_withheld(contents, recipe):
            return replace(draft, reports=(), reason=reasons.CONSENT_REFUSED)
        if recipe.recipe.kind == "instances":
            return replace(draft, sources=tuple(_listed(contents).sources.values()))
        selection, selected = self._key_objects(contents, recipe)
        empty = Findings(selected, _reusable(earlier), self._states(contents, recipe))
        findings = self._pictures(contents, recipe, empty)
        if selected and not findings.key_count:  # nothing of the selection can be shown
            empty = Findings({}, empty.earlier, empty.states)
            selection, findings = BY_RULE, self._pictures(contents, recipe, empty)
        return replace(
            draft,
            pictures=tuple(findings.pictures),
            sources=tuple(findings.sources.values()),
            reason=findings.reason,
            selection=selection,
        )

    def draw(
        self,
        sop_instance_uid: str,
        job: PictureJob,
        storage_key: str = "",
    ) -> Picture:
        """Return the picture of a job on a stored instance, with the presentation state it names.

        `storage_key` says where it is, to who knows it: that spares looking it up.

        Raises:
            UnrenderableInstanceError: with the reason.
            FrameNotFoundError: there is no such frame.
        """
        with ExitStack() as stack:
            source = stack.enter_context(self.opened_pixels(sop_instance_uid, storage_key))
            return self._parts.pool.picture(source, job, self._state(stack, job))

    def steps(self, sop_instance_uid: str, job: PictureJob) -> tuple[str, ...]:
        """Return what a job does to the pixels, step by step; raises as `draw` does."""
        with ExitStack() as stack:
            source = stack.enter_context(self.opened_pixels(sop_instance_uid))
            return self._parts.pool.steps(source, job, self._state(stack, job))

    def _state(self, stack: ExitStack, job: PictureJob) -> BinaryIO | None:
        """The file of the presentation state that a job names, for as long as `stack` is open."""
        uid = job.presentation_state_uid
        return stack.enter_context(self.opened(uid)) if uid else None

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

    def opened_pixels(self, sop_instance_uid: str, storage_key: str = "") -> BinaryIO:
        """Return a file with the instance's pixel values, for decoding; raises as `opened`."""
        try:
            return self._parts.instances.open_pixels(sop_instance_uid, storage_key)
        except NotFoundError as error:
            raise UnrenderableInstanceError(reasons.NOT_STORED) from error

    def store(self, picture: Picture) -> str:
        """Make the bytes durable under their own digest and return the key."""
        return self.kept.store(picture.data)

    def load(self, picture: VersionPicture) -> bytes:
        """Return the bytes of a stored picture, proved by its digest.

        Raises:
            RenditionLostError: they are gone or are no longer what was rendered.
        """
        return self.kept.load(picture.storage_key, picture.sha256)

    def is_kept(self, picture: VersionPicture) -> bool:
        """Return whether the bytes are there and are what was rendered."""
        try:
            self.load(picture)
        except RenditionLostError:
            return False
        return True

    def _pictures(self, contents: StudyContents, recipe: Recipe, findings: Findings) -> Findings:
        for series, instances in contents.series:
            SeriesRendering(self, contents.study, series, recipe, findings).render(instances)
        findings.name_undone()
        return findings

    def _key_objects(
        self, contents: StudyContents, recipe: Recipe
    ) -> tuple[str, Mapping[str, tuple[int, ...]]]:
        """Return which key object selection decides, and what it selects; the rule without one."""
        titles = recipe.selection.key_object_titles
        objects = [one for one in contents.instances if one.sop_class_uid == KEY_OBJECT_SELECTION]
        here = {one.sop_instance_uid for one in contents.instances if one.rows}
        best: tuple[int, str, Mapping[str, tuple[int, ...]]] | None = None
        for instance in objects[:_MOST_KEY_OBJECTS] if titles else ():
            with suppress(UnrenderableInstanceError):
                with self.opened(instance.sop_instance_uid) as source:
                    found = self._parts.pool.key_object(source)
                selected = _by_instance(found.selected, here)
                if found.title in titles and selected:
                    rank = titles.index(found.title)
                    told = f"kos {found.title} {instance.sop_instance_uid}"
                    best = best if best and best[0] < rank else (rank, told, selected)
        return (best[1], best[2]) if best else (BY_RULE, {})

    def presented_images(self, sop_instance_uid: str) -> PresentedImages:
        """Return what a presentation state is for; raises as `draw` does."""
        with self.opened(sop_instance_uid) as source:
            return self._parts.pool.presented_images(source)

    def _states(
        self, contents: StudyContents, recipe: Recipe
    ) -> tuple[tuple[str, PresentedImages], ...]:
        """Return the study's presentation states, the latest first, where the recipe wants them."""
        if recipe.picture.presentation_state != "latest":
            return ()
        found = []
        kept = [one for one in contents.instances if one.sop_class_uid in APPLICABLE]
        for instance in kept[-_MOST_STATES:]:
            with suppress(UnrenderableInstanceError):
                images = self.presented_images(instance.sop_instance_uid)
                found.append((instance.sop_instance_uid, images))
        return tuple(sorted(found, key=lambda one: (one[1].created, one[0]), reverse=True))

    def _is_withheld(self, contents: StudyContents, recipe: Recipe) -> bool:
        return contents.withheld and recipe.name == PUBLIC


def _listed(contents: StudyContents) -> Findings:
    findings = Findings()
    for series, instances in contents.series:
        for instance in instances:
            findings.note(series.series_instance_uid, image_of(instance))
    return findings


def _by_instance(
    selected: Iterable[tuple[str, int]], here: set[str]
) -> Mapping[str, tuple[int, ...]]:
    frames: dict[str, list[int]] = {}
    for uid, frame in selected:
        if uid in here and frame not in frames.setdefault(uid, []):
            frames[uid].append(frame)
    return {uid: tuple(some) for uid, some in frames.items()}


def _reusable(earlier: Version | None) -> Mapping[PictureKey, VersionPicture]:
    pictures = earlier.pictures if earlier else ()
    return {(one.kind, one.inputs_sha256): one for one in pictures if one.job}
