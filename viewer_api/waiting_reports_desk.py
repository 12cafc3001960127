"""What waits of reports: results without a study, documents nobody has signed; who may see which.

A registrar sees what concerns their sites alone. What a report says is for those who treat: here
stands what is needed to bring it where it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from access_control.model import Action, Purpose, Resource
from image_archive.query import IndexQuery, Level
from viewer_api.security import current_subject, permitted, require
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eir_versions.reports.ledger import WaitingReport
    from eir_versions.reports.model import ShownReport
    from image_archive.model import StudyRecord
    from image_archive.query import IndexMatch

_DOCUMENT = "sop:"


@dataclass(frozen=True)
class Unfinished:
    """A report of an examination that nobody has signed, or that could not be read."""

    shown: ShownReport
    study: StudyRecord


def require_desk() -> None:
    """End the request with 404 for whoever looks after no site's reports."""
    sites = current_subject().sites
    own = _everywhere() if sites is None else sites
    require(
        Action.REVIEW_IDENTITY,
        Resource("report", site_ids=own),
        Purpose.OPERATIONS,
        detail="waiting reports",
    )


def waiting() -> list[WaitingReport]:
    """Return the results without a study that concern the subject's sites, the oldest first.

    One of a sender without a site is for who has the whole region.
    """
    found = services().eir.reports.waiting()
    return [one for one in found if _concerns(one.site_ids or _everywhere())]


def unfinished() -> list[Unfinished]:
    """Return the unsigned and unreadable reports of studies of the subject's sites."""
    found = services().eir.reports.unfinished()
    studies = _studies({one.report.study_instance_uid for one in found})
    here = _documents(one.report.source_key for one in found)
    return [
        Unfinished(one, studies[uid])
        for one in found
        if (uid := one.report.study_instance_uid) in studies
        and _concerns(frozenset({studies[uid].site_id}))
        and (one.report.kind == "oru" or one.report.source_key in here)
    ]


def _concerns(site_ids: frozenset[str]) -> bool:
    resource = Resource("report", site_ids=site_ids)
    return permitted(Action.REVIEW_IDENTITY, resource, Purpose.OPERATIONS)


def _everywhere() -> frozenset[str]:
    return frozenset(site.site_id for site in services().sites.all())


def _studies(uids: Iterable[str]) -> dict[str, StudyRecord]:
    found = _found(Level.STUDY, "StudyInstanceUID", sorted(uids))
    return {one.study_instance_uid: one for one in (match.study for match in found) if one}


def _documents(source_keys: Iterable[str]) -> set[str]:
    """Return the sources that are documents which the archive still shows."""
    uids = sorted(key.removeprefix(_DOCUMENT) for key in source_keys if key.startswith(_DOCUMENT))
    found = _found(Level.INSTANCE, "SOPInstanceUID", uids)
    return {f"{_DOCUMENT}{match.instance.sop_instance_uid}" for match in found if match.instance}


def _found(level: Level, keyword: str, uids: list[str]) -> Sequence[IndexMatch]:
    """One query for them all; none for nothing, which would match everything."""
    if not uids:
        return ()
    return services().index.find(IndexQuery(level, {keyword: "\\".join(uids)})).matches
