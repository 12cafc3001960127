"""Thumbnails of large images are there before anybody asks, and are never anything else."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from eir_versions.jobs import Picture
from eir_versions.ready_thumbnails import ReadyThumbnails, is_large
from hub_kernel.events import StudyCompleted, new_event
from image_archive.model import InstanceRecord
from tests.eir_versions.hubs import STUDY, Hub, slice_of


def large(number: int) -> Dataset:
    dataset = slice_of(number)
    dataset.Rows, dataset.Columns = 1024, 1100
    samples = np.arange(1024 * 1100, dtype=np.uint16) % 4000
    dataset.PixelData = samples.tobytes()
    return dataset


@pytest.fixture
def no_decoder(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    completed(hub, slice_of(1), large(2))
    with monkeypatch.context() as blind:
        blind.setattr(hub.service._renderer, "draw", None)
        yield hub


def kept(hub: Hub) -> list[str]:
    return list(hub.backend.keys("thumbnails"))


def test_a_completed_study_has_those_of_its_large_images(no_decoder: Hub) -> None:
    assert len(kept(no_decoder)) == 1
    picture = no_decoder.service.thumbnail(instance=f"{STUDY}.1.3")
    assert (picture.media_type, max(picture.width, picture.height)) == ("image/jpeg", 256)


def test_it_is_what_would_be_drawn(hub: Hub) -> None:
    completed(hub, large(2))
    record = record_of(hub)
    assert is_large(record)
    assert hub.service.thumbnail(instance=record) == hub.service._drawn_thumbnail(record)


def test_completing_again_draws_nothing_again(no_decoder: Hub) -> None:
    no_decoder.service._ready.make(STUDY)
    assert len(kept(no_decoder)) == 1


def test_one_of_another_renderer_is_not_found(hub: Hub) -> None:
    completed(hub, large(2))
    record, service = record_of(hub), hub.service
    assert service._ready.find(record) is not None
    drawing = (service._thumbnail_job, service._drawn_thumbnail)
    other = ReadyThumbnails(hub.backend, hub.parts.index, *drawing, "eir-2/numpy-1")
    assert other.find(record) is None
    other.make(STUDY)
    assert sorted(other.keys(record)) == kept(hub)
    assert len(kept(hub)) == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"no json\n\n", b"{}\n" + b"0" * 64 + b"\nxx"])
def test_a_damaged_one_is_drawn_anew(hub: Hub, damage: bytes) -> None:
    completed(hub, large(2))
    (key,) = kept(hub)
    whole = hub.service._ready.find(record_of(hub))
    path = Path(hub.backend.path_of(key))
    path.chmod(0o600)
    path.write_bytes(damage)
    assert hub.service._ready.find(record_of(hub)) is None
    again: Picture = hub.service.thumbnail(instance=f"{STUDY}.1.3")
    assert again == whole


def completed(hub: Hub, *datasets: Dataset) -> None:
    hub.store(*datasets)
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="east", generation=1
    )
    hub.tell(event)


def record_of(hub: Hub) -> InstanceRecord:
    record = hub.parts.index.instance(f"{STUDY}.1.3")
    assert record is not None
    return record
