"""The hub's end of an upload: from an offer to the archive's receipt, by the archive's one way in.

Bytes become an instance through `ArchiveService.incoming`, as those of a C-STORE do, so that every
check, every quarantine and every promise is the same. What an edge offers again is recognised: an
instance that is archived with these bytes has its receipt as soon as they have been read again (the
edge lets its own go one day), one that was refused with these bytes is refused again, and an upload
that was begun goes on where it stopped. An emergency is taken over the site's quota, as at the
other doors: the offer says so before the bytes are sent, and the dataset has to bear it out.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select

from access_control.model import Site
from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from edge_gateway.errors import (
    DigestMismatchError,
    InstanceTooLargeError,
    OffsetMismatchError,
    QuotaExceededError,
    RefusedBeforeError,
    SopClassRefusedError,
    UploadBusyError,
    UploadGoneError,
)
from edge_gateway.model import HeldInstance, HubReceipt, Offer, Standing
from edge_gateway.partials import Chunk, Held, PartialUploads, ReadableBody
from edge_gateway.protocol import upload_id
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import InvalidUidError
from image_archive.errors import (
    ArchiveFullError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    IdentityMismatchError,
    UnreadableInstanceError,
)
from image_archive.index import ArchiveIndex
from image_archive.model import IncomingHeader, InstanceOrigin, StoreOutcome
from image_archive.service import ArchiveService
from image_archive.tables import QUARANTINE

_PIECE_BYTES = 1_048_576
# After these the bytes are in quarantine, or nobody wants them: the upload is over.
_FINAL = (
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    DigestMismatchError,
    IdentityMismatchError,
    InvalidUidError,
    UnreadableInstanceError,
)


@dataclass(frozen=True)
class IntakeParts:
    """What the intake works with."""

    database: Database
    archive: ArchiveService
    index: ArchiveIndex
    sites: SiteDirectory
    partials: PartialUploads
    clock: Clock
    usage: SiteUsage
    max_instance_bytes: int


class Intake:
    """Takes instances in from edges; safe from many threads. `address` is the edge's own.

    Every method raises the errors of `edge_gateway.problems`; none of them loses bytes that a
    standing has named.
    """

    def __init__(self, parts: IntakeParts) -> None:
        self._parts = parts

    def begin(self, offer: Offer, address: str) -> Standing:
        """Take an offer: answer its receipt, or where to go on."""
        if settled := self._settled(offer):
            return settled
        with self._parts.partials.begun(offer) as held:
            return self._finished_if_whole(held, address)

    def whole(self, offer: Offer, body: ReadableBody, address: str) -> Standing:
        """Take an offer together with all its bytes, without an unfinished upload in between."""
        if settled := self._settled(offer):
            return settled
        receipt = self._archive(offer, body, address)
        self._let_go(offer)
        return _standing(offer, offer.dataset_bytes, receipt)

    def append(self, site_id: str, name: str, chunk: Chunk, address: str) -> Standing:
        """Add a chunk durably; the last one makes the instance."""
        with self._parts.partials.held(site_id, name) as held:
            self._require_room()
            if chunk.length:
                held.append(chunk)
            elif chunk.offset != held.offset:
                raise OffsetMismatchError(f"the hub holds {held.offset} bytes")
            return self._finished_if_whole(held, address)

    def standing(self, site_id: str, name: str) -> tuple[Standing, Held]:
        """Return how far an unfinished upload is."""
        with self._parts.partials.held(site_id, name) as held:
            return _standing(held.offer, held.offset, None), held

    def withdraw(self, site_id: str, name: str) -> None:
        """Forget an unfinished upload."""
        with self._parts.partials.held(site_id, name) as held:
            held.remove()

    def read_again(self, instances: Iterable[HeldInstance]) -> None:
        """Read what is held of these instances, and note what has become of their bytes."""
        for one in instances:
            self._parts.archive.prove(one.sop_instance_uid)

    def _settled(self, offer: Offer) -> Standing | None:
        """Return the receipt of what is archived already; refuse what was refused before."""
        if offer.dataset_bytes > self._parts.max_instance_bytes:
            raise InstanceTooLargeError(f"{offer.dataset_bytes} bytes")
        there = self._parts.index.instance(offer.sop_instance_uid)
        if there and there.dataset_sha256 == offer.dataset_sha256:
            if self._parts.archive.prove(offer.sop_instance_uid):
                receipt = HubReceipt(
                    offer.sop_instance_uid,
                    offer.dataset_sha256,
                    StoreOutcome.ALREADY_STORED,
                    there.received_at,
                )
                self._let_go(offer)
                return _standing(offer, offer.dataset_bytes, receipt)
            return None
        if reason := self._refused_before(offer):
            raise RefusedBeforeError(reason)
        self._require_rights(offer)
        self._require_room()
        return None

    def _let_go(self, offer: Offer) -> None:
        """Forget what an earlier attempt left: a kill may come between archiving and forgetting."""
        with suppress(UploadGoneError, UploadBusyError):
            self.withdraw(offer.site_id, upload_id(offer))

    def _require_rights(self, offer: Offer) -> None:
        """Hold the offer against what the site may send, as at the DICOM door."""
        site = self._parts.sites.get(offer.site_id)
        if not site.may_send(offer.sop_class_uid):
            raise SopClassRefusedError(offer.sop_class_uid)
        if not offer.emergency:
            self._require_quota(site)

    def _require_quota(self, site: Site) -> None:
        if used_up := self._parts.usage.used_up(site):
            self._parts.usage.refused(site.site_id)
            when = "of today" if used_up.quota.daily else "in all"
            raise QuotaExceededError(f"the site's quota {when} is used up")

    def _refused_before(self, offer: Offer) -> str | None:
        wanted = select(QUARANTINE.c.reason).where(
            QUARANTINE.c.dataset_sha256 == offer.dataset_sha256,
            QUARANTINE.c.sop_instance_uid == offer.sop_instance_uid,
            QUARANTINE.c.site_id == offer.site_id,
        )
        with self._parts.database.read() as session:
            return session.scalars(wanted.limit(1)).first()

    def _require_room(self) -> None:
        if self._parts.archive.backend.free_bytes() <= 0:
            raise ArchiveFullError("archive: less free space than archive.min_free_bytes")

    def _finished_if_whole(self, held: Held, address: str) -> Standing:
        offset = held.offset
        if offset < held.offer.dataset_bytes:
            return _standing(held.offer, offset, None)
        try:
            with held.open() as body:
                receipt = self._archive(held.offer, body, address)
        except _FINAL:
            held.remove()
            raise
        held.remove()
        return _standing(held.offer, offset, receipt)

    def _archive(self, offer: Offer, body: ReadableBody, address: str) -> HubReceipt:
        header = IncomingHeader(
            sop_class_uid=offer.sop_class_uid,
            sop_instance_uid=offer.sop_instance_uid,
            transfer_syntax_uid=offer.transfer_syntax_uid,
            origin=self._origin(offer, address),
        )
        with self._parts.archive.incoming(header) as incoming:
            while piece := body.read(_PIECE_BYTES):
                incoming.write(piece)
            if incoming.dataset_sha256 != offer.dataset_sha256:
                raise DigestMismatchError("the dataset is not the one that was offered")
            if offer.emergency and not incoming.is_emergency():
                self._require_quota(self._parts.sites.get(offer.site_id))
            outcome = incoming.commit()
        self._parts.usage.received(offer.site_id, offer.dataset_bytes)
        return HubReceipt(
            offer.sop_instance_uid, offer.dataset_sha256, outcome, self._parts.clock.now()
        )

    def _origin(self, offer: Offer, address: str) -> InstanceOrigin:
        site: Site = self._parts.sites.get(offer.site_id)
        return InstanceOrigin(
            site_id=site.site_id,
            issuer=site.assigning_authority,
            calling_ae_title=offer.calling_ae_title,
            called_ae_title=offer.called_ae_title,
            source_address=address,
            charset_habit=offer.charset_habit or site.used_charset,
        )


def _standing(offer: Offer, offset: int, receipt: HubReceipt | None) -> Standing:
    return Standing(upload_id(offer), offset, offer.dataset_bytes, receipt)
