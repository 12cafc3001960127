"""The public version as one FHIR Bundle (R4): what a link's page shows, and nothing else.

The patient is nobody: no name, number, sex or birth date. No DICOM identifier is in it. What a
report says is what the page says of it, struck out words included.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from viewer_api.pages.words import gettext

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from eir_versions.model import VersionPicture
    from viewer_api.pages.public_exam import PublicExam
    from viewer_api.pages.reports import PublicReport

Resource = dict[str, Any]

_LOINC = "http://loinc.org"
_MODALITIES = "http://dicom.nema.org/resources/ontology/DCM"
_REDACTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "REDACTED",
}
_NO_PAYLOAD = {
    "system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type",
    "code": "none",
}
_PAGE = {"system": "https://smarthealthit.org", "code": "shl-interactive-experience"}
_DISCLAIMER = "软件提供的信息不作为医生诊断和治疗的依据"


@dataclass(frozen=True)
class LinkFacts:
    """Of the link itself: what tells its bundle apart, and where a person opens it until when."""

    link_id: str
    page: str
    ends_at: datetime


def public_bundle(
    exam: PublicExam, pictures: Sequence[tuple[VersionPicture, bytes]], link: LinkFacts
) -> Resource:
    """Return the examination with its pictures inside; the same link names its parts alike."""
    names = _Names(link.link_id)
    patient, study = names.of("patient"), names.of("study")
    entries = [
        (patient, {"resourceType": "Patient", "meta": {"security": [_REDACTED]}}),
        (study, _study(exam, patient)),
        *(
            (names.of(f"report {number}"), _report(one, exam, (patient, study)))
            for number, one in enumerate(exam.reports)
        ),
        *(
            (names.of(f"picture {one.picture_id}"), _picture(number, one, data, (patient, study)))
            for number, (one, data) in enumerate(pictures, start=1)
        ),
        (names.of("page"), _page(link)),
    ]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        **({"timestamp": _instant(exam.changed_at)} if exam.changed_at else {}),
        "entry": [{"fullUrl": name, "resource": resource} for name, resource in entries],
    }


@dataclass(frozen=True)
class _Names:
    """Names the parts of one link's bundle, always alike and telling nothing."""

    link_id: str

    def of(self, part: str) -> str:
        return uuid.uuid5(uuid.UUID(self.link_id), part).urn


def _study(exam: PublicExam, patient: str) -> Resource:
    return {
        "resourceType": "ImagingStudy",
        "status": "available" if exam.ready else "registered",
        **_filled("modality", [{"system": _MODALITIES, "code": one} for one in exam.modalities]),
        "subject": {"reference": patient},
        **({"started": exam.when.isoformat()} if exam.when else {}),
        **({"location": {"display": exam.where}} if exam.where else {}),
        "note": [{"text": "\n".join(_notices())}],
        "description": exam.what,
    }


def _report(report: PublicReport, exam: PublicExam, about: tuple[str, str]) -> Resource:
    patient, study = about
    said = "\n".join(_lines(report)) or gettext(
        "The signed report is a document with your name on it, so it is not shown by a link. "
        "Ask the hospital for it."
    )
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {
            "coding": [{"system": _LOINC, "code": "18748-4"}],
            "text": report.title or gettext("Report"),
        },
        "subject": {"reference": patient},
        **({"effectiveDateTime": exam.when.isoformat()} if exam.when else {}),
        "issued": _instant(report.at),
        "imagingStudy": [{"reference": study}],
        "conclusion": said,
    }


def _lines(report: PublicReport) -> Iterator[str]:
    for line, text in report.lines:
        name = line.name.strip()
        yield name if line.heading else f"{name} {text}".strip()


def _picture(number: int, picture: VersionPicture, data: bytes, about: tuple[str, str]) -> Resource:
    patient, study = about
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": _LOINC, "code": "18748-4"}]},
        "subject": {"reference": patient},
        "description": gettext("Picture %(number)d of your examination", number=number),
        "content": [
            {
                "attachment": {
                    "contentType": picture.media_type,
                    "data": base64.b64encode(data).decode("ascii"),
                    "size": len(data),
                    "hash": base64.b64encode(hashlib.sha1(data).digest()).decode("ascii"),  # noqa: S324  # FHIR prescribes SHA-1
                    "title": gettext("Picture %(number)d of your examination", number=number),
                }
            }
        ],
        "context": {"related": [{"reference": study}]},
    }


def _page(link: LinkFacts) -> Resource:
    """Where a person sees the same in a browser, passcode asked again (SMART Health Links)."""
    return {
        "resourceType": "Endpoint",
        "status": "active",
        "connectionType": _PAGE,
        "name": gettext("Your examination"),
        "period": {"end": _instant(link.ends_at)},
        "payloadType": [{"coding": [_NO_PAYLOAD]}],
        "address": link.page,
    }


def _notices() -> Iterator[str]:
    yield _DISCLAIMER
    translated = gettext(
        "What this software shows is not a basis for diagnosis or treatment by a doctor."
    )
    if translated != _DISCLAIMER:
        yield translated


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _filled(name: str, values: list[Resource]) -> Resource:
    return {name: values} if values else {}
