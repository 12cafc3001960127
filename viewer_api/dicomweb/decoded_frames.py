"""Frames decoded to native samples, by the renderer's child processes (PS3.5 8.1, 8.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from eir_versions.errors import (
    DecoderPoolStoppedError,
    FrameNotFoundError,
    UnrenderableInstanceError,
)
from viewer_api.errors import UnusableBytesError

if TYPE_CHECKING:
    from eir_versions.wire import NativeFrame

FrameDecoder = Callable[[str, int], "NativeFrame"]
"""Returns one frame (from 1) of an instance; `EirService.native_frame`."""

_UNDECODABLE = (DecoderPoolStoppedError, FrameNotFoundError, UnrenderableInstanceError)


def decoded_frames(
    decode: FrameDecoder, sop_instance_uid: str, numbers: Iterable[int]
) -> Iterator[NativeFrame]:
    """Yield the frames `numbers` of an instance, each decoded when it is asked for.

    Raises:
        UnusableBytesError: a frame is not there, cannot be decoded, or cost too much.
    """
    for number in numbers:
        try:
            yield decode(sop_instance_uid, number)
        except _UNDECODABLE as error:
            raise UnusableBytesError("the frame cannot be decoded") from error
