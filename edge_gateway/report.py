"""Reports in JSON: what an edge says of itself and holds, and what the hub answers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from edge_gateway.errors import BadRequestError
from edge_gateway.model import (
    Difference,
    DifferenceKind,
    EdgeFigures,
    HeldInstance,
    StudyProgress,
)
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid

MOST_INSTANCES = 2000
MOST_PROVED = 100
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_WORD = 64


def figures_body(figures: EdgeFigures) -> dict[str, Any]:
    """Return the figures as JSON."""
    return {name: _plain(value) for name, value in asdict(figures).items()}


def read_figures(told: Mapping[str, Any]) -> EdgeFigures:
    """Return the figures in a report.

    Raises:
        BadRequestError: a figure is not what its place allows.
    """
    figures = told.get("figures")
    if not isinstance(figures, dict):
        raise BadRequestError("figures: missing")
    return EdgeFigures(
        waiting=_count(figures, "waiting"),
        waiting_bytes=_count(figures, "waiting_bytes"),
        oldest_waiting_at=_moment(figures, "oldest_waiting_at"),
        parked=_count(figures, "parked"),
        free_bytes=_count(figures, "free_bytes"),
        total_bytes=_count(figures, "total_bytes"),
        reason=_word(figures, "reason"),
        version=_word(figures, "version"),
    )


def held_instances_body(instances: Iterable[HeldInstance]) -> list[dict[str, Any]]:
    """Return instances as JSON."""
    return [
        {name: _plain(value) for name, value in asdict(instance).items()} for instance in instances
    ]


def read_held_instances(told: Mapping[str, Any]) -> list[HeldInstance]:
    """Return the instances in a report or in a page of inventory.

    Raises:
        BadRequestError: too many, or one is not what it should be.
    """
    rows = told.get("instances", [])
    if not isinstance(rows, list) or len(rows) > MOST_INSTANCES:
        raise BadRequestError(f"instances: a list of at most {MOST_INSTANCES}")
    return [_held(row) for row in rows]


def progress_body(progress: StudyProgress) -> dict[str, Any]:
    """Return how far a study is as JSON."""
    return {name: _plain(value) for name, value in asdict(progress).items()}


def read_progress(row: Mapping[str, Any]) -> StudyProgress:
    """Return how far the hub says a study is.

    Raises:
        BadRequestError: it says something else.
    """
    return StudyProgress(
        study_instance_uid=_uid(row, "study_instance_uid"),
        site_id=_word(row, "site_id"),
        instances=_count(row, "instances"),
        damaged=_count(row, "damaged"),
        complete=row.get("complete") is True,
        completed_at=_moment(row, "completed_at"),
        registered=row.get("registered") is True,
        rendered=row.get("rendered") is True,
    )


def difference_body(difference: Difference) -> dict[str, str]:
    """Return a difference as JSON."""
    return {
        "kind": difference.kind.value,
        "study_instance_uid": difference.study_instance_uid,
        "sop_instance_uid": difference.sop_instance_uid,
    }


def read_difference(row: Mapping[str, Any]) -> Difference:
    """Return a difference the hub named.

    Raises:
        BadRequestError: it is none.
    """
    try:
        kind = DifferenceKind(str(row.get("kind")))
    except ValueError as error:
        raise BadRequestError("kind: unknown; the hub is newer than this edge") from error
    sop = row.get("sop_instance_uid") or ""
    return Difference(kind, _uid(row, "study_instance_uid"), str(sop)[:64])


def _held(row: Any) -> HeldInstance:
    if not isinstance(row, dict):
        raise BadRequestError("instances: objects are needed")
    digest, received_at = str(row.get("dataset_sha256")), _moment(row, "received_at")
    if not _DIGEST.fullmatch(digest) or received_at is None:
        raise BadRequestError("instances: dataset_sha256 and received_at are needed")
    return HeldInstance(
        sop_instance_uid=_uid(row, "sop_instance_uid"),
        study_instance_uid=_uid(row, "study_instance_uid"),
        dataset_sha256=digest,
        dataset_bytes=_count(row, "dataset_bytes"),
        received_at=received_at,
    )


def _uid(row: Mapping[str, Any], name: str) -> str:
    try:
        return require_uid(str(row.get(name, "")), name)
    except InvalidUidError as error:
        raise BadRequestError(str(error)) from error


def _count(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise BadRequestError(f"{name}: a number from 0 is needed")
    return value


def _word(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str) or len(value) > _LONGEST_WORD or not value.isprintable():
        raise BadRequestError(f"{name}: a short text is needed")
    return value


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise BadRequestError(f"{name}: a time is needed") from error
    if moment.tzinfo is None:
        raise BadRequestError(f"{name}: a time with its zone is needed")
    return moment


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
