"""The version ledger: which version of a study is current, made of what, and which came before."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from eir_versions.errors import VersionOvertakenError
from eir_versions.model import (
    Draft,
    PictureKind,
    StandingVersion,
    Version,
    VersionPicture,
    VersionSource,
)
from eir_versions.recipes import CLINICAL
from eir_versions.tables import EirVersionPictureRow, EirVersionRow, EirVersionSourceRow
from hub_kernel.database import UnitOfWork

_UIDS_PER_QUERY = 400
_PICTURE_FIELDS = (
    "series_instance_uid",
    "sop_instance_uid",
    "frame_number",
    "media_type",
    "width",
    "height",
    "sha256",
    "inputs_sha256",
    "storage_key",
    "quality",
    "compression_ratio",
    "psnr_db",
    "ssim",
    "job",
)


def current_version(session: Session, study_instance_uid: str, recipe: str) -> Version | None:
    """Return the version that is in force, None when the recipe was never rendered."""
    row = _current_row(session, study_instance_uid, recipe)
    return None if row is None else _version(session, row)


def find_version(session: Session, version_id: str) -> Version | None:
    """Return a version by its identifier, superseded or not."""
    row = session.get(EirVersionRow, version_id)
    return None if row is None else _version(session, row)


def version_history(session: Session, study_instance_uid: str, recipe: str) -> tuple[Version, ...]:
    """Return all versions of a recipe, the latest first."""
    rows = session.scalars(
        select(EirVersionRow)
        .where(
            EirVersionRow.study_instance_uid == study_instance_uid, EirVersionRow.recipe == recipe
        )
        .order_by(EirVersionRow.created_at.desc(), EirVersionRow.generation.desc())
    )
    return tuple(_version(session, row) for row in rows)


def standing_versions(session: Session, study_instance_uid: str) -> list[StandingVersion]:
    """Return the versions of a study that are in force, by recipe."""
    row = EirVersionRow
    rows = session.execute(
        select(row.version_id, row.recipe, row.generation, row.created_at, row.document_key)
        .where(row.study_instance_uid == study_instance_uid, row.superseded_at.is_(None))
        .order_by(row.recipe)
    )
    return [StandingVersion(*one) for one in rows]


def version_sources(session: Session, version_id: str) -> tuple[VersionSource, ...]:
    """Return the instances of a version, those that could not be shown with their reason."""
    rows = session.scalars(
        select(EirVersionSourceRow)
        .where(EirVersionSourceRow.version_id == version_id)
        .order_by(EirVersionSourceRow.series_instance_uid, EirVersionSourceRow.sop_instance_uid)
    )
    return tuple(
        VersionSource(row.sop_instance_uid, row.series_instance_uid, row.dataset_sha256, row.reason)
        for row in rows
    )


def reported_studies(session: Session, study_instance_uids: Collection[str]) -> Mapping[str, str]:
    """Return the best standing of the reports of those studies that have any, by current version.

    "current" is a signed one in force, "preliminary" an unsigned one.
    """
    found: dict[str, str] = {}
    uids = list(study_instance_uids)
    for start in range(0, len(uids), _UIDS_PER_QUERY):
        wanted = EirVersionRow.study_instance_uid.in_(uids[start : start + _UIDS_PER_QUERY])
        rows = session.execute(
            select(EirVersionRow.study_instance_uid, EirVersionRow.reports).where(
                wanted, EirVersionRow.recipe == CLINICAL, EirVersionRow.superseded_at.is_(None)
            )
        )
        for uid, reports in rows:
            said = {standing for _, standing in reports or ()}
            for standing in ("preliminary", "current"):
                if standing in said:
                    found[uid] = standing
    return found


def is_up_to_date(version: Version | None, generation: int, inputs_sha256: str) -> bool:
    """Return whether nothing is to be rendered for this generation and these inputs."""
    if version is None:
        return False
    if version.generation > generation:
        return True
    return version.generation == generation and version.inputs_sha256 == inputs_sha256


def record_version(unit: UnitOfWork, draft: Draft, expected: str | None) -> bool:
    """Add the draft and supersede its predecessor in the caller's transaction.

    `expected` is the version that was current when the draft was begun, None for none. Returns
    False when the ledger already holds this version or a later generation: then nothing is written,
    so that a repeated event changes nothing.

    Raises:
        VersionOvertakenError: another version has come in between: read anew what is true.
    """
    session = unit.session
    current = _current_row(session, draft.study_instance_uid, draft.recipe)
    if current is not None:
        known = _version(session, current)
        if is_up_to_date(known, draft.generation, draft.inputs_sha256):
            return False
    if (current.version_id if current else None) != expected:
        raise VersionOvertakenError("another version of the study was recorded meanwhile")
    if current is not None:
        current.superseded_at = unit.clock.now()
        session.flush()  # the predecessor leaves the unique index before its successor enters
    session.add(_version_row(unit, draft))
    session.flush()
    session.add_all(_picture_rows(draft.version_id, draft.pictures))
    session.add_all(
        EirVersionSourceRow(version_id=draft.version_id, **vars(source)) for source in draft.sources
    )
    session.flush()
    return True


def supersede_all(unit: UnitOfWork, study_instance_uid: str) -> None:
    """Leave no version of the study in force; what was shown can still be found."""
    unit.session.execute(
        update(EirVersionRow)
        .where(
            EirVersionRow.study_instance_uid == study_instance_uid,
            EirVersionRow.superseded_at.is_(None),
        )
        .values(superseded_at=unit.clock.now())
    )


def has_versions(session: Session, study_instance_uid: str) -> bool:
    """Return whether the study has ever been rendered."""
    wanted = select(EirVersionRow.version_id).where(
        EirVersionRow.study_instance_uid == study_instance_uid
    )
    return session.scalars(wanted.limit(1)).first() is not None


def _version_row(unit: UnitOfWork, draft: Draft) -> EirVersionRow:
    return EirVersionRow(
        version_id=draft.version_id,
        study_instance_uid=draft.study_instance_uid,
        recipe=draft.recipe,
        recipe_version=draft.recipe_version,
        recipe_digest=draft.recipe_digest,
        renderer_version=draft.renderer_version,
        generation=draft.generation,
        inputs_sha256=draft.inputs_sha256,
        reason=draft.reason,
        source_count=len(draft.sources),
        skipped_count=sum(1 for source in draft.sources if source.reason),
        created_at=unit.clock.now(),
        superseded_at=None,
        selection=draft.selection,
        cause=draft.cause,
        cause_event_id=draft.cause_event_id,
        global_id=draft.global_id,
        reports=[list(one) for one in draft.reports],
        document_key=draft.document_key,
    )


def _picture_rows(
    version_id: str, pictures: Iterable[VersionPicture]
) -> Iterable[EirVersionPictureRow]:
    for ordinal, picture in enumerate(pictures):
        yield EirVersionPictureRow(
            picture_id=f"{version_id}-{ordinal:04d}",
            version_id=version_id,
            ordinal=ordinal,
            kind=picture.kind.value,
            **{name: getattr(picture, name) for name in _PICTURE_FIELDS},
        )


def _current_row(session: Session, study_instance_uid: str, recipe: str) -> EirVersionRow | None:
    return session.scalars(
        select(EirVersionRow).where(
            EirVersionRow.study_instance_uid == study_instance_uid,
            EirVersionRow.recipe == recipe,
            EirVersionRow.superseded_at.is_(None),
        )
    ).one_or_none()


def _version(session: Session, row: EirVersionRow) -> Version:
    pictures = session.scalars(
        select(EirVersionPictureRow)
        .where(EirVersionPictureRow.version_id == row.version_id)
        .order_by(EirVersionPictureRow.ordinal)
    )
    return Version(
        version_id=row.version_id,
        study_instance_uid=row.study_instance_uid,
        recipe=row.recipe,
        recipe_version=row.recipe_version,
        generation=row.generation,
        pictures=tuple(_picture(picture) for picture in pictures),
        created_at=row.created_at,
        renderer_version=row.renderer_version,
        inputs_sha256=row.inputs_sha256,
        reason=row.reason,
        source_count=row.source_count,
        skipped_count=row.skipped_count,
        superseded_at=row.superseded_at,
        recipe_digest=row.recipe_digest,
        selection=row.selection,
        cause=row.cause,
        global_id=row.global_id,
        reports=tuple((report_id, standing) for report_id, standing in row.reports or ()),
    )


def _picture(row: EirVersionPictureRow) -> VersionPicture:
    return VersionPicture(
        picture_id=row.picture_id,
        kind=PictureKind(row.kind),
        **{name: getattr(row, name) for name in _PICTURE_FIELDS},
    )
