"""An archived and a parked instance side by side: what agrees, what differs; pictures apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pydicom.datadict import keyword_for_tag

from hub_kernel.errors import HubError
from hub_kernel.identifiers import PatientIdentifier
from image_archive.model import TOLD, QuarantineReason, is_provisional
from image_archive.reading import VALUE_ERRORS, read_dataset, read_stored_header
from viewer_api.pages.language import day, moment, size_word
from viewer_api.pages.vocabulary import modality_word, sex_word
from viewer_api.pages.words import gettext
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from image_archive.conflicts import Parked
    from image_archive.file_meta import FileMeta
    from image_archive.header import InstanceHeader
    from patient_index.model import Person

_MOST_NAMED = 40
_LARGEST_COMPARED = 67_108_864
_PIXELS = 0x7FE00010


@dataclass(frozen=True)
class Row:
    """One field of both sides; `compared` where both could say something about it."""

    field: str
    first: str
    later: str
    compared: bool

    @property
    def tone(self) -> str:
        """How the row is shown: agrees, differs, near (one side is silent) or silent."""
        if not self.compared or not (self.first or self.later):
            return "silent"
        if not self.first or not self.later:
            return "near"
        return "agrees" if self.first == self.later else "differs"


@dataclass(frozen=True)
class SideBySide:
    """What the page shows; `first` is empty where nothing stands against the parked one."""

    rows: tuple[Row, ...]
    first_title: str
    differing: tuple[str, ...]
    more_differing: int
    same_pixels: bool | None
    unreadable: str
    told: str
    has_first_picture: bool
    has_later_picture: bool


Values = dict[str, str]


def side_by_side(one: Parked) -> SideBySide:
    """Lay a parked dataset beside what is archived, or known, under the same identifiers."""
    reason = one.record.reason
    later, unreadable = _parked_values(one)
    first = _FIRST[reason](one) if not unreadable else {}
    keys = list(dict.fromkeys([*later, *first]))
    differing, same_pixels = _elements(one) if first and not unreadable else ((), None)
    return SideBySide(
        rows=tuple(_row(key, first, later) for key in keys),
        first_title=_title(reason) if first else "",
        differing=differing[:_MOST_NAMED],
        more_differing=max(0, len(differing) - _MOST_NAMED),
        same_pixels=same_pixels,
        unreadable=unreadable,
        told=f"0x{TOLD[reason]:04X}",
        has_first_picture=reason is QuarantineReason.CONFLICTING_INSTANCE and bool(first),
        has_later_picture=not unreadable,
    )


def _row(key: str, first: Values, later: Values) -> Row:
    return Row(key, first.get(key, ""), later.get(key, ""), key in first and key in later)


def _parked_values(one: Parked) -> tuple[Values, str]:
    record = one.record
    sent = {
        gettext("SHA-256 of the dataset"): record.dataset_sha256,
        gettext("Size"): size_word(record.dataset_bytes),
        gettext("Transfer syntax"): record.transfer_syntax_uid,
        gettext("Sent by"): f"{record.calling_ae_title} · {record.site_id}",
        gettext("Received"): moment(record.received_at),
    }
    try:
        with services().archive.backend.open(record.storage_key) as stream:
            _, header = read_stored_header(stream)
    except HubError as broken:
        return sent, record.detail or str(broken)
    return _header_values(header) | sent, ""


def _archived_instance(one: Parked) -> Values:
    uid = one.record.sop_instance_uid
    live = services().index.instance(uid)
    if live is None:
        return {}
    try:
        with services().archive.open_instance(uid) as stream:
            meta, header = read_stored_header(stream)
    except HubError:
        return {}
    return _header_values(header) | {
        gettext("SHA-256 of the dataset"): live.dataset_sha256,
        gettext("Size"): size_word(live.dataset_bytes),
        gettext("Transfer syntax"): live.transfer_syntax_uid,
        gettext("Sent by"): _sender(meta),
        gettext("Received"): moment(live.received_at),
    }


def _archived_study(one: Parked) -> Values:
    uid = one.record.study_instance_uid
    instances = services().index.instances_of(uid)
    study = services().index.study(uid)
    if study is None or not instances:
        return {}
    return {
        gettext("Patient ID"): study.patient_id_as_sent,
        gettext("Name"): study.patient_name.display,
        gettext("Birth date"): day(study.patient_birth_date) if study.patient_birth_date else "",
        gettext("Sex"): sex_word(study.patient_sex),
        gettext("Study Instance UID"): study.study_instance_uid,
        gettext("Examined"): day(study.study_date) if study.study_date else "",
        gettext("Examination"): study.study_description,
        gettext("Accession number"): study.accession_number,
        gettext("Sent by"): study.site_id,
        gettext("Received"): moment(study.received_at),
    }


def _known_person(one: Parked) -> Values:
    person = _person(one)
    if person is None:
        return {}
    return {
        gettext("Patient ID"): one.record.patient_id,
        gettext("Name"): person.name.display,
        gettext("Birth date"): day(person.birth_date) if person.birth_date else "",
        gettext("Sex"): sex_word(person.sex),
    }


def _person(one: Parked) -> Person | None:
    record = one.record
    for site in services().sites.all():
        if site.assigning_authority.oid == record.issuer_oid:
            identifier = PatientIdentifier(record.patient_id, site.assigning_authority)
            if is_provisional(identifier):
                return None
            global_id = services().patients.resolve(identifier)
            return services().patients.person(global_id) if global_id else None
    return None


def _nothing(_one: Parked) -> Values:
    return {}


_FIRST = {
    QuarantineReason.CONFLICTING_INSTANCE: _archived_instance,
    QuarantineReason.CONFLICTING_STUDY: _archived_study,
    QuarantineReason.CONTRADICTING_PATIENT: _known_person,
    QuarantineReason.UNREADABLE: _nothing,
    QuarantineReason.UNKNOWN_SENDER: _nothing,
}


def _title(reason: QuarantineReason) -> str:
    if reason is QuarantineReason.CONTRADICTING_PATIENT:
        return gettext("Known under this number")
    return gettext("Archived")


def _header_values(header: InstanceHeader) -> Values:
    patient, study, series = header.patient, header.study, header.series
    pixels = f"{header.columns} × {header.rows}" if header.rows else ""
    return {
        gettext("Patient ID"): patient.patient_id,
        gettext("Name"): patient.name.display,
        gettext("Birth date"): day(patient.birth_date) if patient.birth_date else "",
        gettext("Sex"): sex_word(patient.sex),
        gettext("Study Instance UID"): study.study_instance_uid,
        gettext("Examined"): day(study.study_date) if study.study_date else "",
        gettext("Examination"): study.description,
        gettext("Accession number"): study.accession_number,
        gettext("Series Instance UID"): series.series_instance_uid,
        gettext("Modality"): modality_word(series.modality),
        gettext("Series"): series.description,
        gettext("SOP Instance UID"): header.sop_instance_uid,
        gettext("Image number"): str(header.instance_number or ""),
        gettext("Pixels"): pixels,
        gettext("Frames"): str(header.number_of_frames) if header.rows else "",
    }


def _sender(meta: FileMeta) -> str:
    return f"{meta.origin.calling_ae_title} · {meta.origin.site_id}" if meta.origin else ""


def _elements(one: Parked) -> tuple[tuple[str, ...], bool | None]:
    """Which attributes differ between two versions of one instance, and whether pixels do."""
    record = one.record
    if record.reason is not QuarantineReason.CONFLICTING_INSTANCE:
        return (), None
    small = record.dataset_bytes <= _LARGEST_COMPARED
    try:
        with services().archive.open_instance(record.sop_instance_uid) as stream:
            first = _dataset(stream, whole=small)
        with services().archive.backend.open(record.storage_key) as stream:
            later = _dataset(stream, whole=small)
    except VALUE_ERRORS:
        return (), None
    tags: Sequence[int] = sorted({int(tag) for tag in (*first.keys(), *later.keys())})
    names = [tag for tag in tags if _raw(first, tag) != _raw(later, tag)]
    same = _PIXELS not in names if small and _PIXELS in tags else None
    return tuple(
        keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in names
    ), same


def _dataset(stream: BinaryIO, *, whole: bool) -> Dataset:
    return read_dataset(stream, stop_before_pixels=not whole)


def _raw(dataset: Dataset, tag: int) -> object:
    return getattr(dataset.get_item(tag), "value", None)
