"""Where rendered bytes are kept: in the archive's backend, under their own digest."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from eir_versions.errors import RenditionLostError
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend


@dataclass(frozen=True)
class RenditionStore:
    """Writes and reads under `renditions/`; the same bytes are kept once."""

    backend: ArchiveBackend

    def store(self, data: bytes) -> str:
        """Make the bytes durable and return their key.

        Raises:
            ArchiveFullError: there is no room.
        """
        digest = hashlib.sha256(data).hexdigest()
        key = f"renditions/{digest[:2]}/{digest}"
        with suppress(NotFoundError):
            if self.backend.size(key) == len(data):
                return key
        pending = self.backend.create()
        try:
            pending.write(data)
            pending.publish(key)
        finally:
            pending.discard()
        return key

    def load(self, key: str, sha256: str) -> bytes:
        """Return what is kept, proved by its digest.

        Raises:
            RenditionLostError: the bytes are gone or are no longer those.
        """
        try:
            with self.backend.open(key) as stream:
                data = stream.read()
        except NotFoundError as error:
            raise RenditionLostError("the bytes of a rendition are missing") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RenditionLostError("the bytes of a rendition have changed")
        return data
