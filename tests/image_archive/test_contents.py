"""What a study holds, counted as doctors speak of it: pictures, clips, objects without any."""

import pytest

from image_archive.contents import Contents
from image_archive.index import ArchiveIndex
from tests.image_archive.datasets import CT_IMAGE_STORAGE, Sender, ct_slice
from tests.image_archive.test_rejections import QUALITY, note, send_note

_STORAGE = "1.2.840.10008.5.1.4.1.1."


def send(sender: Sender, sop_class: str, *frames: int, series: int = 1) -> None:
    """Send objects of a class with so many frames each."""
    for number, count in enumerate(frames, start=1):
        values = {
            "SOPClassUID": sop_class,
            "SOPInstanceUID": f"1.2.3.{series}.{sop_class[len(_STORAGE) :]}.{number}",
            "SeriesInstanceUID": f"1.2.3.{series}",
            "NumberOfFrames": count,
            "PixelData": bytes(32 * count),
        }
        sender.send(ct_slice(number, **values), sop_class_uid=sop_class)


@pytest.mark.parametrize(
    ("sop_class", "frames", "held"),
    [
        ("2", (1, 1, 1), Contents(pictures=3)),
        ("2.1", (10, 20), Contents(pictures=30)),
        ("3.1", (30, 1, 60), Contents(pictures=1, clips=2, clip_pictures=90)),
        ("12.1", (15, 1), Contents(pictures=1, clips=1, clip_pictures=15)),
        ("77.1.1.1", (1, 40), Contents(clips=2, clip_pictures=41)),
        ("77.1.6", (400, 100), Contents(pictures=2)),
    ],
    ids=["slices", "enhanced", "ultrasound", "angiography", "video", "slide"],
)
def test_frames_are_pictures_or_those_of_a_clip_and_tiles_are_neither(
    sender: Sender, index: ArchiveIndex, sop_class: str, frames: tuple[int, ...], held: Contents
) -> None:
    send(sender, _STORAGE + sop_class, *frames)
    assert index.held_by_studies(["1.2.3", "1.2.4"]) == {"1.2.3": held}
    assert index.held_by_series("1.2.3") == {"1.2.3.1": held}


def test_objects_without_pixels_count_apart(sender: Sender, index: ArchiveIndex) -> None:
    send(sender, CT_IMAGE_STORAGE, 1, 1)
    send(sender, _STORAGE + "3.1", 30, series=2)
    send_note(sender, note(QUALITY, "1.2.3.1.2.1"))
    held = index.held_by_series("1.2.3")
    assert held["1.2.3.9"] == Contents(others=1)
    assert sum(held.values(), Contents()) == Contents(2, 1, 30, 1)
    assert index.held_by_studies(["1.2.3"]) == {"1.2.3": Contents(2, 1, 30, 1)}
