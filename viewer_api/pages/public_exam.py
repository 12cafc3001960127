"""What a shared link may show of an examination: an allow-list, for the page and for apps alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from access_control.model import Action, Purpose, Resource
from viewer_api.pages.acting import act_as
from viewer_api.pages.people import site_book
from viewer_api.pages.reports import public_reports
from viewer_api.pages.vocabulary import MODALITY_WORDS, known_body_part_word, modality_word
from viewer_api.pages.words import gettext
from viewer_api.security import permitted, record_access, require, study_resource
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from access_control.shared_links import LinkGrant
    from eir_versions.model import VersionPicture
    from image_archive.model import StudyRecord
    from viewer_api.pages.reports import PublicReport


@dataclass(frozen=True)
class PublicExam:
    """What a citizen reads: nothing else of the study reaches a page or an app.

    `modalities` are codes of the standard, never what a device made up. `changed_at` is when the
    public version was made, None while it is not ready.
    """

    what: str
    when: date | None
    where: str
    modalities: Sequence[str]
    changed_at: datetime | None
    pictures: Sequence[VersionPicture]
    reports: Sequence[PublicReport]

    @property
    def ready(self) -> bool:
        """Whether the public version has been made."""
        return self.changed_at is not None


def let_in(grant: LinkGrant, *, opening: bool = False) -> StudyRecord | None:
    """Return the study that `grant` opens, and go on as who holds the link; both are on record.

    None when the study is gone, is another person's than the link was made for, or its person
    refuses by now: such a link is as dead as a false one, whether it has been withdrawn or not.
    """
    # From here on the link asks, not whoever may be signed in at the same browser.
    act_as(grant.as_subject())
    study = services().index.study(grant.study_instance_uid)
    resource = Resource("study", grant.study_instance_uid)
    deed = "open_link" if opening else str(Action.VIEW_PUBLIC)
    dead = _why_dead(study, grant)
    if study is None or dead:
        record_access(deed, "refused", resource, detail=dead)
        return None
    if opening:
        record_access(deed, "success", resource)
    else:
        require(Action.VIEW_PUBLIC, study_resource(study), Purpose.PATIENT)
    return study


def _why_dead(study: StudyRecord | None, grant: LinkGrant) -> str:
    """Say why the link opens nothing any more; empty where it does."""
    if study is None:
        return "unknown"
    if (services().patients.resolve(study.patient) or "") != grant.global_id:
        return "another person's by now"
    if not permitted(Action.VIEW_PUBLIC, study_resource(study), Purpose.PATIENT):
        return "consent-refused"
    return ""


def exam_of(study: StudyRecord) -> PublicExam:
    """Return what the public version shows of `study`, in the asker's language."""
    version = services().eir.shown_version(study.study_instance_uid, "public")
    return PublicExam(
        what=exam_in_words(study),
        when=study.study_date,
        where=site_book().name(study.site_id),
        modalities=[code for code in study.modalities if code in MODALITY_WORDS],
        changed_at=version.created_at if version else None,
        pictures=version.key_pictures if version else (),
        reports=public_reports(study),
    )


def exam_in_words(study: StudyRecord) -> str:
    """Return which examination it was as laypeople say it, in the asker's language.

    Of codes that the hub knows alone: what a device made up may be anything, a name too.
    """
    known = [code for code in study.modalities if code in MODALITY_WORDS]
    kinds = list(dict.fromkeys(map(modality_word, known)))
    parts = list(filter(None, dict.fromkeys(map(known_body_part_word, study.body_parts))))
    words = " + ".join(kinds) or gettext("Examination")
    return f"{words} · {', '.join(parts)}" if parts else words
