"""What is stored, asked for and damaged before it is retrieved, and the count of a response."""

from pydicom.dataset import Dataset

from tests.dicom_router.conftest import Hub
from tests.dicom_router.wire import (
    CT,
    EXPLICIT,
)

TAKES_CT = {CT: [EXPLICIT]}
MR = "1.2.840.10008.5.1.4.1.1.4"
Responses = list[tuple[Dataset, Dataset | None]]


def store(hub: Hub, *instances: Dataset, calling: str = "CT1") -> None:
    contexts = {str(one.SOPClassUID): [str(one.file_meta.TransferSyntaxUID)] for one in instances}
    with hub.association(contexts, calling) as association:
        for instance in instances:
            assert association.send_c_store(instance).Status == 0


def keys(level: str = "STUDY", **values: object) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    return identifier


def counts(status: Dataset) -> tuple[int, int | None, int, int, int]:
    """(status, remaining, completed, failed, warning) of a response."""
    return (
        status.Status,
        status.get("NumberOfRemainingSuboperations"),
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )


def damage(hub: Hub, sop_instance_uid: str) -> None:
    """Flip one bit of an archived instance."""
    record = hub.parts.index.instance(sop_instance_uid)
    assert record is not None
    path = hub.folder / "archive" / record.storage_key
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))


GET_MESSAGE, MOVE_CANCEL = 0x0010, 0x0FFF


def implicit_element(group: int, element: int, value: bytes) -> bytes:
    return (
        group.to_bytes(2, "little")
        + element.to_bytes(2, "little")
        + len(value).to_bytes(4, "little")
        + value
    )
