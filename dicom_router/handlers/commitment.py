"""N-ACTION and N-EVENT-REPORT of the Storage Commitment Push Model (PS3.4 annex J, PS3.7 10.1).

Asked as SCP: the request is kept, then answered, and reported on later. Told as SCU: what a
destination says of what was forwarded to it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from dicom_router.answer import Answer
from dicom_router.association_audit import AssociationAudit
from dicom_router.commitment_desk import CommitmentDesk
from dicom_router.commitment_messages import (
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    CommitmentReport,
    decode_report,
    decode_request,
)
from dicom_router.dimse_receiver import BoundedBuffer, Message
from dicom_router.errors import UnreadableRequestError
from dicom_router.model import Caller
from dicom_router.statuses import (
    COMMITMENT_NOT_KEPT,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_OBJECT,
    NOT_AUTHORIZED,
    SUCCESS,
)

log = logging.getLogger(__name__)

HearReport = Callable[[str, CommitmentReport], None]
"""Called with the AE title of whoever reports, and what it says."""


@dataclass(frozen=True)
class CommitmentService:
    """Storage commitment in both roles; `hear` takes reports of those the hub has asked."""

    desk: CommitmentDesk
    audit: AssociationAudit
    hear: HearReport

    def asked(self, message: Message, caller: Caller) -> tuple[Answer, int | None]:
        """Take an N-ACTION-RQ; return the answer and, if it was taken, the row it is kept in.

        Success means that the request survives whatever happens to the hub.
        """
        if not caller.may_store:
            return NOT_AUTHORIZED, None
        if message.command.requested_sop_instance_uid != PUSH_MODEL_INSTANCE:
            return NO_SUCH_OBJECT, None
        if message.command.action_type_id != REQUEST_ACTION:
            return NO_SUCH_ACTION, None
        try:
            request = decode_request(_dataset(message), message.context.transfer_syntax)
            row_id = self.desk.take(caller, request)
        except UnreadableRequestError as error:
            log.info("storage commitment refused", extra={"reason": str(error)})
            return INVALID_ARGUMENT, None
        except SQLAlchemyError:
            log.exception("a storage commitment request could not be kept")
            return COMMITMENT_NOT_KEPT, None
        self.audit.asked_commitment(caller, len(request.references))
        return SUCCESS, row_id

    def told(self, message: Message, caller: Caller) -> Answer:
        """Take an N-EVENT-REPORT-RQ about something the hub has asked for."""
        try:
            report = decode_report(_dataset(message), message.context.transfer_syntax)
            self.hear(caller.calling_ae_title, report)
        except UnreadableRequestError:
            return INVALID_ARGUMENT
        except SQLAlchemyError:
            log.exception("a report on storage commitment could not be kept")
            return COMMITMENT_NOT_KEPT
        return SUCCESS


def _dataset(message: Message) -> bytes:
    return bytes(message.sink.data) if isinstance(message.sink, BoundedBuffer) else b""
