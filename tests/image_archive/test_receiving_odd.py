"""Receiving what is hostile, unreadable or odd: refused with its error, or kept as it was sent."""

from pathlib import Path

import pytest

from hub_kernel.errors import InvalidUidError
from image_archive.backend import ArchiveBackend
from image_archive.errors import (
    IdentityMismatchError,
    UnreadableInstanceError,
)
from image_archive.index import ArchiveIndex
from image_archive.model import QuarantineReason, StoreOutcome
from image_archive.service import ArchiveService
from tests.image_archive.datasets import (
    IMPLICIT_LITTLE,
    Sender,
    ct_slice,
    encoded,
    stored_files,
)


@pytest.mark.parametrize(
    "uid", ["../../x", "/etc/passwd", "1.2\0", "1." * 40, "", "1..2", ".1", "1.", "1.2 "]
)
def test_a_hostile_uid_in_the_command_is_refused_before_anything_is_written(
    sender: Sender, tmp_path: Path, uid: str
) -> None:
    with pytest.raises(InvalidUidError):
        sender.send_bytes(encoded(ct_slice()), sop_instance_uid=uid)
    assert stored_files(tmp_path) == []


@pytest.mark.parametrize("tag", [0x00080018, 0x0020000D, 0x0020000E, 0x00080016])
@pytest.mark.parametrize("uid", [b"../../../x", b"1.2\x003", b"1" * 66])
def test_a_hostile_uid_in_the_dataset_is_refused(
    sender: Sender, tmp_path: Path, tag: int, uid: bytes
) -> None:
    good = encoded(ct_slice())
    value = ct_slice()[tag].value.encode()
    value += b"\0" * (len(value) % 2)
    place = good.index(tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1] + b"UI")
    data = good[: place + 6] + len(uid).to_bytes(2, "little") + uid
    data += good[place + 8 + len(value) :]
    with pytest.raises(InvalidUidError):
        sender.send_bytes(data)
    assert stored_files(tmp_path) == []


@pytest.mark.parametrize(
    "announced", [{"sop_instance_uid": "1.2.3.9"}, {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}]
)
def test_a_dataset_other_than_announced_is_refused(
    sender: Sender, tmp_path: Path, announced: dict[str, str]
) -> None:
    with pytest.raises(IdentityMismatchError):
        sender.send_bytes(encoded(ct_slice()), **announced)
    assert stored_files(tmp_path) == []


UNREADABLE = {
    "rubbish": b"GET / HTTP/1.1\r\n\r\n" * 10,
    "cut off": encoded(ct_slice())[:-10],
    "cut off in the header": encoded(ct_slice())[:100],
    "no study": encoded(ct_slice(StudyInstanceUID=None)),
    "bits allocated 0": encoded(ct_slice(BitsAllocated=0)),
    "bits allocated 7": encoded(ct_slice(BitsAllocated=7)),
    "bits allocated 64": encoded(ct_slice(BitsAllocated=64)),
    "no samples": encoded(ct_slice(SamplesPerPixel=0)),
    "255 samples": encoded(ct_slice(SamplesPerPixel=255)),
    "a gigantic picture in a few bytes": encoded(
        ct_slice(Rows=65535, Columns=65535, NumberOfFrames=2**31 - 1)
    ),
    "frames NaN": encoded(ct_slice()).replace(
        b"\x28\x00\x10\x00US", b"\x28\x00\x08\x00IS\x04\x00NaN \x28\x00\x10\x00US"
    ),
    "frames of 5000 digits": encoded(ct_slice()).replace(
        b"\x28\x00\x10\x00US", b"\x28\x00\x08\x00IS\x88\x13" + b"9" * 5000 + b"\x28\x00\x10\x00US"
    ),
    "rows as UL": encoded(ct_slice()).replace(
        b"\x28\x00\x10\x00US\x02\x00\x04\x00", b"\x28\x00\x10\x00UL\x04\x00\x04\x00\x00\x00"
    ),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_and_its_bytes_are_kept_apart(
    sender: Sender, index: ArchiveIndex, backend: ArchiveBackend, data: bytes
) -> None:
    sender.send(ct_slice(7))
    for _ in range(2):
        with pytest.raises(UnreadableInstanceError):
            sender.send_bytes(data)
    (kept,) = index.unreadable()
    assert kept.reason is QuarantineReason.UNREADABLE
    with backend.open(kept.storage_key) as stream:
        assert stream.read().endswith(data)
    assert len(index.instances_of("1.2.3")) == 1


def test_an_empty_dataset_is_refused_and_nothing_is_kept(
    sender: Sender, tmp_path: Path, index: ArchiveIndex
) -> None:
    with pytest.raises(UnreadableInstanceError):
        sender.send_bytes(b"")
    assert stored_files(tmp_path) == []
    assert index.unreadable() == []


HARMLESS = {
    "odd VR": encoded(ct_slice()).replace(b"\x08\x00\x30\x10LO", b"\x08\x00\x30\x10ZZ"),
    "instance number of 5000 digits": encoded(ct_slice(InstanceNumber=None)).replace(
        b"\x28\x00\x02\x00US", b"\x20\x00\x13\x00IS\x88\x13" + b"9" * 5000 + b"\x28\x00\x02\x00US"
    ),
    "birth date that is none": encoded(ct_slice()).replace(b"19700102", b"19709999"),
    "fifty character sets": encoded(ct_slice()).replace(
        b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
        b"\x08\x00\x05\x00CS" + (50 * 18).to_bytes(2, "little") + b"../../etc/passwd9\\" * 50,
    ),
    "group 0002 in the dataset": b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.4."
    + encoded(ct_slice()),
    "one frame too few": encoded(ct_slice(NumberOfFrames=2)),
}


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_what_is_odd_but_harmless_is_stored_as_sent(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, data: bytes
) -> None:
    assert sender.send_bytes(data) is StoreOutcome.STORED
    study = index.study("1.2.3")
    assert study
    with archive.open_dataset("1.2.3.1.1.1") as stream:
        assert stream.read() == data
    dataset = archive.read_dataset("1.2.3.1.1.1", stop_before_pixels=True)
    assert dataset.StudyInstanceUID == "1.2.3"
    assert not [tag for tag in dataset.keys() if tag.group == 2]  # noqa: SIM118
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_a_header_longer_than_what_is_held_in_memory_is_read(
    sender: Sender, index: ArchiveIndex
) -> None:
    dataset = ct_slice()
    dataset.add_new(0x00091001, "UN", b"x" * 200_000)
    assert sender.send(dataset) is StoreOutcome.STORED
    found = index.instance("1.2.3.1.1.1")
    assert found
    assert found.rows == 4


def test_implicit_and_deflated_datasets_are_stored_as_sent(
    sender: Sender, archive: ArchiveService
) -> None:
    import zlib

    implicit = encoded(ct_slice(1), implicit=True)
    sender.send_bytes(implicit, transfer_syntax_uid=IMPLICIT_LITTLE)
    packer = zlib.compressobj(wbits=-15)
    deflated = packer.compress(encoded(ct_slice(2))) + packer.flush()
    sender.send_bytes(
        deflated, sop_instance_uid="1.2.3.1.1.2", transfer_syntax_uid="1.2.840.10008.1.2.1.99"
    )
    for number, data in ((1, implicit), (2, deflated)):
        with archive.open_dataset(f"1.2.3.1.1.{number}") as stream:
            assert stream.read() == data
        dataset = archive.read_dataset(f"1.2.3.1.1.{number}")
        assert dataset.PixelData == bytes([number]) * 32
