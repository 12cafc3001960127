"""Names of stored objects: made from dates and hashes, never from anything received as text.

Instances are filed by the day of receipt and by study: a study's instances lie together, a backup
copies new days only, and start-up compares only the days since the last one. The name is the hash
of the dataset itself, so two different datasets never share a name and equal ones always do.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

INSTANCES = "instances"
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class InstanceNames:
    """What DICOM tells one instance from all others by; `patient_id` as sent, perhaps empty."""

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def instance_key(received_at: datetime, names: InstanceNames, name: str) -> str:
    """Return where a dataset is kept; `name` ends with its SHA-256."""
    study = hashlib.sha256(names.study_instance_uid.encode()).hexdigest()[:32]
    return f"{INSTANCES}/{received_at:%Y/%m/%d}/{study}/{name}"


def quarantine_key(dataset_sha256: str) -> str:
    """Return where a dataset is kept that contradicts the archive or cannot be read."""
    return f"{QUARANTINE}/{dataset_sha256[:2]}/{dataset_sha256}"


def day_prefixes(first: date, last: date) -> Iterator[str]:
    """Yield the folders of the instances received from `first` to `last`, both included."""
    for days in range((last - first).days + 1):
        yield f"{INSTANCES}/{first + timedelta(days=days):%Y/%m/%d}"
