"""One store at a time per SOP Instance UID, so that two senders of one new UID cannot cross."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Claims:
    """Names held by one thread each."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait until nobody holds `name`, and hold it for the length of the block."""
        with self._changed:
            while name in self._held:
                self._changed.wait()
            self._held.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(name)
                self._changed.notify_all()
