"""Instances as they leave the hub: their dataset bit for bit under a head of our own."""

import io
from dataclasses import replace

import pytest
from pydicom import dcmread

from hub_kernel.errors import NotFoundError
from image_archive.errors import UnreadableInstanceError
from image_archive.exporting import as_stored, opened_as_stored
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceRecord
from image_archive.service import ArchiveService
from tests.image_archive.datasets import IMPLICIT_LITTLE, Sender, ct_slice, encoded


@pytest.fixture
def sender(archive: ArchiveService) -> Sender:
    return Sender(archive)


def stored(index: ArchiveIndex, uid: str = "1.2.3.1.1.1") -> InstanceRecord:
    found = index.instance(uid)
    assert found is not None
    return found


def test_the_dataset_is_what_was_received(
    archive: ArchiveService, index: ArchiveIndex, sender: Sender
) -> None:
    sender.send(ct_slice())
    exported = as_stored(archive.backend, stored(index))
    for _ in range(2):
        data = b"".join(exported.open())
        assert len(data) == exported.size
        assert data.endswith(encoded(ct_slice()))
    assert b"".join(opened_as_stored(archive.backend, stored(index))) == data
    meta = dcmread(io.BytesIO(data)).file_meta
    assert {one.tag.element for one in meta} == {0, 1, 2, 3, 0x10, 0x12, 0x13}
    assert b"QINGSHAN" not in data


def test_elements_that_would_pass_for_file_meta_are_left_out(
    archive: ArchiveService, index: ArchiveIndex, sender: Sender
) -> None:
    """A reader would take them for the truth about the transfer syntax."""
    lie = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.2\0\0"[:28]
    assert len(lie) == 28
    sender.send_bytes(lie + encoded(ct_slice()))
    exported = as_stored(archive.backend, stored(index))
    data = b"".join(exported.open())
    assert len(data) == exported.size
    assert data.endswith(encoded(ct_slice()))
    assert lie not in data
    assert b"".join(opened_as_stored(archive.backend, stored(index))) == data


def test_implicit_datasets_are_exported_too(
    archive: ArchiveService, index: ArchiveIndex, sender: Sender
) -> None:
    dataset = encoded(ct_slice(), implicit=True)
    sender.send_bytes(dataset, transfer_syntax_uid=IMPLICIT_LITTLE)
    exported = as_stored(archive.backend, stored(index))
    assert exported.transfer_syntax_uid == IMPLICIT_LITTLE
    assert b"".join(exported.open()).endswith(dataset)


def test_bytes_that_have_changed_are_never_given_out_whole(
    archive: ArchiveService, index: ArchiveIndex, sender: Sender
) -> None:
    sender.send(ct_slice())
    instance = replace(stored(index), dataset_sha256="0" * 64)
    exported = as_stored(archive.backend, instance)
    for pieces in (exported.open(), opened_as_stored(archive.backend, instance)):
        given = b""
        with pytest.raises(UnreadableInstanceError):
            for chunk in pieces:
                given += chunk
        assert 0 < len(given) < exported.size


def test_bytes_of_another_length_or_none_are_known_before_anything_is_sent(
    archive: ArchiveService, index: ArchiveIndex, sender: Sender
) -> None:
    sender.send(ct_slice())
    instance = stored(index)
    longer = replace(instance, dataset_bytes=instance.dataset_bytes + 1)
    for opened in (as_stored, opened_as_stored):
        with pytest.raises(UnreadableInstanceError):
            opened(archive.backend, longer)
    archive.backend.delete(instance.storage_key)
    for opened in (as_stored, opened_as_stored):
        with pytest.raises(NotFoundError):
            opened(archive.backend, instance)
