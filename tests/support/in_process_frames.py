"""What the decoder children do for masters, done in this process: the same code, no start-up."""

from collections.abc import Mapping
from typing import BinaryIO

from eir_versions.instance_file import open_instance
from eir_versions.lossless import encode_frame
from eir_versions.reframing import reframed
from eir_versions.wire import FrameLayout, NativeFrame, Surroundings


class InProcessFrames:
    """See `eir_versions.master_making.FrameEncoder`."""

    def layout(self, source: BinaryIO) -> FrameLayout:
        source.seek(0)
        header = open_instance(source).header
        layout = header.layout
        return FrameLayout(
            header.number_of_frames,
            layout.samples,
            layout.bits_allocated,
            layout.frame_bits,
            layout.floating,
        )

    def encoded_frame(
        self, source: BinaryIO, frame_number: int, transfer_syntax_uid: str
    ) -> NativeFrame:
        source.seek(0)
        return NativeFrame(*encode_frame(open_instance(source), frame_number, transfer_syntax_uid))

    def surroundings(
        self, source: BinaryIO, changes: Mapping[int, tuple[str, bytes]], *, implicit: bool
    ) -> Surroundings:
        source.seek(0)
        return reframed(source, changes, implicit=implicit)
