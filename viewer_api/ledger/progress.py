"""How far studies are at the hub: archived, complete, registered, rendered. One query for many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from edge_gateway.model import StudyProgress
from eir_versions.tables import EirVersionRow
from image_archive.model import Condition, StudyState
from image_archive.tables import INSTANCE, SERIES, STUDY
from xds_registry.tables import StudyManifestRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

RECIPE = "clinical"
"""The version that makes a study seen on the wards."""

REGISTERED: ColumnElement[bool] = (
    select(StudyManifestRow.unique_id)
    .where(
        StudyManifestRow.study_instance_uid == STUDY.c.study_instance_uid,
        StudyManifestRow.generation == STUDY.c.generation,
    )
    .exists()
)
"""The manifest of the study's latest completion is in the registry."""

RENDERED: ColumnElement[bool] = (
    select(EirVersionRow.version_id)
    .where(
        EirVersionRow.study_instance_uid == STUDY.c.study_instance_uid,
        EirVersionRow.recipe == RECIPE,
        EirVersionRow.generation == STUDY.c.generation,
        EirVersionRow.superseded_at.is_(None),
    )
    .exists()
)
"""The version for the wards is made of the study's latest completion."""

DAMAGED = (
    select(func.count())
    .select_from(SERIES.join(INSTANCE, INSTANCE.c.series_row_id == SERIES.c.id))
    .where(
        SERIES.c.study_row_id == STUDY.c.id,
        INSTANCE.c.condition.in_([Condition.MISSING.value, Condition.DAMAGED.value]),
    )
    .scalar_subquery()
)
"""How many of the study's instances no longer are what was received."""


def progress_of(session: Session, study_uids: Collection[str]) -> list[StudyProgress]:
    """Return how far those of the studies are that the hub knows."""
    rows = session.execute(
        select(
            STUDY.c.study_instance_uid,
            STUDY.c.site_id,
            STUDY.c.instance_count,
            STUDY.c.state,
            STUDY.c.completed_at,
            DAMAGED.label("damaged"),
            and_(STUDY.c.generation > 0, REGISTERED).label("registered"),
            and_(STUDY.c.generation > 0, RENDERED).label("rendered"),
        )
        .where(STUDY.c.study_instance_uid.in_(study_uids))
        .order_by(STUDY.c.id)
    )
    return [
        StudyProgress(
            study_instance_uid=row.study_instance_uid,
            site_id=row.site_id,
            instances=row.instance_count,
            damaged=row.damaged,
            complete=row.state == StudyState.COMPLETE.value,
            completed_at=row.completed_at,
            registered=bool(row.registered),
            rendered=bool(row.rendered),
        )
        for row in rows
    ]
