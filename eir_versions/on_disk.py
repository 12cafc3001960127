"""Streams as files: a decoder child is handed the descriptor of one, never the bytes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def on_disk(source: BinaryIO) -> Iterator[BinaryIO]:
    """Give a file that holds the bytes of `source`: itself, or a copy where it has no descriptor.

    Who has many jobs on one stream, as a movie has, asks once: an object of a bucket would be
    fetched as a whole for each of them.
    """
    try:
        source.fileno()
    except (OSError, AttributeError):
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(source, spool)
            spool.flush()
            yield spool
        return
    yield source
