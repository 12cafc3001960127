"""What every implementation of ArchiveBackend promises about the instances of studies."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.keys import InstanceNames
from tests.contracts.objects import get, put
from tests.dicom_router.instances import ct, part10


@dataclass(frozen=True)
class Instance:
    """A Part 10 file, and the key its backend gives it."""

    key: str
    file: bytes


def instance(
    backend: ArchiveBackend, study: str, number: int = 1, *, day: int = 22, **changes: object
) -> Instance:
    dataset = ct(number, study, **changes)
    file = part10(dataset)
    head = len(file) - len(file[file.index(b"\x08\x00\x16\x00UI") :])
    names = InstanceNames(
        str(dataset.PatientID), study, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    )
    received_at = datetime(2026, 11, day, 8, 30, tzinfo=UTC)
    digest = hashlib.sha256(file[head:]).hexdigest()
    return Instance(backend.instance_key(received_at, names, digest), file)


@pytest.fixture
def study() -> str:
    """A study of the test's own: all of them share one Orthanc."""
    return f"2.25.{uuid.uuid4().int}"


def test_an_instance_is_found_under_the_key_it_was_given(
    make: Callable[[], ArchiveBackend], study: str
) -> None:
    backend = make()
    one = instance(backend, study)
    spooled = backend.spool()
    spooled.write(one.file)
    spooled.secure()
    assert backend.publish_together([(spooled, one.key)]) == [None]
    spooled.discard()
    for again in (backend, make()):
        assert get(again, one.key) == one.file
        assert again.size(one.key) == len(one.file)
        assert get(again, one.key, start=132, length=40) == one.file[132:172]
        assert get(again, one.key, start=len(one.file) - 3) == one.file[-3:]
        assert get(again, one.key, start=10_000_000, length=1) == b""
    assert one.key in list(backend.keys("instances/2026/11/22"))


def test_the_key_of_an_instance_is_made_of_what_was_received_alone(
    backend: ArchiveBackend, study: str
) -> None:
    one = instance(backend, study)
    assert one == instance(backend, study)
    assert one.key.startswith("instances/2026/11/22/")
    assert (
        len({one.key, instance(backend, study, 2).key, instance(backend, study, day=23).key}) == 3
    )


def test_an_instance_published_again_under_its_key_stays_what_it_is(
    backend: ArchiveBackend, study: str
) -> None:
    one = instance(backend, study)
    put(backend, one.key, one.file)
    put(backend, one.key, one.file)
    assert get(backend, one.key) == one.file
    backend.delete(one.key)
    with pytest.raises(NotFoundError):
        backend.size(one.key)
    with pytest.raises(NotFoundError):
        backend.open(one.key)
    assert one.key not in list(backend.keys("instances"))


def test_other_bytes_of_one_instance_live_beside_the_first(
    backend: ArchiveBackend, study: str
) -> None:
    first, other = instance(backend, study), instance(backend, study, AccessionNumber="OTHER")
    for one in (first, other):
        put(backend, one.key, one.file)
    assert get(backend, first.key) == first.file
    assert get(backend, other.key) == other.file
    backend.delete(other.key)
    assert get(backend, first.key) == first.file


def test_an_instance_sent_again_on_another_day_can_be_taken_back(
    backend: ArchiveBackend, study: str
) -> None:
    first, later = instance(backend, study), instance(backend, study, day=23)
    for one in (first, later):
        put(backend, one.key, one.file)
        assert get(backend, one.key) == one.file
    backend.delete(later.key)
    assert get(backend, first.key) == first.file


def test_what_is_no_dicom_has_room_under_the_key_of_an_instance_too(
    backend: ArchiveBackend, study: str
) -> None:
    one = instance(backend, study)
    put(backend, one.key, b"torn")
    assert get(backend, one.key) == b"torn"
    assert list(backend.keys(one.key.rpartition("/")[0])) == [one.key]


def test_instances_and_other_objects_are_listed_in_one_order(
    backend: ArchiveBackend, study: str
) -> None:
    made = [instance(backend, study, number) for number in range(1, 6)]
    put(backend, "instances/2026/11/aa", b"x")
    for one in made:
        put(backend, one.key, one.file)
    folder = made[0].key.rpartition("/")[0]
    assert list(backend.keys(folder)) == sorted(one.key for one in made)
    everything = list(backend.keys("instances"))
    assert everything == sorted(everything)
    assert {"instances/2026/11/aa", *(one.key for one in made)} <= set(everything)
