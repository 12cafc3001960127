"""Movies of multi-frame instances, kept ready-made: as stored where they are video, else H.264.

MPEG-4 and MPEG-2 transfer syntaxes (PS3.5 8.2.5 to 8.2.9) hold a movie already and are handed out
as they are; nothing decodes them.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from eir_versions import reasons
from eir_versions.cine import MOVIE_REVISION, SegmentMaker, made_movie
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.instance_file import UNREADABLE, PixelPlace, locate_pixels, open_body
from eir_versions.on_disk import on_disk
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.model import InstanceRecord

MP4 = "video/mp4"
VIDEO_SYNTAXES = {f"1.2.840.10008.1.2.4.{number}": MP4 for number in range(102, 109)} | {
    f"1.2.840.10008.1.2.4.{number}": "video/mpeg" for number in (100, 101)
}
_ITEM_HEAD = 8
_CHUNK_BYTES = 262_144
_LOCKS = 64


class PixelSource(Protocol):
    """Gives files of instances (`image_archive.service.ArchiveService`)."""

    def open_instance(self, sop_instance_uid: str) -> BinaryIO:
        """Return the file as stored."""
        ...

    def open_pixels(self, sop_instance_uid: str) -> BinaryIO:
        """Return a file with the same pixel values."""
        ...


@dataclass(frozen=True)
class Movie:
    """A movie in the archive: where it is, how long, what, and an identity of its bytes."""

    storage_key: str
    size: int
    media_type: str
    etag: str


@dataclass(frozen=True)
class Movies:
    """Makes movies once and keeps them under `renditions/`; they can be made again any time."""

    instances: PixelSource
    maker: SegmentMaker
    renditions: ArchiveBackend
    _locks: tuple[threading.Lock, ...] = field(
        default_factory=lambda: tuple(threading.Lock() for _ in range(_LOCKS))
    )

    def movie(self, instance: InstanceRecord) -> Movie:
        """Return the movie of an instance, made now if there is none yet.

        Raises:
            UnrenderableInstanceError: with the reason, not_a_movie for what has one frame.
            FrameNotFoundError: it has fewer frames than it says.
            ArchiveFullError: there is no room for it.
        """
        media_type = VIDEO_SYNTAXES.get(instance.transfer_syntax_uid, MP4)
        if instance.number_of_frames < 2 and instance.transfer_syntax_uid not in VIDEO_SYNTAXES:
            raise UnrenderableInstanceError(reasons.NOT_A_MOVIE)
        digest, key = _place(instance)
        with self._locks[int(digest[:4], 16) % _LOCKS]:
            try:
                size = self.renditions.size(key)
            except NotFoundError:
                size = self._make(instance, key)
        return Movie(key, size, media_type, digest)

    def key(self, instance: InstanceRecord) -> str:
        """Return where the movie of an instance is kept, if there is one."""
        return _place(instance)[1]

    def open(self, movie: Movie, start: int, length: int) -> BinaryIO:
        """Return a range of the movie's bytes.

        Raises:
            NotFoundError: it was removed meanwhile.
        """
        return self.renditions.open(movie.storage_key, start=start, length=length)

    def _make(self, instance: InstanceRecord, key: str) -> int:
        pending = self.renditions.create()
        size = 0
        try:
            with self._pieces(instance) as pieces:
                for piece in pieces:
                    pending.write(piece)
                    size += len(piece)
            pending.publish(key)
        finally:
            pending.discard()
        return size

    @contextmanager
    def _pieces(self, instance: InstanceRecord) -> Iterator[Iterator[bytes]]:
        try:
            if instance.transfer_syntax_uid in VIDEO_SYNTAXES:
                with self.instances.open_instance(instance.sop_instance_uid) as source:
                    yield _stored_video(source)
                return
            with (
                self.instances.open_pixels(instance.sop_instance_uid) as stored,
                on_disk(stored) as source,
                made_movie(self.maker, source, instance.number_of_frames) as pieces,
            ):
                yield pieces
        except NotFoundError as error:
            raise UnrenderableInstanceError(reasons.NOT_STORED) from error


def _place(instance: InstanceRecord) -> tuple[str, str]:
    """Return what tells a movie from all others, and its key."""
    name = f"{instance.dataset_sha256} movie {MOVIE_REVISION}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    return digest, f"renditions/cine/{digest[:2]}/{digest}"


def _stored_video(source: BinaryIO) -> Iterator[bytes]:
    """Yield the video stream of an instance, as stored: its fragments joined.

    Raises:
        UnrenderableInstanceError: unreadable, or no_pixel_data.
    """
    try:
        opened = open_body(source)
        place = locate_pixels(opened.body, opened.dataset)
        if place is None or place.length is not None:
            raise UnrenderableInstanceError(reasons.NO_PIXEL_DATA)
        yield from _fragments(opened.body, place)
    except UNREADABLE as error:
        raise UnrenderableInstanceError(reasons.UNREADABLE) from error


def _fragments(body: BinaryIO, place: PixelPlace) -> Iterator[bytes]:
    end = place.end(body) - _ITEM_HEAD
    at, is_table = place.value_offset, True
    while at < end:
        body.seek(at + 4)
        left = int.from_bytes(body.read(4), "little")
        at += _ITEM_HEAD + left
        while left and not is_table:
            piece = body.read(min(left, _CHUNK_BYTES))
            if not piece:
                raise ValueError("a fragment is cut short")
            left -= len(piece)
            yield piece
        is_table = False
