"""Stored values of a frame at a half, a quarter, an eighth … of its size, for small pictures.

HTJ2K with its resolutions in order gives them from the first bytes of a codestream, the rest is not
even read; from every other syntax they are the means of blocks of the decoded frame.
"""

import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from eir_versions import reasons
from eir_versions.codecs import DecodedFrame, decode_frame
from eir_versions.codestreams import read_jpeg2000
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.headers import ImageHeader
from eir_versions.instance_file import InstanceFile
from eir_versions.lossless import HTJ2K_LOSSLESS_RPCL

_HEAD_BYTES = 512
_COD, _TLM = b"\xff\x52", b"\xff\x55"
_TLM_ENTRY = struct.Struct(">HL")
_TWO_AND_FOUR_BYTES = 0x60  # Stlm: tile index of two bytes, length of four (ISO 15444-1 A.7.1)
_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"
_MOST_SUMMED = 128  # the square of it, times a word of 16 bits, fits into 31 bits


def halvings_for(header: ImageHeader, size: tuple[int, int]) -> int:
    """Return how often a frame can be halved and still be as large as (width, height) `size`.

    0 for pixels whose means are no pixels: indices of a palette, single bits, reals.
    """
    layout = header.layout
    if header.photometric == "PALETTE COLOR" or layout.floating or layout.bits_allocated < 8:
        return 0
    halvings = 0
    while (
        -(-layout.columns >> (halvings + 1)) >= size[0]
        and -(-layout.rows >> (halvings + 1)) >= size[1]
        and min(layout.rows, layout.columns) >> (halvings + 1)
    ):
        halvings += 1
    return halvings


def reduced_frame(instance: InstanceFile, frame_number: int, halvings: int) -> DecodedFrame:
    """Return the stored values of one frame, 1-based, halved `halvings` times.

    Raises:
        UnrenderableInstanceError, FrameNotFoundError: as `decode_frame`.
    """
    if instance.header.transfer_syntax_uid == HTJ2K_LOSSLESS_RPCL:
        found = _from_prefix(instance, frame_number, halvings)
        if found is not None:
            return found
    whole = decode_frame(instance, frame_number)
    return DecodedFrame(_block_means(whole.values, 1 << halvings), whole.photometric)


def prefix_bytes(head: bytes, halvings: int) -> int | None:
    """Return how many first bytes of a codestream hold it halved `halvings` times.

    `head` is its beginning. None where the main header does not say so (no TLM of one tile in
    resolution order), or the codestream cannot be halved that often.
    """
    first_part = head.find(_TILE_PART)
    cod, tlm = head.find(_COD, 0, first_part), head.find(_TLM, 0, first_part)
    if first_part < 0 or cod < 0 or tlm < 0 or head[tlm + 5] != _TWO_AND_FOUR_BYTES:
        return None
    tlm_end = tlm + 2 + int.from_bytes(head[tlm + 2 : tlm + 4], "big")
    entries = list(_TLM_ENTRY.iter_unpack(head[tlm + 6 : tlm_end]))
    resolutions = head[cod + 9] + 1
    if len(entries) != resolutions or halvings >= resolutions or any(tile for tile, _ in entries):
        return None
    lengths: list[int] = [length for _, length in entries]
    return first_part + sum(lengths[: resolutions - halvings])


def _from_prefix(instance: InstanceFile, frame_number: int, halvings: int) -> DecodedFrame | None:
    place = _codestream_place(instance, frame_number)
    if place is None:
        return None
    offset, available = place
    instance.source.seek(offset)
    head = instance.source.read(min(_HEAD_BYTES, available))
    layout = instance.header.layout
    claimed = read_jpeg2000(head)
    needed = prefix_bytes(head, halvings)
    if claimed is None or needed is None or needed > available:
        return None
    size = (claimed.rows, claimed.columns, claimed.components)
    if size != (layout.rows, layout.columns, layout.samples):
        raise UnrenderableInstanceError(reasons.CODESTREAM_MISMATCH)
    data = head[:needed] + instance.source.read(max(0, needed - len(head)))
    try:
        values = imagecodecs.htj2k_decode(
            data + _END, planar=False, skipres=halvings, resilient=True
        )
    except (ValueError, RuntimeError) as error:
        raise UnrenderableInstanceError(reasons.DECODE_FAILED) from error
    photometric = instance.header.photometric
    return DecodedFrame(values, "RGB" if photometric == "YBR_RCT" else photometric)


def _codestream_place(instance: InstanceFile, frame_number: int) -> tuple[int, int] | None:
    """Return (offset, length) of a frame's item; None where it is not one item."""
    if not 1 <= frame_number <= instance.header.number_of_frames:
        raise FrameNotFoundError(f"frame {frame_number} does not exist")
    found = instance.fragments(frame_number)
    return found[0] if len(found) == 1 else None


def _block_means(values: NDArray[Any], edge: int) -> NDArray[Any]:
    """Return the mean of each block of `edge` x `edge`, the last ones cut at the border."""
    rows, columns = values.shape[0] // edge * edge, values.shape[1] // edge * edge
    whole = values[:rows, :columns]
    wide: Any = np.int64 if values.dtype.itemsize > 2 or edge > _MOST_SUMMED else np.int32
    # Rows first: they lie in one piece, and what is left to be picked apart is `edge` times less.
    total: NDArray[Any] = whole[::edge].astype(wide)
    for row in range(1, edge):
        total += whole[row::edge]
    means = total[:, ::edge].copy()
    for column in range(1, edge):
        means += total[:, column::edge]
    return (means // (edge * edge)).astype(values.dtype)
