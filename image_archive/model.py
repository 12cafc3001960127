"""The words of the archive: origin, receipt, and the records of study, series and instance."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Self

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName

PROVISIONAL_PREFIX = "NOID-"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


@dataclass(frozen=True)
class InstanceOrigin:
    """Where an instance came from, as admission established it.

    `issuer` is the assigning authority of the site's local patient IDs; `charset_habit` is the
    character set the site's devices really use, empty when they declare the truth.
    """

    site_id: str
    issuer: AssigningAuthority
    calling_ae_title: str
    called_ae_title: str
    source_address: str
    charset_habit: str = ""


@dataclass(frozen=True)
class IncomingHeader:
    """What the C-STORE command and the presentation context said of the dataset that follows."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    origin: InstanceOrigin


class StoreOutcome(StrEnum):
    """Both mean success: the bytes are durable and can be found."""

    STORED = "stored"
    ALREADY_STORED = "already_stored"


class StudyState(StrEnum):
    """Whether a study may still be growing."""

    RECEIVING = "receiving"
    COMPLETE = "complete"


class Condition(StrEnum):
    """What start-up and verification found of an instance's bytes.

    An instance that is missing or damaged is mended when the same dataset is sent again. One that
    was released had its bytes removed on purpose (`ArchiveService.release`); it is no fault.
    """

    INTACT = "intact"
    MISSING = "missing"
    DAMAGED = "damaged"
    RELEASED = "released"


class QuarantineReason(StrEnum):
    """Why bytes were kept without being shown."""

    CONFLICTING_INSTANCE = "conflicting_instance"
    CONFLICTING_STUDY = "conflicting_study"
    CONTRADICTING_PATIENT = "contradicting_patient"
    UNREADABLE = "unreadable"
    UNKNOWN_SENDER = "unknown_sender"


TOLD: Mapping[QuarantineReason, int] = {
    QuarantineReason.CONFLICTING_INSTANCE: 0x0111,
    QuarantineReason.CONFLICTING_STUDY: 0xC010,
    QuarantineReason.CONTRADICTING_PATIENT: 0xC012,
    QuarantineReason.UNREADABLE: 0xC000,
    QuarantineReason.UNKNOWN_SENDER: 0x0000,
}
"""The C-STORE status each sender was told when its bytes were kept apart; by Orthanc the last."""


@dataclass(frozen=True)
class Receipt:
    """What is known of one received dataset beside its own attributes."""

    origin: InstanceOrigin
    transfer_syntax_uid: str
    received_at: datetime
    dataset_sha256: str
    dataset_bytes: int
    storage_key: str


@dataclass(frozen=True)
class PatientRecord:
    """One patient of one issuer, as the latest of the matching studies describes them."""

    patient: PatientIdentifier
    patient_name: PersonName
    patient_birth_date: date | None
    patient_sex: str
    study_count: int
    series_count: int
    instance_count: int


@dataclass(frozen=True)
class StudyRecord:
    """One study. `modalities` and `body_parts` are those of its series, in order of arrival.

    Dates, names and texts are those of the first instance received. `study_time` is as sent (DICOM
    TM); `timezone_offset` is empty where none was. `generation` counts completions; it is 0 until
    the first. What was rejected (`image_archive.rejections`) is not counted.
    """

    study_instance_uid: str
    site_id: str
    patient: PatientIdentifier
    patient_name: PersonName
    patient_birth_date: date | None
    patient_sex: str
    other_patient_ids: tuple[str, ...]
    accession_number: str
    study_id: str
    study_date: date | None
    study_time: str
    study_description: str
    referring_physician_name: PersonName
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    series_count: int
    instance_count: int
    state: StudyState
    generation: int
    received_at: datetime
    last_received_at: datetime
    completed_at: datetime | None
    timezone_offset: str = ""

    @property
    def patient_id_as_sent(self) -> str:
        """The Patient ID of the dataset: empty where a provisional identity stands in for it."""
        return "" if is_provisional(self.patient) else self.patient.value


@dataclass(frozen=True)
class SeriesRecord:
    """One series; `series_number` is None where the dataset had none that is a number.

    What was rejected is not counted.
    """

    series_instance_uid: str
    study_instance_uid: str
    modality: str
    series_number: int | None
    series_description: str
    body_part_examined: str
    series_date: date | None
    series_time: str
    institution_name: str
    station_name: str
    instance_count: int
    received_at: datetime
    performed_start_date: date | None = None
    performed_start_time: str = ""
    scheduled_step_id: str = ""
    requested_procedure_id: str = ""


@dataclass(frozen=True)
class InstanceRecord:
    """One instance. `number_of_frames` is at least 1; `rows` and `columns` are 0 without pixels.

    `rejected` is the code of the note that took it back (PS3.16 CID 7011), empty as a rule.
    """

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    instance_number: int | None
    rows: int
    columns: int
    number_of_frames: int
    dataset_sha256: str
    dataset_bytes: int
    storage_key: str
    received_at: datetime
    condition: Condition
    bits_allocated: int = 0
    rejected: str = ""


@dataclass(frozen=True)
class QuarantineRecord:
    """Bytes kept apart for a person to decide about; `detail` holds no patient data."""

    reason: QuarantineReason
    sop_instance_uid: str
    study_instance_uid: str
    site_id: str
    calling_ae_title: str
    transfer_syntax_uid: str
    dataset_sha256: str
    dataset_bytes: int
    storage_key: str
    received_at: datetime
    detail: str
    issuer_oid: str = ""
    patient_id: str = ""

    @classmethod
    def of(
        cls, receipt: Receipt, reason: QuarantineReason, sop_instance_uid: str, **more: str
    ) -> Self:
        """Return the record of what `receipt` received; `more` are the fields named after it."""
        fields: dict[str, str] = {"study_instance_uid": "", "detail": ""} | more
        return cls(
            reason=reason,
            sop_instance_uid=sop_instance_uid,
            site_id=receipt.origin.site_id,
            calling_ae_title=receipt.origin.calling_ae_title,
            transfer_syntax_uid=receipt.transfer_syntax_uid,
            dataset_sha256=receipt.dataset_sha256,
            dataset_bytes=receipt.dataset_bytes,
            storage_key=receipt.storage_key,
            received_at=receipt.received_at,
            **fields,
        )

    @property
    def case_key(self) -> str:
        """What belongs together for whoever decides: one sender's study of one patient, one matter.

        What cannot be read is a case by itself.
        """
        alone = self.dataset_sha256 if self.reason is QuarantineReason.UNREADABLE else ""
        told = (self.reason, self.site_id, self.calling_ae_title, self.study_instance_uid)
        return hashlib.sha256(
            "\0".join((*told, self.issuer_oid, self.patient_id, alone)).encode()
        ).hexdigest()


@dataclass(frozen=True)
class BrokenInstance:
    """One instance whose bytes no longer are what was received."""

    sop_instance_uid: str
    storage_key: str
    condition: Condition


@dataclass(frozen=True)
class VerifyReport:
    """What re-hashing found; `broken` is empty when every promise is kept."""

    checked: int
    checked_bytes: int
    broken: tuple[BrokenInstance, ...]

    @property
    def ok(self) -> bool:
        """True when every instance still is what was received."""
        return not self.broken


@dataclass(frozen=True)
class ReconcileReport:
    """What start-up found and mended.

    `abandoned`: unpublished objects removed. `rebuilt`: rows made from bytes that had none.
    `superfluous`: second copies of a dataset removed. `missing`: instances without bytes.
    `unrecognised`: keys the archive cannot explain; they are left alone.
    """

    abandoned: int
    rebuilt: int
    superfluous: int
    missing: tuple[str, ...]
    unrecognised: tuple[str, ...]


def provisional_identifier(
    study_instance_uid: str, issuer: AssigningAuthority
) -> PatientIdentifier:
    """Return the identity of a patient whose dataset carries no Patient ID.

    It holds for this one study: two people without an ID must never become one. The UID is hashed,
    since prefix and UID together may exceed the 64 characters of a Patient ID.
    """
    digest = hashlib.sha256(study_instance_uid.encode()).hexdigest()[:40]
    return PatientIdentifier(f"{PROVISIONAL_PREFIX}{digest}", issuer)


def is_provisional(identifier: PatientIdentifier) -> bool:
    """Return whether `identifier` stands in for an empty Patient ID."""
    return identifier.value.startswith(PROVISIONAL_PREFIX)
