"""A folder of objects in which something happens just before each is published."""

from collections.abc import Callable
from pathlib import Path

from image_archive.backends.filesystem import FilesystemBackend, PendingFile


class Overtaken(FilesystemBackend):
    """Calls `overtake` with the key, then publishes: as a writer that somebody else has passed."""

    def __init__(self, folder: Path, overtake: Callable[[str], object]) -> None:
        super().__init__(folder)
        self._overtake = overtake

    def create(self) -> PendingFile:
        pending = super().create()
        publish = pending.publish

        def late(key: str) -> None:
            self._overtake(key)
            publish(key)

        pending.publish = late  # type: ignore[method-assign]
        return pending
