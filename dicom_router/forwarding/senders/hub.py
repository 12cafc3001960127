"""Hand instances over to the hub by resumable upload: the sender of a township gateway.

Done means the hub's receipt, which names the digest of the dataset.
"""

import hashlib
from collections.abc import Callable, Generator, Sequence

from dicom_router.forwarding.sender import DestinationUnavailableError, Pace, Parcel, Sent
from dicom_router.forwarding.verdicts import Verdict
from dicom_router.routing.model import Priority
from edge_gateway import reasons
from edge_gateway.client import HubClient
from edge_gateway.errors import (
    HubNotReadyError,
    LineDownError,
    NotAdmittedError,
    RefusedByHubError,
)
from edge_gateway.model import Offer
from edge_gateway.problems import DIGEST, SPOOL_DAMAGED
from edge_gateway.reporting import reason_of
from hub_kernel.errors import NotFoundError
from image_archive.errors import UnreadableInstanceError
from image_archive.file_meta import LARGEST_META_BYTES, read_file_meta
from image_archive.model import InstanceRecord
from image_archive.service import ArchiveService

_PIECE_BYTES = 1 << 20


class HubSender:
    """Uploads to the hub of this edge; `note` is told why it cannot, nothing when it can."""

    def __init__(
        self,
        client: HubClient,
        archive: ArchiveService,
        site_id: str,
        note: Callable[[str], None],
    ) -> None:
        self._client = client
        self._archive = archive
        self._site_id = site_id
        self._note = note

    def send(self, parcels: Sequence[Parcel], pace: Pace) -> Generator[Sent, None, None]:
        """Hand each parcel over; an interrupted upload goes on where it stopped."""
        for parcel in parcels:
            yield self._hand_over(parcel, pace)

    def _hand_over(self, parcel: Parcel, pace: Pace) -> Sent:
        item_id, instance = parcel.item.item_id, parcel.instance
        uid = instance.sop_instance_uid
        try:
            offer = self._offer(instance, urgent=parcel.item.priority == Priority.EMERGENCY)
            receipt = self._client.upload(offer, lambda: self._archive.open_dataset(uid), pace)
        except (NotFoundError, UnreadableInstanceError):
            return Sent(item_id, Verdict.PARK, SPOOL_DAMAGED.name, SPOOL_DAMAGED.title)
        except RefusedByHubError as refused:
            self._note("")
            return Sent(item_id, Verdict.PARK, refused.problem, str(refused))
        except NotAdmittedError as error:
            self._note(reasons.NOT_ADMITTED)
            raise DestinationUnavailableError(str(error), permanent=True) from error
        except LineDownError as error:
            self._note(reason_of(error))
            raise DestinationUnavailableError(str(error), in_flight=item_id) from error
        except HubNotReadyError as error:
            if str(error) == DIGEST.name:
                return self._changed(parcel)
            self._note(reasons.HUB_NOT_READY)
            raise DestinationUnavailableError(str(error)) from error
        self._note("")
        said = f"sha256 {receipt.dataset_sha256}"
        return Sent(item_id, Verdict.ACCEPTED, receipt.outcome, said, offer.transfer_syntax_uid)

    def _offer(self, instance: InstanceRecord, *, urgent: bool) -> Offer:
        with self._archive.open_instance(instance.sop_instance_uid) as file:
            origin = read_file_meta(file.read(LARGEST_META_BYTES)).origin
        if origin is None:
            raise UnreadableInstanceError("the spool: a file without its receipt")
        return Offer(
            site_id=self._site_id,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            study_instance_uid=instance.study_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            dataset_bytes=instance.dataset_bytes,
            dataset_sha256=instance.dataset_sha256,
            calling_ae_title=origin.calling_ae_title,
            called_ae_title=origin.called_ae_title,
            charset_habit=origin.charset_habit,
            emergency=urgent,
        )

    def _changed(self, parcel: Parcel) -> Sent:
        """Judge an upload that arrived as other bytes: was it the line, or is it our own disk?"""
        digest = hashlib.sha256()
        with self._archive.open_dataset(parcel.instance.sop_instance_uid) as dataset:
            while piece := dataset.read(_PIECE_BYTES):
                digest.update(piece)
        item_id = parcel.item.item_id
        if digest.hexdigest() == parcel.instance.dataset_sha256:
            return Sent(item_id, Verdict.RETRY, DIGEST.name, DIGEST.title)
        return Sent(item_id, Verdict.PARK, SPOOL_DAMAGED.name, SPOOL_DAMAGED.title)
