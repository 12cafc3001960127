"""Movies of multi-frame instances on `/rendered`, in byte ranges (PS3.18 8.7.4, RFC 9110 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request

from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.movies import MP4, VIDEO_SYNTAXES
from viewer_api.dicomweb.byte_ranges import asked_range
from viewer_api.dicomweb.media_types import choose
from viewer_api.errors import NotAcceptableError, UnusableBytesError
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from image_archive.model import InstanceRecord
    from viewer_api.dicomweb.media_types import Accepted

_CHUNK_BYTES = 262_144


def wants_movie(found: InstanceRecord, accepted: list[Accepted], pictures: tuple[str, ...]) -> bool:
    """Tell whether the asker would rather have the instance as a movie than as one of `pictures`.

    Who accepts anything gets a picture; one frame is no movie.
    """
    media_type = VIDEO_SYNTAXES.get(found.transfer_syntax_uid, MP4)
    if found.number_of_frames < 2 and found.transfer_syntax_uid not in VIDEO_SYNTAXES:
        return False
    try:
        return choose(accepted, (*pictures, media_type)) == media_type
    except NotAcceptableError:
        return False


def movie_of(found: InstanceRecord) -> Response:
    """Answer the movie of an instance, or the range of it that is asked for.

    Raises:
        UnusableBytesError: none can be made of it.
        RangeNotSatisfiableError: the range lies outside.
    """
    movies = services().eir.movies
    try:
        movie = movies.movie(found)
    except (UnrenderableInstanceError, FrameNotFoundError) as error:
        raise UnusableBytesError("no movie can be made of this") from error
    if request.if_none_match.contains(movie.etag):
        answer = Response(status=304)
    else:
        start, stop = asked_range(movie.size) if _is_current(movie.etag) else (0, movie.size)
        stream = movies.open(movie, start, stop - start)
        answer = Response(_pieces(stream), content_type=movie.media_type)
        answer.call_on_close(stream.close)
        answer.content_length = stop - start
        if stop - start < movie.size:
            answer.status_code = 206
            answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{movie.size}"
    answer.set_etag(movie.etag)
    answer.headers["Accept-Ranges"] = "bytes"
    # Kept by the browser, shown only after the hub has said again that this reader may.
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _is_current(etag: str) -> bool:
    """Whether the asker's range belongs to these bytes, if it says to which (RFC 9110 13.1.5)."""
    named = request.if_range.etag
    return (named is None and request.if_range.date is None) or named == etag


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(_CHUNK_BYTES):
        yield piece
