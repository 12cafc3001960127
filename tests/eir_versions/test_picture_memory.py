"""A picture asked for again is not drawn again; anything that could change it has it drawn."""

from dataclasses import replace

import pytest

from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import JPEG, Picture, PictureJob
from eir_versions.model import RenderRequest
from eir_versions.picture_memory import Drawn, PictureMemory
from eir_versions.pixels import Window
from tests.eir_versions.hubs import STUDY, Hub, slice_of

UID = f"{STUDY}.1.1"
FIRST = Drawn("a" * 64, "", PictureJob())
PICTURE = Picture(b"0123456789", JPEG, 1, 1)


def test_the_same_picture_is_drawn_once_and_another_one_anew(hub: Hub) -> None:
    hub.store(slice_of(0))
    asked = RenderRequest(UID, window=Window(100, 50))
    first, small = hub.service.rendered(asked), hub.service.thumbnail(instance=UID)
    kept = hub.parts.index.instance(UID)
    assert kept is not None
    hub.backend.delete(kept.storage_key)  # nothing can be drawn of it any more
    assert hub.service.rendered(asked) == first
    assert hub.service.thumbnail(instance=UID) == small
    for other in (
        replace(asked, window=Window(100, 51)),
        replace(asked, quality=asked.quality - 1),
        replace(asked, viewport=(16, 16)),
        replace(asked, overlays=not asked.overlays),
    ):
        with pytest.raises(UnrenderableInstanceError):
            hub.service.rendered(other)


def test_it_is_told_apart_by_image_state_and_job() -> None:
    memory = PictureMemory(1000)
    memory.put(FIRST, PICTURE)
    assert memory.get(FIRST) == PICTURE
    for changed in (
        replace(FIRST, dataset_sha256="b" * 64),
        replace(FIRST, state_sha256="c" * 64),
        replace(FIRST, job=PictureJob(2)),
    ):
        assert memory.get(changed) is None


def test_nothing_is_kept_for_longer_than_it_may_be() -> None:
    hands = [0.0]
    memory = PictureMemory(1000, longest_s=60.0, now=lambda: hands[0])
    memory.put(FIRST, PICTURE)
    hands[0] = 60.0
    assert memory.get(FIRST) == PICTURE
    hands[0] = 60.1  # being asked for does not prolong it
    assert memory.get(FIRST) is None
    memory.put(FIRST, PICTURE)
    assert memory.get(FIRST) == PICTURE


def test_a_repair_has_everything_drawn_anew(hub: Hub) -> None:
    hub.store(slice_of(0))
    asked = RenderRequest(UID, window=Window(100, 50))
    whole = hub.service.rendered(asked)
    kept = hub.parts.index.instance(UID)
    assert kept is not None
    hub.backend.delete(kept.storage_key)
    assert hub.service.rendered(asked) == whole
    (hub.backend.shared_folder / "last-repair").touch()
    with pytest.raises(UnrenderableInstanceError):
        hub.service.rendered(asked)


def test_what_is_kept_is_bounded_by_its_bytes() -> None:
    memory = PictureMemory(10 * len(PICTURE.data))
    keys = [replace(FIRST, job=PictureJob(number)) for number in range(1, 12)]
    for key in keys[:10]:
        memory.put(key, PICTURE)
        memory.put(key, PICTURE)  # twice the same takes no more room
    assert memory.get(keys[0]) == PICTURE  # asked for: the second is now the oldest
    memory.put(keys[10], PICTURE)
    assert [number for number, key in enumerate(keys) if memory.get(key) is None] == [1]


def test_neither_a_very_large_picture_nor_one_without_a_digest_is_kept() -> None:
    memory = PictureMemory(8 * len(PICTURE.data))
    memory.put(FIRST, replace(PICTURE, data=PICTURE.data + b"!"))
    memory.put(replace(FIRST, dataset_sha256=""), PICTURE)
    assert memory.get(FIRST) is None
    assert memory.get(replace(FIRST, dataset_sha256="")) is None
