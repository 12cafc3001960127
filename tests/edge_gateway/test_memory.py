"""Uploading an instance of gigabytes costs neither side more than a few chunks of memory."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from edge_gateway.model import Offer
from hub_kernel.settings_edge import UploadSettings
from tests.dicom_router.instances import ct, encoded
from tests.edge_gateway.region import Line, offer_of, open_region

MIB = 1024 * 1024
_ALLOWED = 64 * MIB


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(192 * MIB, id="192 MiB"),
        pytest.param(2048 * MIB, id="2 GiB", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
def test_memory_does_not_grow_with_the_instance(tmp_path: Path, size: int) -> None:
    with open_region(tmp_path, uploads=UploadSettings()) as region:
        region.client(chunk_bytes=4 * MIB).upload(*offer_of(ct(9)), Line())  # warm
        offer, file = _huge(tmp_path / "huge", size)
        watched = threading.Event()
        peak = [0]
        before = psutil.Process().memory_info().rss

        def watch() -> None:
            while not watched.wait(0.02):
                peak[0] = max(peak[0], psutil.Process().memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            receipt = region.client(chunk_bytes=4 * MIB).upload(
                offer, lambda: file.open("rb"), Line()
            )
        finally:
            watched.set()
            watcher.join()
        assert receipt.outcome == "stored"
        assert peak[0] - before < _ALLOWED, (peak[0] - before) // MIB


def _huge(path: Path, size: int) -> tuple[Offer, Path]:
    """A slice whose pixels fill `size` bytes, written in pieces."""
    small = encoded(ct(1, PixelData=b"\0" * 16))
    head = small[: -16 - 4] + size.to_bytes(4, "little")
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (head, *[bytes(range(256)) * 4096] * (size // MIB)):
            file.write(piece)
            digest.update(piece)
    offer, _ = offer_of(ct(1))
    sized = replace(offer, dataset_bytes=len(head) + size, dataset_sha256=digest.hexdigest())
    return sized, path
