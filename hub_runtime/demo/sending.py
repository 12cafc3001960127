"""Push studies as a modality does: one association per study, C-STORE (DICOM PS3.4 Annex B)."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pynetdicom import AE

from hub_kernel.errors import HubError

_PATIENCE_S = 180  # a durable answer waits for the disk, and a busy one may take its time


class SendingError(HubError):
    """The hub refused an association or an instance that it should have taken."""


@dataclass(frozen=True)
class DicomPeer:
    """Where to send to, and as whom."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str


def send(instances: list[Dataset], peer: DicomPeer) -> Iterator[str]:
    """Send each instance and yield its SOP Instance UID once the hub has answered 0x0000.

    Raises:
        SendingError: an association was rejected, or any answer was another status.
    """
    entity = AE(ae_title=peer.calling_ae_title)
    entity.dimse_timeout = _PATIENCE_S
    for instance in instances:
        entity.add_requested_context(instance.SOPClassUID, instance.file_meta.TransferSyntaxUID)
    association = entity.associate(peer.host, peer.port, ae_title=peer.called_ae_title)
    if not association.is_established:
        raise SendingError(f"the hub did not admit {peer.calling_ae_title}")
    try:
        for instance in instances:
            status = association.send_c_store(instance)
            if "Status" not in status or status.Status != 0:
                answered = _told(status)
                raise SendingError(f"C-STORE of {instance.SOPInstanceUID} was answered {answered}")
            yield str(instance.SOPInstanceUID)
    finally:
        association.release()


def _told(status: Dataset) -> str:
    return f"0x{status.Status:04X}" if "Status" in status else f"nothing in {_PATIENCE_S} s"
