"""Every grayscale picture that DCMTK can draw is drawn alike, pixel for pixel."""

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eir_versions.errors import UnrenderableInstanceError
from eir_versions.instance_file import InstanceFile, open_instance
from eir_versions.pixels import LookupTable, Window, WindowFunction
from eir_versions.pixels.model import PictureArray
from eir_versions.rendering import FrameRequest, render_frame
from eir_versions.transforms import grayscale_transform
from tests.eir_versions.builders import image_dataset, part10, real_files
from tests.support.tools import require_tool

# Old files break rules of the standard and pydicom says so; the pictures are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# Files that dcmj2pnm draws and we draw differently or not at all, each with the reason.
EXCEPTIONS = {
    "data/eCT_Supplemental.dcm": "DCMTK leaves the supplemental palette out; "
    "the colours are compared with pydicom's in test_palettes.py",
    "test_files/badVR.dcm": "Number of Frames is '1A': DCMTK reads 1, we refuse",
    "test_files/rtdose_expb.dcm": "DCMTK leaves 32-bit big endian OW half swapped; "
    "our picture equals that of rtdose.dcm",
    "test_files/rtdose_expb_1frame.dcm": "as rtdose_expb.dcm",
}
# What DCMTK cannot read is compared with its uncompressed twin in test_codecs.py.
LEAST_FILES_COMPARED = 80


@dataclass(frozen=True)
class Comparison:
    options: tuple[str, ...]
    window: Window | None = None


FIXED = (
    Comparison(("+Ww", "100", "357.5"), Window(100, 357.5)),
    Comparison(("+Ww", "40", "1"), Window(40, 1)),
    Comparison(("+Wfs", "+Ww", "100", "350"), Window(100, 350, WindowFunction.SIGMOID)),
)


def dcmtk_picture(
    path: Path | str, options: tuple[str, ...], frame: int = 1, data: bytes | None = None
) -> PictureArray | None:
    """The PGM that dcmj2pnm writes, None where it cannot or where it is in colour."""
    done = subprocess.run(
        ["dcmj2pnm", "-q", "-O", "+op", "+F", str(frame), *options, str(path)],
        capture_output=True,
        check=False,
        input=data,
    )
    if done.returncode or not done.stdout.startswith(b"P5"):
        return None
    _, size, _, pixels = done.stdout.split(b"\n", 3)
    columns, rows = (int(part) for part in size.split())
    return np.frombuffer(pixels, np.uint8)[: rows * columns].reshape(rows, columns)


def comparisons(instance: InstanceFile | None) -> tuple[Comparison, ...]:
    """The file's own VOI, or the range of the frame where it has none, and three fixed windows."""
    if instance is None or instance.header.layout.samples != 1:
        return (Comparison(("+Wm",)),)
    voi = grayscale_transform(instance.dataset, instance.header, 0).voi
    if isinstance(voi, LookupTable):
        own = ("+Wl", "1")
    else:
        own = ("+Wm",) if voi is None else ("+Wi", "1")
    return (Comparison(own), *FIXED)


def opened_or_none(path: Path) -> InstanceFile | None:
    try:
        return open_instance(io.BytesIO(path.read_bytes()))
    except UnrenderableInstanceError:
        return None


@pytest.fixture(scope="session")
def dcmj2pnm() -> None:
    require_tool("dcmj2pnm")


def compare(name: str, path: Path, frame: int) -> tuple[int, list[str]]:
    """The number of pictures compared, and what was wrong with them."""
    compared, wrong = 0, []
    instance = opened_or_none(path)
    if instance is not None and instance.header.number_of_frames < frame:
        return 0, []
    for comparison in comparisons(instance):
        theirs = dcmtk_picture(path, comparison.options, frame)
        if theirs is None:
            continue
        compared += 1
        if instance is None:
            wrong.append(f"{name}: refused")
            continue
        ours = render_frame(instance, FrameRequest(frame, comparison.window))
        different = int((ours != theirs).sum()) if ours.shape == theirs.shape else -1
        if different:
            wrong.append(f"{name} {comparison.options}: {different} pixels differ")
    return compared, wrong


@pytest.mark.usefixtures("dcmj2pnm")
def test_no_pixel_differs_from_dcmtk_on_any_grayscale_file() -> None:
    compared, wrong, files = 0, [], 0
    for name, path in real_files():
        if name in EXCEPTIONS:
            continue
        for frame in (1, 2):
            count, faults = compare(name, path, frame)
            compared += count
            files += bool(count) and frame == 1
            wrong += faults
    assert not wrong
    assert files >= LEAST_FILES_COMPARED
    assert compared > 3 * LEAST_FILES_COMPARED


@pytest.mark.usefixtures("dcmj2pnm")
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_is_still_needed(name: str) -> None:
    path = dict(real_files())[name]
    try:
        compared, wrong = compare(name, path, 1)
    except UnrenderableInstanceError:
        return
    assert compared
    assert wrong


@pytest.mark.usefixtures("dcmj2pnm")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["", "IDENTITY", "INVERSE"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (0.37, 11.5), (2.5, 0)])
def test_made_objects_agree_with_dcmtk(
    tmp_path: Path, photometric: str, shape: str, slope: float, intercept: float
) -> None:
    pixels = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    dataset = image_dataset(
        pixels,
        PhotometricInterpretation=photometric,
        BitsStored=12,
        HighBit=11,
        RescaleSlope=str(slope),
        RescaleIntercept=str(intercept),
        WindowCenter="37",
        WindowWidth="811",
    )
    if shape:
        dataset.PresentationLUTShape = shape
    path = tmp_path / "made.dcm"
    path.write_bytes(part10(dataset))
    theirs = dcmtk_picture(path, ("+Wi", "1"))
    assert theirs is not None
    ours = render_frame(open_instance(io.BytesIO(path.read_bytes())), FrameRequest())
    assert int((ours != theirs).sum()) == 0
