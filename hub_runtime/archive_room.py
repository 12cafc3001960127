"""Say once in the log when the archive begins or ceases to refuse for want of room."""

import logging

from image_archive.backend import ArchiveBackend

log = logging.getLogger(__name__)


class ArchiveRoom:
    """Watches whether `backend` is above its reserve; one line per change, none per instance."""

    def __init__(self, backend: ArchiveBackend) -> None:
        self._backend = backend
        self._is_short = False

    def watch(self) -> None:
        """Look now."""
        is_short = self._backend.free_bytes() <= 0
        if is_short and not self._is_short:
            log.warning("the archive is below its reserve: every C-STORE is answered A700")
        elif self._is_short and not is_short:
            log.warning("the archive is above its reserve again: C-STORE is accepted")
        self._is_short = is_short
