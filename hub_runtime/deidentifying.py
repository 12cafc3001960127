"""De-identification, wired: who looks for text in pixels, and exports for research."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from access_control.audit_message import AuditEvent
from access_control.model import Action, Purpose, Resource, Subject
from access_control.policy import decide
from eir_versions.deidentification.boxes import Box
from eir_versions.deidentification.burned_in import FrameFacts
from eir_versions.deidentification.errors import DeidentificationError
from eir_versions.deidentification.exporting import (
    Exporter,
    ExportOrder,
    ExportParts,
    PixelCheck,
    StudyContents,
    StudyExport,
)
from eir_versions.deidentification.gate import Rules, TextGate
from eir_versions.deidentification.profile import Profile
from eir_versions.deidentification.pseudonyms import ProjectKey
from eir_versions.deidentification.text_finder import TextFinder
from eir_versions.recipes import PUBLIC, BurnedIn
from eir_versions.wire import InstanceFacts
from hub_kernel.errors import NotFoundError
from hub_runtime.foundation import Foundation
from hub_runtime.hub import Hub
from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord

_KEY = "deidentification"
_REMEMBERED_HEADERS = 8


def text_gate(base: Foundation) -> TextGate:
    """Return the gate for text in pixels; its child process starts with the first picture."""
    eir = base.settings.eir
    finder = TextFinder(eir.decode_memory_mb, eir.decode_timeout_s, wanted=eir.find_text)
    return TextGate(base.database, finder)


def order(hub: Hub, project: str, profile: Profile, folder: Path, by: Subject) -> ExportOrder:
    """Return an order for `project`, whose key follows from this hub's own.

    Raises:
        DeidentificationError: pixels are to be cleaned and there is no recogniser.
        InvalidValueError: the project has no usable name.
    """
    if profile.cleans_pixels and not hub.eir.burned_in.can_look:
        raise DeidentificationError(
            "clean-pixel-data needs the recogniser: pip install eirhub[burned-in]"
        )
    key = ProjectKey.derive(hub.base.keys.key(_KEY), project)
    return ExportOrder(key, profile, folder, by.subject_id)


def export(hub: Hub, study_uid: str, wanted: ExportOrder, by: Subject) -> StudyExport:
    """Export one study when `by` may; the export, or its refusal, is on record.

    Raises:
        NotFoundError: there is no such study, or `by` may not: the two are told alike.
    """
    study = hub.index.study(study_uid)
    allowed = (
        study is not None
        and decide(by, Action.DEIDENTIFY, _resource(hub, study), Purpose.RESEARCH).allowed
    )
    if study is None or not allowed:
        with hub.database.unit_of_work() as work:
            hub.access.audit.record(
                work.session, _event(by, study_uid, "refused", wanted.key.project)
            )
        raise NotFoundError(f"no study {study_uid} that may be exported")
    exporter = Exporter(
        ExportParts(
            hub.database, hub.archive.open_instance, hub.pool, _masks(hub, wanted), _person(hub)
        )
    )
    return exporter.export(
        _contents(hub, study), wanted, lambda session, done: _record(hub, session, by, study, done)
    )


def _contents(hub: Hub, study: StudyRecord) -> StudyContents:
    uid = study.study_instance_uid
    series = [
        (one, hub.index.instances_of(uid, one.series_instance_uid))
        for one in hub.index.series_of(uid)
    ]
    return StudyContents(study, series)


def _person(hub: Hub) -> Callable[[StudyRecord], str]:
    return lambda study: hub.patients.resolve(study.patient) or study.patient.cx


def _resource(hub: Hub, study: StudyRecord) -> Resource:
    global_id = hub.patients.resolve(study.patient)
    known = hub.patients.identifiers_of(global_id) if global_id else ()
    return Resource(
        "study",
        study.study_instance_uid,
        site_ids=frozenset({study.site_id}),
        origin_site_id=study.site_id,
        refusals=hub.access.consents.refusals(known or (study.patient,)),
    )


def _masks(hub: Hub, wanted: ExportOrder) -> PixelCheck:
    recipe = hub.eir.recipes.get(PUBLIC)
    exclusion = recipe.exclusion
    if exclusion is None:
        raise DeidentificationError("the public recipe does not say which kinds carry text")
    rules = Rules(exclusion, recipe.burned_in or BurnedIn())
    texts = hub.eir.texts

    @functools.lru_cache(maxsize=_REMEMBERED_HEADERS)
    def said(sop_instance_uid: str) -> InstanceFacts:
        with hub.archive.open_instance(sop_instance_uid) as stream:
            return hub.pool.facts(stream)

    def masks(
        study: StudyRecord, series: SeriesRecord, instance: InstanceRecord, number: int
    ) -> Sequence[Box]:
        facts = said(instance.sop_instance_uid)
        frame = FrameFacts(
            sop_instance_uid=instance.sop_instance_uid,
            frame_number=number,
            dataset_sha256=instance.dataset_sha256,
            study_instance_uid=study.study_instance_uid,
            site_id=study.site_id,
            modality=series.modality,
            sop_class_uid=instance.sop_class_uid,
            burned_in_annotation=facts.burned_in_annotation,
            rows=facts.rows,
            columns=facts.columns,
            regions=tuple(Box(*region) for region in facts.regions),
        )
        clean = wanted.profile.cleans_pixels
        return texts.export_masks(frame, rules, hub.eir.draw, clean=clean)

    return masks


def _record(hub: Hub, session: Session, by: Subject, study: StudyRecord, done: StudyExport) -> None:
    project = done.subject_id.rsplit("-", 1)[0]
    detail = f"{project}: {len(done.files)} images, content {done.content_sha256[:16]}"
    hub.access.audit.record(session, _event(by, study.study_instance_uid, "success", detail))


def _event(by: Subject, study_uid: str, outcome: str, detail: str) -> AuditEvent:
    return AuditEvent(
        action=str(Action.DEIDENTIFY),
        outcome="success" if outcome == "success" else "refused",
        subject=by,
        resource_kind="study",
        resource_id=study_uid,
        address="",
        detail=detail,
    )
