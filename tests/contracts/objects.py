"""Objects of an archive backend in tests: put there and got back."""

from image_archive.backend import ArchiveBackend


def put(backend: ArchiveBackend, key: str, data: bytes) -> None:
    pending = backend.create()
    pending.write(data)
    pending.publish(key)


def get(backend: ArchiveBackend, key: str, **part: int) -> bytes:
    with backend.open(key, **part) as stream:
        return stream.read()
