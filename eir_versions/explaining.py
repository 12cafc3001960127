"""Explain the versions of a study and prove them: every digest is worked out again from the bytes.

Nothing is changed. What no longer agrees is a finding; without findings the version is exactly what
its inputs, its recipe and this renderer give.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

from eir_versions import reasons
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.jobs import PictureJob
from eir_versions.model import PictureKind, Version, VersionPicture, VersionSource
from eir_versions.recipes import Recipe
from eir_versions.series_rendering import picture_inputs
from eir_versions.study_renderer import StudyContents, StudyRenderer
from eir_versions.wire import job_from_json
from image_archive.errors import UnreadableInstanceError
from image_archive.reading import skip_file_meta

_STATE_UNDONE = frozenset({reasons.PRESENTATION_STATE, reasons.STATE_NOT_POSSIBLE})
_CHUNK_BYTES = 1024 * 1024


class FindingKind(StrEnum):
    """What no longer agrees."""

    RECIPE_CHANGED = "recipe_changed"
    RENDERER_CHANGED = "renderer_changed"
    INPUTS_CHANGED = "inputs_changed"
    SOURCE_DAMAGED = "source_damaged"
    JOB_UNKNOWN = "job_unknown"
    JOB_CHANGED = "job_changed"
    PICTURE_DAMAGED = "picture_damaged"
    PICTURE_DIFFERS = "picture_differs"
    ABOVE_CEILING = "above_ceiling"


@dataclass(frozen=True)
class Finding:
    """One disagreement; `subject` is an instance's UID or a picture's identifier, or empty."""

    kind: FindingKind
    subject: str = ""


@dataclass(frozen=True)
class ExplainedPicture:
    """One picture: the steps that made it, its ceiling (None: none), what it gives made again.

    `again_sha256` is empty where it cannot be made again.
    """

    picture: VersionPicture
    steps: tuple[str, ...]
    ratio_ceiling: float | None
    again_sha256: str

    @property
    def proved(self) -> bool:
        """Whether it was made again to the same bytes."""
        return self.again_sha256 == self.picture.sha256


@dataclass(frozen=True)
class Explanation:
    """One version, everything it is made of, and what no longer agrees."""

    version: Version
    renderer_version: str
    sources: tuple[VersionSource, ...]
    pictures: tuple[ExplainedPicture, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def proved(self) -> bool:
        """Whether everything agrees."""
        return not self.findings


@dataclass(frozen=True)
class Explained:
    """What a version is explained with: the study as it stands and the recipe in force."""

    version: Version
    sources: tuple[VersionSource, ...]
    contents: StudyContents | None
    recipe: Recipe


def explain(renderer: StudyRenderer, asked: Explained) -> Explanation:
    """Return the version with every claim of the ledger tried."""
    version = asked.version
    undone = [one.sop_instance_uid for one in asked.sources if one.reason in _STATE_UNDONE]
    pictures = tuple(_picture(renderer, one, undone) for one in version.pictures)
    findings = [
        *_version_findings(renderer, asked),
        *_source_findings(renderer, asked.sources),
        *_picture_findings(renderer, asked, pictures),
    ]
    now = renderer.renderer_version(asked.recipe)
    return Explanation(version, now, asked.sources, pictures, tuple(findings))


def _version_findings(renderer: StudyRenderer, asked: Explained) -> Iterator[Finding]:
    version, recipe = asked.version, asked.recipe
    if version.recipe_digest != recipe.digest:
        yield Finding(FindingKind.RECIPE_CHANGED, f"{recipe.name} {recipe.version}")
    if version.renderer_version != renderer.renderer_version(recipe):
        yield Finding(FindingKind.RENDERER_CHANGED)
    contents = asked.contents
    now = renderer.inputs_sha256(contents.whose_as(version), recipe) if contents else ""
    if now != version.inputs_sha256:
        yield Finding(FindingKind.INPUTS_CHANGED)


def _source_findings(
    renderer: StudyRenderer, sources: tuple[VersionSource, ...]
) -> Iterator[Finding]:
    for source in sources:
        if _dataset_sha256(renderer, source.sop_instance_uid) != source.dataset_sha256:
            yield Finding(FindingKind.SOURCE_DAMAGED, source.sop_instance_uid)


def _picture_findings(
    renderer: StudyRenderer, asked: Explained, pictures: tuple[ExplainedPicture, ...]
) -> Iterator[Finding]:
    digests = {one.sop_instance_uid: one.dataset_sha256 for one in asked.sources}
    for one in pictures:
        picture = one.picture
        made_of = picture_inputs(
            digests.get(picture.sop_instance_uid, ""), picture.job, asked.version.renderer_version
        )
        if not picture.job:
            yield Finding(FindingKind.JOB_UNKNOWN, picture.picture_id)
        elif made_of != picture.inputs_sha256:
            yield Finding(FindingKind.JOB_CHANGED, picture.picture_id)
        if not renderer.is_kept(picture):
            yield Finding(FindingKind.PICTURE_DAMAGED, picture.picture_id)
        if picture.job and not one.proved:
            yield Finding(FindingKind.PICTURE_DIFFERS, picture.picture_id)
        if one.ratio_ceiling and (picture.compression_ratio or 0) > one.ratio_ceiling:
            lossless = picture.quality is None  # no loss, however far it is compressed
            if not lossless:
                yield Finding(FindingKind.ABOVE_CEILING, picture.picture_id)


def _picture(
    renderer: StudyRenderer, picture: VersionPicture, undone: Sequence[str]
) -> ExplainedPicture:
    job = _job(picture)
    if job is None:
        return ExplainedPicture(picture, (), None, "")
    try:
        steps = renderer.steps(picture.sop_instance_uid, job)
        again = renderer.draw(picture.sop_instance_uid, job).sha256
    except (UnrenderableInstanceError, FrameNotFoundError):
        return ExplainedPicture(picture, (), job.ratio_ceiling, "")
    if picture.kind is PictureKind.KEY and not job.presentation_state_uid:
        steps = (*_undone(renderer, picture.sop_instance_uid, job, undone), *steps)
    return ExplainedPicture(picture, steps, job.ratio_ceiling, again)


def _undone(
    renderer: StudyRenderer, sop_instance_uid: str, job: PictureJob, states: Sequence[str]
) -> Iterator[str]:
    """Yield why a picture is drawn without those of the states that are for it."""
    for uid in states:
        with suppress(UnrenderableInstanceError):
            (why, *more) = renderer.steps(
                sop_instance_uid, replace(job, presentation_state_uid=uid)
            )
            if not more:
                yield why


def _job(picture: VersionPicture) -> PictureJob | None:
    try:
        return job_from_json(json.loads(picture.job)) if picture.job else None
    except (ValueError, TypeError, KeyError):
        return None


def _dataset_sha256(renderer: StudyRenderer, sop_instance_uid: str) -> str:
    """Return the digest of the stored dataset; empty where it is gone or is no file of ours."""
    digest = hashlib.sha256()
    try:
        with renderer.opened(sop_instance_uid) as stream:
            skip_file_meta(stream)
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (UnrenderableInstanceError, UnreadableInstanceError, OSError):
        return ""
    return digest.hexdigest()
