"""What a person reads of a medium without a viewer: INDEX.HTM and README.TXT (IHE RAD TF-3 4.47).

Both are in Chinese and English at once: nobody knows who opens the medium, or with what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import flask_babel  # type: ignore[import-untyped]  # it ships no types
from flask import render_template

from viewer_api.pages.public_exam import exam_in_words
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import StudyRecord
    from viewer_api.portable_media import Listing

_README = """\
本介质含一次检查的 DICOM 文件，由 DICOMDIR 文件列出，供受检者本人使用。请用 DICOM 阅片软件打开。
制作：{maker}（EIR Hub）。检查机构：{site}。
INDEX.HTM  说明页，用浏览器打开
DICOMDIR   目录
DICOM      {files} 个 DICOM 文件
本介质含个人健康信息，请妥善保管。

This medium holds one examination as DICOM files, listed by the file DICOMDIR.
It was made for the person who was examined. Open it with a DICOM viewer.
Made by: {maker_en} (EIR Hub). Examined at: {site_en}.
INDEX.HTM  what is here, for a browser
DICOMDIR   the directory
DICOM      {files} DICOM file(s)
It holds personal health information. Keep it safe.
"""
_MISSING = """
另有 {0} 个文件无法读取，未包含在本介质中，请咨询医院。
{0} file(s) of the examination cannot be read and are not on this medium; ask the hospital.
"""


@dataclass(frozen=True)
class SeriesFacts:
    """One series on the medium, as its row in the list of contents."""

    modality: str
    description: str
    files: int


@dataclass(frozen=True)
class MediumFacts:
    """What the texts say; where a name has no English form it is the same twice."""

    person: str
    day: str
    exam: str
    exam_en: str
    site: str
    site_en: str
    maker: str
    maker_en: str
    series: tuple[SeriesFacts, ...]
    missing: int


def texts_of(study: StudyRecord, found: Listing) -> dict[str, bytes]:
    """Return the text files of the medium of `study` by their names."""
    facts = _facts(study, found)
    page = render_template("medium_index.html", facts=facts)
    readme = _README.format(files=len(found.places), **vars(facts))
    readme += _MISSING.format(facts.missing) if facts.missing else ""
    return {
        "INDEX.HTM": page.encode(),
        "README.TXT": readme.replace("\n", "\r\n").encode(),
    }


def _facts(study: StudyRecord, found: Listing) -> MediumFacts:
    site = services().sites.get(study.site_id)
    hub = services().settings.hub
    words = {}
    for language in ("zh", "en"):
        with flask_babel.force_locale(language):
            words[language] = exam_in_words(study)
    return MediumFacts(
        person=study.patient_name.display,
        day=study.study_date.isoformat() if study.study_date else "",
        exam=words["zh"],
        exam_en=words["en"],
        site=site.name,
        site_en=site.name_en or site.name,
        maker=hub.name,
        maker_en=hub.name_en or hub.name,
        series=_series(study, found),
        missing=found.missing,
    )


def _series(study: StudyRecord, found: Listing) -> tuple[SeriesFacts, ...]:
    placed: dict[str, int] = {}
    for _, instance in found.places:
        placed[instance.series_instance_uid] = placed.get(instance.series_instance_uid, 0) + 1
    return tuple(
        SeriesFacts(one.modality, one.series_description, placed[one.series_instance_uid])
        for one in services().index.series_of(study.study_instance_uid)
        if one.series_instance_uid in placed
    )
