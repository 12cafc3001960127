"""The FHIR manifest of a study: a document Bundle around its ImagingStudy (MADO 1.2, 4.1).

Pure: the same request gives the same bytes and the same identifiers, so that building twice is
building once. Its identifier is its own: a registry lets no two documents share one, so the Key
Object Selection it transforms is named in `Composition.relatesTo` instead.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.primitives import tidied
from xds_registry.mado.studies import StudyContents, StudyLinks, StudyWriter, patient, wado_endpoint
from xds_registry.manifest import ManifestSource, manifest_uid, manifest_uuid
from xds_registry.mhd.codes import OID_PREFIX, URIS, concept

_PROFILES = "https://profiles.ihe.net/RAD/MADO/StructureDefinition"
_DEVICE_TYPES = "https://profiles.ihe.net/RAD/MADO/CodeSystem/MadoDeviceType"
_XHTML = "http://www.w3.org/1999/xhtml"


@dataclass(frozen=True)
class ManifestFrame:
    """What surrounds the study: which generation, which KOS it is beside, when and by whom.

    `content_at` is aware; the document shows it in its own offset.
    """

    generation: int
    kos_uid: str
    content_at: datetime
    institution: str
    source: ManifestSource


@dataclass(frozen=True)
class FhirManifest:
    """A FHIR manifest as a document; `unique_id` is its identifier as an OID."""

    unique_id: str
    data: bytes


def build_fhir_manifest(
    contents: StudyContents, frame: ManifestFrame, writer: StudyWriter
) -> FhirManifest:
    """Return the manifest of this generation of the study, as FHIR JSON in UTF-8."""
    uid = contents.study.study_instance_uid
    repository = frame.source.repository_unique_id
    unique_id = manifest_uid(repository, uid, f"fhir-manifest/{frame.generation}")
    bundle = {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{_PROFILES}/MadoFhirBundle"]},
        "identifier": {"system": URIS, "value": OID_PREFIX + unique_id},
        "type": "document",
        "timestamp": frame.content_at.isoformat(timespec="milliseconds"),
        "entry": [
            {"fullUrl": url, "resource": {**resource, "id": url.rpartition(":")[2]}}
            for url, resource in _resources(contents, frame, writer, unique_id)
        ],
    }
    text = json.dumps(tidied(bundle), ensure_ascii=False, separators=(",", ":"))
    return FhirManifest(unique_id, text.encode())


def _resources(
    contents: StudyContents, frame: ManifestFrame, writer: StudyWriter, unique_id: str
) -> Iterator[tuple[str, Resource]]:
    """Yield every resource with its fullUrl; the Composition first, as a document must."""
    urls = _Urls(frame.source.repository_unique_id, contents.study.study_instance_uid, frame)
    links = StudyLinks(
        {"reference": urls.of("patient"), "type": "Patient"},
        {"reference": urls.of("endpoint"), "type": "Endpoint"},
    )
    yield urls.of("composition"), _composition(contents, frame, writer, urls, unique_id)
    yield urls.of("study"), writer.imaging_study(contents, links)
    yield urls.of("patient"), patient(contents.study)
    source = frame.source
    yield urls.of("endpoint"), wado_endpoint(source.dicomweb_url, source.repository_unique_id)
    yield urls.of("device"), _device(urls)
    yield urls.of("organization"), _organization(frame)


@dataclass(frozen=True)
class _Urls:
    """The fullUrls of one manifest: UUIDs that are always the same for the same content."""

    repository_unique_id: str
    study_instance_uid: str
    frame: ManifestFrame

    def of(self, what: str) -> str:
        name = f"fhir-manifest/{self.frame.generation}/{what}"
        found: uuid.UUID = manifest_uuid(self.repository_unique_id, self.study_instance_uid, name)
        return f"urn:uuid:{found}"


def _composition(
    contents: StudyContents,
    frame: ManifestFrame,
    writer: StudyWriter,
    urls: _Urls,
    unique_id: str,
) -> Resource:
    study = contents.study
    type_code = writer.domain.manifest.type_code
    kos = {"system": URIS, "value": OID_PREFIX + frame.kos_uid}
    return {
        "resourceType": "Composition",
        "meta": {"profile": [f"{_PROFILES}/MadoComposition"]},
        "text": _narrative(_summary(contents, frame)),
        "identifier": {"system": URIS, "value": OID_PREFIX + unique_id},
        "status": "final",
        "type": concept(type_code),
        "category": [concept(writer.domain.manifest.class_code)],
        "subject": {"reference": urls.of("patient")},
        "date": frame.content_at.isoformat(timespec="seconds"),
        "author": [{"reference": urls.of("organization")}, {"reference": urls.of("device")}],
        "title": study.study_description.strip() or type_code.display,
        "custodian": {"reference": urls.of("organization")},
        "relatesTo": [{"code": "transforms", "targetIdentifier": kos}],
        "event": [{"detail": [{"reference": urls.of("study")}]}],
        "section": [
            {
                "title": series.series_description.strip() or series.modality or "OT",
                "text": _narrative(
                    [
                        ("Series Instance UID", series.series_instance_uid),
                        ("Modality", series.modality),
                        ("Instances", str(len(instances))),
                    ]
                ),
            }
            for series, instances in contents.series
        ],
    }


def _summary(contents: StudyContents, frame: ManifestFrame) -> list[tuple[str, str]]:
    study = contents.study
    return [
        ("Study Instance UID", study.study_instance_uid),
        ("Study", study.study_description),
        ("Study Date", study.study_date.isoformat() if study.study_date else ""),
        ("Accession Number", study.accession_number),
        ("Modality", ", ".join(study.modalities)),
        ("Institution", frame.institution),
        ("Series", str(len(contents.series))),
        ("Created", frame.content_at.isoformat(timespec="seconds")),
    ]


def _narrative(rows: list[tuple[str, str]]) -> Resource:
    """Return the rows as a table; what devices sent is text in it and nothing else."""
    cells = "".join(
        f"<tr><td><b>{escape(name)}</b></td><td>{escape(_legible(value))}</td></tr>"
        for name, value in rows
        if value.strip()
    )
    div = f'<div xmlns="{_XHTML}"><table><tbody>{cells}</tbody></table></div>'
    return {"status": "generated", "div": div}


def _legible(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


def _device(urls: _Urls) -> Resource:
    return {
        "resourceType": "Device",
        "meta": {"profile": [f"{_PROFILES}/MadoCreator"]},
        "manufacturer": "EIR Hub",
        "type": {
            "coding": [{"system": _DEVICE_TYPES, "code": "mado-creator", "display": "MADO Creator"}]
        },
        "owner": {"reference": urls.of("organization")},
    }


def _organization(frame: ManifestFrame) -> Resource:
    return {
        "resourceType": "Organization",
        "meta": {"profile": [f"{_PROFILES}/MadoCreatorOrganization"]},
        "identifier": [{"system": URIS, "value": OID_PREFIX + frame.source.repository_unique_id}],
        "name": frame.institution or "EIR Hub",
    }
