"""Make the demo's studies: real image files under invented patients, as the site's devices send.

The pixels and everything technical stay as they are in the file; who, when and which study is
replaced (PS3.3 C.7.1.1, C.7.2.1), in the character set that the site uses.
"""

import hashlib
import importlib.util
from pathlib import Path

import pydicom
from pydicom import Dataset

from hub_kernel.errors import ConfigurationError
from hub_runtime.demo.region import DemoStudy

_FOLDERS = (("pydicom", "data/test_files"), ("data_store", "data"))
_IDENTIFYING = (
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientBirthName",
    "PatientComments",
    "PatientMotherBirthName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "RequestingPhysician",
    "InstitutionAddress",
    "ReferencedStudySequence",
    "RequestAttributesSequence",
    "IssuerOfPatientID",
    "CodingSchemeIdentificationSequence",
)


def demo_instances(study: DemoStudy, charset: str, institution: str) -> list[Dataset]:
    """Return the instances of `study`, every file a series of its own.

    UIDs derive from the study's accession number, so that pushing the demo twice sends the same
    instances again.

    Raises:
        ConfigurationError: the sample files are not installed.
    """
    return [
        _instance(study, number, charset, institution) for number in range(1, len(study.files) + 1)
    ]


def demo_study_uid(study: DemoStudy) -> str:
    """Return the Study Instance UID of a demo study."""
    return _uid(study.accession)


def _instance(study: DemoStudy, number: int, charset: str, institution: str) -> Dataset:
    dataset = pydicom.dcmread(_sample(study.files[number - 1]))
    for keyword in _IDENTIFYING:
        if keyword in dataset:
            delattr(dataset, keyword)
    person = study.person
    day = study.study_date.strftime("%Y%m%d")
    time = f"{8 + number % 9:02d}{(number * 17) % 60:02d}00"
    replaced = {
        "SpecificCharacterSet": charset,
        "PatientName": person.name,
        "PatientID": person.local_ids[study.site_id],
        "PatientBirthDate": person.birth_date.strftime("%Y%m%d"),
        "PatientSex": person.sex,
        "StudyInstanceUID": _uid(study.accession),
        "SeriesInstanceUID": _uid(study.accession, number),
        "SOPInstanceUID": _uid(study.accession, number, 1),
        "StudyID": study.accession[-4:],
        "AccessionNumber": study.accession,
        "StudyDescription": study.description,
        "SeriesDescription": f"{study.description} {number}",
        "BodyPartExamined": study.body_part,
        "Modality": study.modality,
        "InstitutionName": institution,
        "SeriesNumber": number,
        "InstanceNumber": 1,
    }
    for keyword, value in replaced.items():
        setattr(dataset, keyword, value)
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, keyword, day)
    for keyword in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(dataset, keyword, time)
    dataset.OtherPatientIDsSequence = [_resident_id(person.resident_id)]
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _resident_id(number: str) -> Dataset:
    item = Dataset()
    item.PatientID = number
    item.TypeOfPatientID = "TEXT"
    item.IssuerOfPatientID = "GB11643"
    return item


def _sample(name: str) -> Path:
    for package, folder in _FOLDERS:
        found = importlib.util.find_spec(package)
        if found and found.origin:
            path = Path(found.origin).parent / folder / name
            if path.exists():
                return path
    raise ConfigurationError(f"sample image {name} is missing: pip install 'eirhub[demo]'")


def _uid(*parts: object) -> str:
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"
