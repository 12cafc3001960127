"""The datasets of the Storage Commitment Push Model: what is asked, what is reported (PS3.4 J.3).

N-ACTION action type 1 asks; N-EVENT-REPORT event type 1 says all is committed, 2 that some is not.
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_router.datasets import decode_dataset, encode_dataset
from dicom_router.errors import UnreadableRequestError
from dicom_router.presentation import STORAGE_COMMITMENT_PUSH_MODEL
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid
from image_archive.reading import VALUE_ERRORS

PUSH_MODEL = STORAGE_COMMITMENT_PUSH_MODEL
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1
ALL_COMMITTED = 1
SOME_FAILED = 2
MOST_REFERENCES = 100_000


@dataclass(frozen=True)
class SopReference:
    """One instance as commitment names it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class FailedReference:
    """One instance that is not committed, and the Failure Reason (PS3.3 C.14.1.1)."""

    reference: SopReference
    reason: int


@dataclass(frozen=True)
class CommitmentRequest:
    """What an N-ACTION-RQ asks for."""

    transaction_uid: str
    references: tuple[SopReference, ...]


@dataclass(frozen=True)
class CommitmentReport:
    """What an N-EVENT-REPORT-RQ says of a transaction."""

    transaction_uid: str
    committed: tuple[SopReference, ...]
    failed: tuple[FailedReference, ...]

    @property
    def event_type_id(self) -> int:
        """The event: 1 when all is committed, 2 when something is not."""
        return SOME_FAILED if self.failed else ALL_COMMITTED


def encode_request(request: CommitmentRequest, transfer_syntax_uid: str) -> bytes:
    """Return the dataset of an N-ACTION-RQ."""
    dataset = Dataset()
    dataset.TransactionUID = request.transaction_uid
    dataset.ReferencedSOPSequence = [_item(one) for one in request.references]
    return encode_dataset(dataset, transfer_syntax_uid)


def encode_report(report: CommitmentReport, transfer_syntax_uid: str, ae_title: str = "") -> bytes:
    """Return the dataset of an N-EVENT-REPORT-RQ; `ae_title` is where instances are retrieved."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if ae_title:
        dataset.RetrieveAETitle = ae_title
    if report.failed:
        dataset.FailedSOPSequence = [_failed_item(one) for one in report.failed]
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(one) for one in report.committed]
    return encode_dataset(dataset, transfer_syntax_uid)


def decode_request(data: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """Return what an N-ACTION-RQ asks for.

    Raises:
        UnreadableRequestError: it is not readable, names no transaction, nothing, or too much.
    """
    dataset = _decoded(data, transfer_syntax_uid)
    references = _references(dataset, "ReferencedSOPSequence")
    if not references:
        raise UnreadableRequestError("no instance is named")
    return CommitmentRequest(_uid(dataset, "TransactionUID"), references)


def decode_report(data: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """Return what an N-EVENT-REPORT-RQ says.

    Raises:
        UnreadableRequestError: it is not readable or names no transaction.
    """
    dataset = _decoded(data, transfer_syntax_uid)
    try:
        failed = tuple(
            FailedReference(_reference(item), int(item.get("FailureReason") or 0x0110))
            for item in dataset.get("FailedSOPSequence") or ()
        )
    except VALUE_ERRORS as error:
        raise UnreadableRequestError("the failed instances cannot be read") from error
    return CommitmentReport(
        _uid(dataset, "TransactionUID"), _references(dataset, "ReferencedSOPSequence"), failed
    )


def _references(dataset: Dataset, keyword: str) -> tuple[SopReference, ...]:
    try:
        items = dataset.get(keyword) or ()
        if len(items) > MOST_REFERENCES:
            raise UnreadableRequestError(f"more than {MOST_REFERENCES} instances are named")
        return tuple(_reference(item) for item in items)
    except VALUE_ERRORS as error:
        raise UnreadableRequestError("the instances named cannot be read") from error


def _reference(item: Dataset) -> SopReference:
    return SopReference(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))


def _uid(dataset: Dataset, keyword: str) -> str:
    try:
        return require_uid(str(dataset.get(keyword) or ""), keyword)
    except (InvalidUidError, *VALUE_ERRORS) as error:
        raise UnreadableRequestError(f"{keyword} is missing or no UID") from error


def _item(reference: SopReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def _failed_item(failed: FailedReference) -> Dataset:
    item = _item(failed.reference)
    item.FailureReason = failed.reason
    return item


def _decoded(data: bytes, transfer_syntax_uid: str) -> Dataset:
    try:
        return decode_dataset(data, transfer_syntax_uid)
    except VALUE_ERRORS as error:
        raise UnreadableRequestError("the dataset cannot be read") from error
