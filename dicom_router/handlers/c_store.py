"""C-STORE SCP: take one instance in as it arrives, answer once it is safe (PS3.4 annex B).

0x0000 means durable: the sender may delete its own copy on that answer. Queries of this hub wait
for what was answered so, and nothing else stands between the answer and being found.
"""

import logging
from dataclasses import dataclass

from access_control.usage import SiteUsage
from dicom_router.answer import Answer
from dicom_router.commands import Command
from dicom_router.errors import InstanceTooLargeError
from dicom_router.model import Caller, Tally
from dicom_router.presentation import NegotiatedContext
from dicom_router.statuses import (
    EXPECTED_STORE_ERRORS,
    INSTANCE_TOO_LARGE,
    INVALID_SOP_INSTANCE_UID,
    NOT_AUTHORIZED,
    QUOTA_USED_UP,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    TOTAL_QUOTA_USED_UP,
    store_failure,
)
from hub_kernel.errors import InvalidUidError
from image_archive.model import IncomingHeader, StoreOutcome
from image_archive.receiving import IncomingInstance
from image_archive.service import ArchiveService

log = logging.getLogger(__name__)

_OUTCOMES = {StoreOutcome.STORED: "stored", StoreOutcome.ALREADY_STORED: "already stored"}


@dataclass(frozen=True)
class StoreService:
    """What every reception needs: the archive, which SOP classes of how many bytes it takes.

    `usage` counts what each site sends, and knows when a quota of it is used up. Instances of an
    emergency are taken all the same: no patient waits for an agreement between institutions.
    """

    archive: ArchiveService
    sop_classes: frozenset[str]
    max_instance_bytes: int
    usage: SiteUsage

    def receive(
        self, command: Command, context: NegotiatedContext, caller: Caller, tally: Tally
    ) -> "StoreReception":
        """Begin to take in the dataset that follows the C-STORE-RQ `command`."""
        reception = StoreReception(self, caller.site.site_id, tally)
        header = IncomingHeader(
            sop_class_uid=command.affected_sop_class_uid,
            sop_instance_uid=command.affected_sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
            origin=caller.origin,
        )
        if not caller.may_store:
            reception.refuse(NOT_AUTHORIZED)
        elif not self._takes(header.sop_class_uid, context, caller):
            reception.refuse(SOP_CLASS_NOT_SUPPORTED)
        else:
            reception.open(header)
            if used_up := self.usage.used_up(caller.site):
                over = QUOTA_USED_UP if used_up.quota.daily else TOTAL_QUOTA_USED_UP
                reception.refuse_unless_emergency(over)
        return reception

    def _takes(self, sop_class_uid: str, context: NegotiatedContext, caller: Caller) -> bool:
        """Contexts are also agreed for what the peer would be sent; it may not send in those."""
        negotiated = context.abstract_syntax in (self.sop_classes & {sop_class_uid})
        return negotiated and caller.site.may_send(sop_class_uid)


class StoreReception:
    """One C-STORE under way: fragments in, one answer out, constant memory.

    After a failure the rest of the dataset is read and thrown away: the answer may be sent only
    when the sender has finished.
    """

    def __init__(self, service: StoreService, site_id: str, tally: Tally) -> None:
        self._service = service
        self._site_id = site_id
        self._tally = tally
        self._incoming: IncomingInstance | None = None
        self._refusal: Answer | None = None
        self._over_quota: Answer | None = None
        self._bytes = 0

    def open(self, header: IncomingHeader) -> None:
        """Open the archive's end; a refusal is kept for `finish`."""
        try:
            self._incoming = self._service.archive.incoming(header)
        except InvalidUidError:
            self.refuse(INVALID_SOP_INSTANCE_UID)
        except EXPECTED_STORE_ERRORS as error:
            self._fail(error)

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the dataset.

        Raises:
            InstanceTooLargeError: the limit is passed; the sender may never come to an end.
        """
        self._bytes += len(fragment)
        if self._bytes > self._service.max_instance_bytes:
            self.refuse(INSTANCE_TOO_LARGE)
            raise InstanceTooLargeError("the dataset exceeds the size limit")
        if self._incoming is None:
            return
        try:
            self._incoming.write(fragment)
        except EXPECTED_STORE_ERRORS as error:
            self._fail(error)

    def finish(self) -> Answer:
        """Make the instance durable, or say why not. Call after the last fragment."""
        incoming, self._incoming = self._within_quota(), None
        if incoming is not None:
            try:
                outcome = incoming.secure()
            except EXPECTED_STORE_ERRORS as error:
                self._fail(error)
            else:
                self._tally.count(_OUTCOMES[outcome])
                self._service.usage.received(self._site_id, self._bytes)
                return SUCCESS
        answer = self._refusal or SOP_CLASS_NOT_SUPPORTED
        self._tally.count(f"refused 0x{answer.status:04X}")
        return answer

    def refuse(self, answer: Answer) -> None:
        """Throw away what has arrived and what will; `finish` gives `answer`."""
        self.abandon()
        self._refusal = answer

    def refuse_unless_emergency(self, answer: Answer) -> None:
        """Let `finish` give `answer` for an instance whose order was not urgent.

        That is known when the dataset has arrived, and not before.
        """
        self._over_quota = answer

    def abandon(self) -> None:
        """Forget the instance: the sender is gone. Leaves nothing behind."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abort()

    def _within_quota(self) -> IncomingInstance | None:
        """Return the instance if it may be kept; one that is over quota is thrown away here."""
        if self._incoming is not None and self._over_quota and not self._incoming.is_emergency():
            self._service.usage.refused(self._site_id)
            self.refuse(self._over_quota)
        return self._incoming

    def _fail(self, error: Exception) -> None:
        answer = store_failure(error)
        log.warning(
            "instance refused",
            extra={"site": self._site_id, "status": f"0x{answer.status:04X}", "error": repr(error)},
        )
        self.refuse(answer)
