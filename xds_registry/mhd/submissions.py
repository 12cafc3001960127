"""What was read from FHIR goes in as a submission does: ITI-41, all of it or nothing.

MHD 2:3.65.4.1.3.1. The documents are durable before the transaction begins, the audit records are
part of it, and what is refused waits at the desk of refused submissions.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lxml import etree

from access_control.model import Subject
from hub_kernel.fhir.outcome import FhirRefusedError, Issue
from image_archive.backend import ArchiveBackend
from xds_registry import vocabulary as v
from xds_registry.ebrim import leaf_class
from xds_registry.ebrim_reading import SUBMIT_OBJECTS_TAG
from xds_registry.mhd.places import Place
from xds_registry.mhd.refusals import refused
from xds_registry.model import Submission
from xds_registry.mtom_reading import TooLargeError
from xds_registry.received_parts import ReceivedPart, Reception
from xds_registry.transacting import Answer, Asked, Transaction, Transactor
from xds_registry.transactions import iti41_provide_and_register_document_set as iti41
from xds_registry.validation_structure import described, objects_of

_DECODED_AT_ONCE = 256 * 1024  # characters of base64: a multiple of four


@dataclass(frozen=True)
class SubmissionParts:
    """What submissions go in by; `most_bytes` bounds the documents of one request.

    `provide` is the row of ITI-41: whatever that does with a submission is done here too.
    """

    transactor: Transactor
    provide: Transaction
    backend: ArchiveBackend
    most_bytes: int


@dataclass(frozen=True)
class Submitted:
    """One submission as it was read; `documents` are base64 by the entryUUID of their entry."""

    submission: Submission
    documents: Mapping[str, str]
    places: Mapping[str, Place]


class Submissions:
    """Registers what was submitted over FHIR."""

    def __init__(self, parts: SubmissionParts) -> None:
        self._parts = parts

    def submit(self, submitted: Submitted, code: str, subject: Subject, address: str) -> None:
        """Store the documents and register the submission; durable on return.

        `code` is what IHE calls the transaction.

        Raises:
            FhirRefusedError: everything the repository and the registry refuse of it.
        """
        try:
            with Reception(self._parts.backend, self._parts.most_bytes) as reception:
                received = dict(_received(reception, submitted))
                asked = Asked(_request(submitted.submission, received), subject, address, received)
                answer = self._carried_out(
                    replace(self._parts.provide, code=code), asked, reception
                )
        except TooLargeError as error:
            raise FhirRefusedError(413, _too_large(self._parts.most_bytes)) from error
        if answer.refusals:
            raise refused(answer.refusals, _places(submitted))

    def _carried_out(self, transaction: Transaction, asked: Asked, reception: Reception) -> Answer:
        if reception.failure is not None:
            transactor = self._parts.transactor
            return transactor.refuse_for_want_of_room(transaction, asked, reception.failure)
        return self._parts.transactor.carry_out(transaction, asked)


def _places(submitted: Submitted) -> dict[str, Place]:
    """Return where each object was sent, by its entryUUID and by its uniqueId."""
    places = submitted.places
    by_unique_id = {
        one.unique_id: Place(places[one.entry_uuid].of("unique_id"), {})
        for one in described(submitted.submission)
        if one.entry_uuid in places
    }
    return {**by_unique_id, **places}


def _received(reception: Reception, submitted: Submitted) -> Iterator[tuple[str, ReceivedPart]]:
    """Yield each document, spooled, by the content id that the request names it by."""
    media_types = {one.entry_uuid: one.mime_type for one in submitted.submission.entries}
    for entry_uuid, data in submitted.documents.items():
        yield _content_id(entry_uuid), reception.keep(media_types[entry_uuid], _decoded(data))


def _decoded(data: str) -> Iterator[bytes]:
    for start in range(0, len(data), _DECODED_AT_ONCE):
        yield base64.b64decode(data[start : start + _DECODED_AT_ONCE])


def _request(submission: Submission, received: Mapping[str, ReceivedPart]) -> etree._Element:
    """Return the submission as a ProvideAndRegisterDocumentSetRequest, for the desk to show."""
    request = etree.Element(iti41.REQUEST_TAG, nsmap={"xdsb": v.XDS_B, "rim": v.RIM, "lcm": v.LCM})
    submit = etree.SubElement(request, SUBMIT_OBJECTS_TAG)
    objects = etree.SubElement(submit, f"{{{v.RIM}}}RegistryObjectList")
    objects.extend(leaf_class(one) for one in objects_of(submission))
    for entry in submission.entries:
        if _content_id(entry.entry_uuid) in received:
            document = etree.SubElement(request, f"{{{v.XDS_B}}}Document", id=entry.entry_uuid)
            href = f"cid:{_content_id(entry.entry_uuid)}"
            etree.SubElement(document, f"{{{v.XOP}}}Include", href=href)
    return request


def _content_id(entry_uuid: str) -> str:
    return f"{entry_uuid.rpartition(':')[2]}@fhir"


def _too_large(most: int) -> Issue:
    return Issue(
        "too-long",
        "documents-too-large",
        "the documents of one request are too large",
        "单次请求的文档过大",
        where="Bundle",
        allowed=f"at most {most} bytes",
    )


def accepted_or(issues: Sequence[Issue]) -> None:
    """Let a submission pass that could be read without fault.

    Raises:
        FhirRefusedError: 422, everything that reading it found wrong.
    """
    if issues:
        raise FhirRefusedError(422, *dict.fromkeys(issues))
