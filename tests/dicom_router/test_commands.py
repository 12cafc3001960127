"""DIMSE command sets: read strictly, answered in a form every peer reads."""

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset

from dicom_router.answer import Answer
from dicom_router.commands import decode_command, encode_answer
from dicom_router.errors import ProtocolViolationError
from dicom_router.statuses import STORE_FAILURES
from tests.dicom_router.wire import CT, command_set

STORE = {
    "affected_sop_class_uid": CT,
    "command_field": 0x0001,
    "message_id": 7,
    "command_data_set_type": 0,
    "affected_sop_instance_uid": "1.2.3",
}


def test_a_store_request_is_read() -> None:
    command = decode_command(command_set(**STORE))
    assert (command.field, command.message_id, command.has_dataset) == (1, 7, True)
    assert command.affected_sop_class_uid == CT
    assert command.affected_sop_instance_uid == "1.2.3"


@pytest.mark.parametrize("missing", ["command_field", "message_id", "command_data_set_type"])
def test_a_missing_mandatory_field_is_a_violation(missing: str) -> None:
    rest = {name: value for name, value in STORE.items() if name != missing}
    with pytest.raises(ProtocolViolationError):
        decode_command(command_set(**rest))


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0",
        b"\0\0\x00\x01\xff\xff\xff\xff",
        command_set(**STORE)[:-1],
        command_set(**STORE) + b"\x08\x00\x16\x00\x00\x00\x00\x00",
    ],
)
def test_cut_or_foreign_elements_are_a_violation(data: bytes) -> None:
    with pytest.raises(ProtocolViolationError):
        decode_command(data)


@pytest.mark.parametrize(
    ("field", "wanted"), [(0x0001, True), (0x0030, True), (0x0FFF, False), (0x8001, False)]
)
def test_only_requests_want_an_answer(field: int, wanted: bool) -> None:  # noqa: FBT001
    command = decode_command(
        command_set(
            command_field=field,
            message_id=1,
            message_id_being_responded_to=1,
            command_data_set_type=0x0101,
        )
    )
    assert command.wants_answer is wanted


def test_an_answer_is_what_pydicom_reads_back() -> None:
    command = decode_command(command_set(**STORE))
    encoded = encode_answer(command, Answer(0xA700, "Archive is full"))
    answer = read_dataset(DicomBytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert answer.CommandGroupLength == len(encoded) - 12
    assert (answer.CommandField, answer.MessageIDBeingRespondedTo) == (0x8001, 7)
    assert (answer.Status, answer.ErrorComment) == (0xA700, "Archive is full")
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CT, "1.2.3")
    assert answer.CommandDataSetType == 0x0101


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "1.2\x003", "1" * 65])
def test_a_hostile_uid_is_not_repeated(hostile: str) -> None:
    command = decode_command(command_set(**(STORE | {"affected_sop_instance_uid": hostile})))
    encoded = encode_answer(command, Answer(0x0117))
    answer = read_dataset(DicomBytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert "AffectedSOPInstanceUID" not in answer


def test_every_comment_fits_its_element_and_says_something() -> None:
    for _, answer in STORE_FAILURES:
        assert 10 < len(answer.comment) <= 64
        assert answer.comment.isascii()
        assert "\\" not in answer.comment
