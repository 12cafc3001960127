"""What becomes of every real file: compared with DCMTK, or else with a second decoder."""

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import deid_data
import numpy as np
import pydicom
from numpy.typing import NDArray

from eir_versions.codecs import decode_frame
from eir_versions.codestreams import read_jpeg, read_jpeg2000
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.instance_file import InstanceFile, open_instance
from eir_versions.pixels import LookupTable, Window, WindowFunction
from eir_versions.pixels.model import PictureArray
from eir_versions.rendering import FrameRequest, render_frame
from eir_versions.transforms import grayscale_transform
from tests.eir_versions.builders import real_files

DEID = Path(deid_data.__file__).parent / "data"
EQUAL, SECOND = "equal to DCMTK", "second decoder agrees"
_FFMPEG = {
    **dict.fromkeys(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"), "jpeg2000"),
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), "jpegls"),
}


@dataclass(frozen=True)
class Comparison:
    options: tuple[str, ...]
    window: Window | None = None


FIXED = (
    Comparison(("+Ww", "100", "357.5"), Window(100, 357.5)),
    Comparison(("+Ww", "40", "1"), Window(40, 1)),
    Comparison(("+Wfs", "+Ww", "100", "350"), Window(100, 350, WindowFunction.SIGMOID)),
)


def every_file() -> dict[str, Path]:
    """The files of pydicom-data, of pydicom and of deid-data, by a stable name."""
    more = {f"deid/{path.relative_to(DEID).as_posix()}": path for path in DEID.rglob("*.dcm")}
    return dict(real_files()) | dict(sorted(more.items()))


def opened_or_none(path: Path) -> InstanceFile | None:
    try:
        return open_instance(io.BytesIO(path.read_bytes()))
    except UnrenderableInstanceError:
        return None


def dcmtk_picture(
    path: Path | str, options: tuple[str, ...], frame: int = 1, overlays: tuple[str, ...] = ("-O",)
) -> PictureArray | None:
    """What dcmj2pnm draws, gray or in colour; None where it cannot."""
    done = subprocess.run(
        ["dcmj2pnm", "-q", *overlays, "+op", "+F", str(frame), *options, str(path)],
        capture_output=True,
        check=False,
    )
    if done.returncode or done.stdout[:2] not in (b"P5", b"P6"):
        return None
    _, size, _, pixels = done.stdout.split(b"\n", 3)
    columns, rows = (int(part) for part in size.split())
    shape = (rows, columns) if done.stdout[:2] == b"P5" else (rows, columns, 3)
    return np.frombuffer(pixels, np.uint8)[: int(np.prod(shape))].reshape(shape)


def comparisons(instance: InstanceFile) -> tuple[Comparison, ...]:
    """The file's own VOI, or the range of the frame where it has none, and three fixed windows."""
    if instance.header.layout.samples != 1 or instance.header.photometric == "PALETTE COLOR":
        return (Comparison(()),)
    voi = grayscale_transform(instance.dataset, instance.header, 0).voi
    if isinstance(voi, LookupTable):
        own: tuple[str, ...] = ("+Wl", "1")
    else:
        own = ("+Wm",) if voi is None else ("+Wi", "1")
    return (Comparison(own), *FIXED)


def outcome(path: Path) -> str:
    """One line of the table: what of the first two frames was compared with what, and how."""
    try:
        instance = open_instance(io.BytesIO(path.read_bytes()))
        render_frame(instance, FrameRequest())
    except UnrenderableInstanceError as error:
        drawn = dcmtk_picture(path, ()) is not None
        return f"refused: {error.reason}" + (", DCMTK draws it" if drawn else "")
    compared, most = 0, 0
    for frame in range(1, min(instance.header.number_of_frames, 2) + 1):
        for comparison in comparisons(instance):
            theirs = dcmtk_picture(path, comparison.options, frame)
            if theirs is not None:
                ours = render_frame(instance, FrameRequest(frame, comparison.window))
                most = max(most, difference(ours, theirs))
                compared += 1
    if not compared:
        return _second_decoder(instance, path)
    return f"{EQUAL}, {compared}" if not most else f"up to {most} from DCMTK, {compared}"


def difference(ours: PictureArray, theirs: PictureArray) -> int:
    """The largest difference of two pictures, 256 for two of different shapes."""
    if ours.shape != theirs.shape:
        return 256
    return int(np.abs(ours.astype(int) - theirs).max())


def _second_decoder(instance: InstanceFile, path: Path) -> str:
    ours = decode_frame(instance, 1).values
    codec = _FFMPEG.get(instance.header.transfer_syntax_uid)
    if codec is None:
        theirs = pydicom.dcmread(path).pixel_array
        theirs = theirs[0] if instance.header.number_of_frames > 1 else theirs
    else:
        theirs = _by_ffmpeg(codec, instance)
    if ours.shape != theirs.shape:
        return f"second decoder: another shape {theirs.shape}"
    most = int(np.abs(ours.astype(int) - theirs.astype(int)).max())
    return f"up to {most} from a second decoder" if most else SECOND


def _by_ffmpeg(codec: str, instance: InstanceFile) -> NDArray[np.integer[Any]]:
    """FFmpeg puts few bits at the top of its words and signed values above the middle."""
    data = instance.frame_bytes(1)
    context = av.CodecContext.create(codec, "r")
    frame = [*context.decode(av.Packet(data)), *context.decode(None)][0]
    values = frame.to_ndarray()
    claimed = read_jpeg2000(data) if codec == "jpeg2000" else read_jpeg(data)
    assert claimed is not None
    if values.itemsize > 1 and codec == "jpeg2000":
        values = values >> (frame.format.components[0].bits - claimed.precision)
    signed = instance.header.layout.signed
    if claimed.signed:
        return values.astype(np.int32) - (1 << (claimed.precision - 1))
    if signed:
        sign = 1 << (claimed.precision - 1)
        return (values.astype(np.int32) ^ sign) - sign
    return values
