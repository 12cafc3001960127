"""From an address to the study, series and instance it names, when they may be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import abort, request

from access_control.model import Action, Resource
from image_archive.query import IndexQuery, Level
from viewer_api.security import public_root, refuse, require_study
from viewer_api.security.remembered import remembered
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord, StudyRecord


@dataclass(frozen=True)
class LocatedInstances:
    """What an address names: its study and the instances under it, in order."""

    study: StudyRecord
    instances: list[InstanceRecord]


def dicomweb_root() -> str:
    """Return the absolute address of the DICOMweb service, below where it is mounted."""
    return f"{public_root()}{request.root_path}/dicom-web"


def located(
    study_uid: str, series_uid: str | None = None, action: Action = Action.VIEW_DIAGNOSTIC
) -> LocatedInstances:
    """Return the instances of a study or series that the current subject may see.

    Ends the request with 404 when there is none or when it may not be seen; a series of another
    study is on record as refused against that one.
    """
    study = require_study(study_uid, action)
    instances = services().index.instances_of(study_uid, series_uid)
    if not instances:
        elsewhere = _study_of(series_uid) if series_uid else None
        if elsewhere is not None:
            refuse(action, Resource("study", elsewhere), detail="not at this address")
        abort(404)
    return LocatedInstances(study, list(instances))


def _study_of(series_uid: str) -> str | None:
    query = IndexQuery(Level.SERIES, {"SeriesInstanceUID": series_uid}, limit=1)
    found = services().index.find(query).matches
    return found[0].study.study_instance_uid if found and found[0].study else None


def located_instance(
    study_uid: str,
    series_uid: str,
    instance_uid: str,
    action: Action = Action.VIEW_DIAGNOSTIC,
) -> InstanceRecord:
    """Return the instance at this address when the current subject may see its study.

    An instance of another study or series is not at this address: 404.
    """
    require_study(study_uid, action)
    return _of_study(study_uid, instance_uid, series_uid, action)


def located_state(study_uid: str, state_uid: str, series_uid: str | None = None) -> InstanceRecord:
    """Return the presentation state that is named for a study which has been located.

    A state of another study, or none, ends the request with 404.
    """
    return _of_study(study_uid, state_uid, series_uid, Action.VIEW_CLINICAL)


def _of_study(
    study_uid: str, instance_uid: str, series_uid: str | None, action: Action
) -> InstanceRecord:
    """Return an instance of a study; one of another study is refused, on record against that one.

    Whoever may see one person's pictures learns nothing of another's.
    """
    instance = remembered(
        ("instance", instance_uid), lambda: services().index.instance(instance_uid), timeless=True
    )
    if instance is None:
        abort(404)
    if instance.study_instance_uid != study_uid:
        refuse(action, Resource("study", instance.study_instance_uid), detail="not at this address")
    if series_uid not in {None, instance.series_instance_uid}:
        abort(404)
    return instance
