"""A study as FHIR has it: ImagingStudy, its patient, where to fetch it (FHIR R4 imagingstudy.html).

Written from the rows of the archive that the Key Object Selection manifest is written from. The
profiles are those of MADO 1.2 (IHE RAD, trial implementation, 2026).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from hub_kernel.fhir.outcome import Resource
from hub_kernel.fhir.primitives import tidied
from hub_kernel.person_names import PersonName
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord, StudyState
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.mhd.codes import (
    DCM,
    DICOM_UIDS,
    OID_PREFIX,
    URIS,
    coding,
    concept,
    cx_identifier,
    reference_identifier,
)
from xds_registry.model import Code, ReferenceId

_PROFILES = "https://profiles.ihe.net/RAD/MADO/StructureDefinition"
IMAGING_STUDY = f"{_PROFILES}/MadoImagingStudy"
WADO_ENDPOINT = f"{_PROFILES}/MadoWadoEndpoint"
PATIENT = f"{_PROFILES}/MadoPatient"
_REGION = f"{_PROFILES}/MadoAnatomicalRegionExtension"
_FRAMES = f"{_PROFILES}/MadoNumberOfFrames"
_LOCATION = f"{_PROFILES}/MadoRetrieveLocationUIDExtension"
_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_MEDIA_TYPES = (
    "application/dicom",
    "application/octet-stream",
    "application/dicom+xml",
    "application/json",
)

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?")
_GENDER = {"M": "male", "F": "female", "O": "other"}


@dataclass(frozen=True)
class StudyContents:
    """A study with its series and instances, in the order they are listed in."""

    study: StudyRecord
    series: tuple[tuple[SeriesRecord, tuple[InstanceRecord, ...]], ...]

    def only(self, sop_instance_uids: Collection[str]) -> "StudyContents":
        """Return the study with these of its instances, and the series that have any of them."""
        kept = (
            (series, tuple(one for one in listed if one.sop_instance_uid in sop_instance_uids))
            for series, listed in self.series
        )
        return StudyContents(self.study, tuple(one for one in kept if one[1]))


def study_contents(
    study: StudyRecord, index: ArchiveIndex, *, instances: bool = True
) -> StudyContents:
    """Return a study with its series and instances in acquisition order."""
    uid = study.study_instance_uid
    listed: dict[str, list[InstanceRecord]] = {}
    for instance in index.instances_of(uid) if instances else ():
        listed.setdefault(instance.series_instance_uid, []).append(instance)
    series = sorted(index.series_of(uid), key=_series_order)
    return StudyContents(
        study, tuple((one, tuple(listed.get(one.series_instance_uid, ()))) for one in series)
    )


@dataclass(frozen=True)
class StudyLinks:
    """What the resource refers to: the patient, and where instances are fetched."""

    subject: Resource
    endpoint: Resource


@dataclass(frozen=True)
class StudyWriter:
    """Writes studies with the region's codes and clock."""

    domain: AffinityDomain

    def imaging_study(
        self, contents: StudyContents, links: StudyLinks, *, instances: bool = True
    ) -> Resource:
        """Return the ImagingStudy; without `instances` it ends at the series and says so."""
        study = contents.study
        said: Resource = {
            "resourceType": "ImagingStudy",
            "id": study.study_instance_uid,
            "meta": {"profile": [IMAGING_STUDY]},
            "extension": [
                {"url": _REGION, "valueCodeableConcept": concept(code)}
                for code in self._regions(study)
            ],
            "identifier": [_study_identifier(study), *_accession(study)],
            "status": "available",
            "modality": [coding(self.domain.modality(one)) for one in study.modalities],
            "subject": links.subject,
            "started": self.started(study.study_date, study.study_time),
            "basedOn": [{"type": "ServiceRequest", "identifier": one} for one in _accession(study)],
            "referrer": {"display": study.referring_physician_name.display},
            "endpoint": [links.endpoint],
            "numberOfSeries": len(contents.series),
            "numberOfInstances": sum(len(listed) for _, listed in contents.series),
            "procedureCode": [self._procedure(study)],
            "description": study.study_description,
            "series": [
                self._series(series, listed if instances else (), len(listed), links)
                for series, listed in contents.series
            ],
        }
        if study.state is StudyState.RECEIVING:
            said["meta"]["tag"] = [_tag("INCOMPLETE", "still arriving")]
        if not instances:
            said["meta"].setdefault("tag", []).append(_SUBSETTED)
        written: Resource = tidied(said)
        return written

    def started(self, day: date | None, time_of_day: str) -> str:
        """Return a Study or Series Date and Time with the offset of the sites' clocks."""
        if day is None:
            return ""
        found = _TIME_OF_DAY.match(time_of_day)
        if found is None:
            return day.isoformat()
        hour, minute, second = (int(part or 0) for part in found.groups())
        return datetime.combine(day, time(hour, minute, second), self.domain.zone).isoformat()

    def _series(
        self, series: SeriesRecord, listed: Sequence[InstanceRecord], count: int, links: StudyLinks
    ) -> Resource:
        region = self.domain.body_part(series.body_part_examined)
        number = series.series_number
        return {
            "uid": series.series_instance_uid,
            "number": number if number is not None and number >= 0 else None,
            "modality": coding(self.domain.modality(series.modality or "OT")),
            "description": series.series_description,
            "numberOfInstances": count,
            "endpoint": [links.endpoint],
            "bodySite": coding(region) if region else None,
            "started": self.started(series.series_date, series.series_time),
            "instance": [_instance(one) for one in listed],
        }

    def _regions(self, study: StudyRecord) -> Iterator[Code]:
        regions = (self.domain.body_part(one) for one in study.body_parts)
        yield from dict.fromkeys(region for region in regions if region is not None)

    def _procedure(self, study: StudyRecord) -> Resource:
        """MADO wants a procedure that can be shown; devices send it as the description."""
        text = study.study_description.strip() or self.domain.manifest.type_code.display
        return {**concept(self.domain.manifest.type_code), "text": text}


def patient(study: StudyRecord) -> Resource:
    """Return the patient as the dataset describes them."""
    identifier = cx_identifier(study.patient.value, study.patient.issuer.oid, "usual")
    written: Resource = tidied(
        {
            "resourceType": "Patient",
            "meta": {"profile": [PATIENT]},
            "identifier": [identifier] if study.patient_id_as_sent else [],
            "name": list(_names(study.patient_name)),
            "gender": _GENDER.get(study.patient_sex, "unknown"),
            "birthDate": study.patient_birth_date.isoformat() if study.patient_birth_date else "",
        }
    )
    return written


def wado_endpoint(dicomweb_url: str, repository_unique_id: str) -> Resource:
    """Return the WADO-RS endpoint that every series of the hub is fetched from."""
    return {
        "resourceType": "Endpoint",
        "meta": {"profile": [WADO_ENDPOINT]},
        "extension": [{"url": _LOCATION, "valueString": repository_unique_id}],
        "status": "active",
        "connectionType": {
            "system": _CONNECTION,
            "code": "dicom-wado-rs",
            "display": "DICOM WADO-RS",
        },
        "payloadType": [{"text": "DICOM WADO-RS"}],
        "payloadMimeType": list(_MEDIA_TYPES),
        "address": dicomweb_url,
    }


def _study_identifier(study: StudyRecord) -> Resource:
    return {
        "type": {"coding": [{"system": DCM, "code": "110180", "display": "Study Instance UID"}]},
        "system": DICOM_UIDS,
        "value": OID_PREFIX + study.study_instance_uid,
    }


def _accession(study: StudyRecord) -> list[Resource]:
    number = study.accession_number.strip()
    if not number:
        return []
    return [reference_identifier(ReferenceId.accession(number, study.patient.issuer.oid))]


def _instance(instance: InstanceRecord) -> Resource:
    number = instance.instance_number
    frames = instance.number_of_frames
    return {
        "extension": [{"url": _FRAMES, "valueInteger": frames}] if frames > 1 else [],
        "uid": instance.sop_instance_uid,
        "sopClass": {"system": URIS, "code": OID_PREFIX + instance.sop_class_uid},
        "number": number if number is not None and number >= 0 else None,
    }


def _names(name: PersonName) -> Iterator[Resource]:
    """One HumanName for each script, as devices sent them (PS3.5 6.2.1)."""
    for code, group in (("IDE", name.ideographic), ("ABC", name.alphabetic)):
        family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
        if group.strip("^ "):
            yield {
                "extension": [{"url": _REPRESENTATION, "valueCode": code}],
                "use": "usual",
                "family": family,
                "given": [one for one in (given, middle) if one],
                "prefix": [prefix] if prefix else [],
                "suffix": [suffix] if suffix else [],
            }


def _series_order(series: SeriesRecord) -> tuple[int, str]:
    return series.series_number or 0, series.series_instance_uid


def _tag(code: str, display: str) -> Resource:
    return {"system": "urn:eirhub:fhir:study-state", "code": code, "display": display}


_SUBSETTED: Resource = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
