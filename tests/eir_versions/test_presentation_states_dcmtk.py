"""Grayscale presentation states are applied as DCMTK applies them, pixel for pixel."""

import copy
import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from eir_versions.instance_file import open_instance
from eir_versions.pixels.model import PictureArray
from eir_versions.presentation_states import FramePresentation, open_presentation_state
from eir_versions.rendering import FrameRequest, render_frame
from tests.eir_versions.builders import OWN, SAMPLES, TEST_FILES, image_dataset, part10
from tests.support.tools import require_tool

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

IMAGES = {
    "CT": TEST_FILES / "CT_small.dcm",
    "MR": TEST_FILES / "MR_small.dcm",
    "VOI LUT": SAMPLES / "vlut_04.dcm",
    "modality LUT": SAMPLES / "mlut_18.dcm",
    "overlay": TEST_FILES / "examples_overlay.dcm",
}
assert OWN.is_dir()


@dataclass(frozen=True)
class Change:
    """What is altered in the state that DCMTK makes of an image."""

    name: str
    make: Callable[[Dataset], None]


def presentation_lut(entries: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [entries, 0, bits]
    curve = np.sqrt(np.arange(entries) / (entries - 1)) * ((1 << bits) - 1)
    item.add_new(0x00283006, "OW", curve.astype("<u2").tobytes())
    return item


def as_made(_state: Dataset) -> None:
    """DCMTK's own state."""


def inverse(state: Dataset) -> None:
    state.PresentationLUTShape = "INVERSE"


def without_voi(state: Dataset) -> None:
    state.pop("SoftcopyVOILUTSequence", None)


def without_voi_inverse(state: Dataset) -> None:
    without_voi(state)
    inverse(state)


def without_modality(state: Dataset) -> None:
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"):
        state.pop(keyword, None)


def window(state: Dataset) -> None:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = "900", "777.5"
    state.SoftcopyVOILUTSequence = [item]


def lut(entries: int, bits: int, voi: Callable[[Dataset], None]) -> Callable[[Dataset], None]:
    def make(state: Dataset) -> None:
        voi(state)
        state.pop("PresentationLUTShape", None)
        state.PresentationLUTSequence = [presentation_lut(entries, bits)]

    return make


def turn(rotation: int, flip: str) -> Callable[[Dataset], None]:
    def make(state: Dataset) -> None:
        state.ImageRotation, state.ImageHorizontalFlip = rotation, flip

    return make


CHANGES = (
    Change("as made", as_made),
    Change("inverse", inverse),
    Change("no VOI", without_voi),
    Change("no VOI, inverse", without_voi_inverse),
    Change("no modality step", without_modality),
    Change("window", window),
    *(
        Change(
            f"presentation LUT of {entries} entries, {bits} bits, {name}", lut(entries, bits, voi)
        )
        for name, voi in (("window", window), ("own VOI", as_made), ("no VOI", without_voi))
        for entries, bits in ((256, 8), (1000, 10), (4096, 16))
    ),
    *(Change(f"{angle} {flip}", turn(angle, flip)) for angle in (90, 180, 270) for flip in "NY"),
)


def made_by_dcmtk(image: Path, folder: Path) -> Dataset:
    """The presentation state that DCMTK makes of an image, with its VOI and modality steps."""
    where = folder / "made.dcm"
    subprocess.run(["dcmpsmk", "-q", "-o", str(image), str(where)], check=True)
    return pydicom.dcmread(where)


def theirs(state: Path, image: Path) -> PictureArray:
    out = state.with_suffix(".pgm")
    subprocess.run(["dcmp2pgm", "-q", "-p", str(state), str(image), str(out)], check=True)
    head, _, pixels = out.read_bytes().partition(b"255\n")
    columns, rows = (int(part) for part in head.split()[1:3])
    return np.frombuffer(pixels, np.uint8)[: rows * columns].reshape(rows, columns)


def ours(state: Path, image: Path) -> PictureArray:
    opened = open_presentation_state(io.BytesIO(state.read_bytes()))
    instance = open_instance(io.BytesIO(image.read_bytes()))
    picture = render_frame(instance, FrameRequest(presentation=opened))
    return FramePresentation(opened, instance, 1).turn().apply(picture)


def differing(state: Dataset, image: Path, folder: Path) -> int:
    path = folder / "state.dcm"
    state.save_as(path)
    first, second = theirs(path, image), ours(path, image)
    return int((first != second).sum()) if first.shape == second.shape else -1


@pytest.fixture(scope="module", autouse=True)
def _dcmtk() -> Iterator[None]:
    require_tool("dcmp2pgm")
    require_tool("dcmpsmk")
    yield


@pytest.mark.parametrize("name", IMAGES)
def test_no_pixel_differs_from_dcmtk_under_any_state(name: str, tmp_path: Path) -> None:
    made = made_by_dcmtk(IMAGES[name], tmp_path)
    wrong = {}
    for change in CHANGES:
        state = copy.deepcopy(made)
        change.make(state)
        wrong[change.name] = differing(state, IMAGES[name], tmp_path)
    assert set(wrong.values()) == {0}, {name: count for name, count in wrong.items() if count}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_state_alone_decides_about_inversion(photometric: str, tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    dataset = image_dataset(
        pixels, BitsStored=12, HighBit=11, PhotometricInterpretation=photometric
    )
    dataset.WindowCenter, dataset.WindowWidth = "2000", "3000"
    image = tmp_path / "image.dcm"
    image.write_bytes(part10(dataset))
    made = made_by_dcmtk(image, tmp_path)
    for shape in ("IDENTITY", "INVERSE"):
        made.PresentationLUTShape = shape
        assert differing(made, image, tmp_path) == 0


def test_a_state_that_is_not_applied_would_be_noticed(tmp_path: Path) -> None:
    """The control: the image's own picture is not that of the state."""
    image = IMAGES["CT"]
    made = made_by_dcmtk(image, tmp_path)
    window(made)
    made.save_as(tmp_path / "state.dcm")
    plain = render_frame(open_instance(io.BytesIO(image.read_bytes())), FrameRequest())
    assert (theirs(tmp_path / "state.dcm", image) != plain).any()
