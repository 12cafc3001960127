"""Supplemental and well-known palettes, ICC profiles and CIELab: colours by independent rules."""

import struct
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from eir_versions.colour_profiles import to_srgb
from eir_versions.jobs import PALETTES
from eir_versions.pixels import rgb_from_cielab
from eir_versions.rendering import FrameRequest
from tests.eir_versions.builders import SAMPLES, image_dataset, rendered

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SUPPLEMENTAL = SAMPLES / "eCT_Supplemental.dcm"
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
SOME = np.random.default_rng(8).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def test_values_above_the_first_mapped_take_the_supplemental_colours() -> None:
    dataset = pydicom.dcmread(SUPPLEMENTAL)
    values = dataset.pixel_array[0]
    count, first, _ = dataset.RedPaletteColorLookupTableDescriptor
    words = [
        np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2") >> 8
        for colour in ("Red", "Green", "Blue")
    ]
    ours = rendered(SUPPLEMENTAL)
    mapped = values >= first
    index = np.minimum(values[mapped].astype(int) - first, count - 1)
    assert len(np.unique(index)) > 10
    assert (ours[mapped] == np.stack([table[index] for table in words], axis=-1)).all()
    gray = ours[~mapped]
    assert (gray == gray[..., :1]).all()
    plain = pydicom.dcmread(SUPPLEMENTAL)
    for colour in ("Red", "Green", "Blue"):
        delattr(plain, f"{colour}PaletteColorLookupTableDescriptor")
    assert (gray[:, 0] == rendered(plain)[~mapped]).all()


def test_a_palette_without_pixel_presentation_in_colour_is_not_applied() -> None:
    dataset = image_dataset(RAMP)
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [16, 240, 8])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes(16))
    assert rendered(dataset).ndim == 2
    dataset.PixelPresentation = "COLOR"
    assert (rendered(dataset)[15] == 0).all()
    assert (rendered(dataset)[14] == 224 + np.arange(16)[:, None]).all()


@pytest.mark.parametrize("name", PALETTES)
def test_a_well_known_palette_is_pydicoms(name: str) -> None:
    dataset = image_dataset(RAMP, WindowCenter="128", WindowWidth="256")
    theirs = apply_color_lut(RAMP, palette=PALETTES[name])
    ours = rendered(dataset, FrameRequest(palette=name))
    assert (ours == theirs >> 8 * (theirs.itemsize - 1)).all()


def test_an_image_that_names_a_well_known_palette_is_shown_in_it() -> None:
    dataset = image_dataset(
        RAMP,
        PhotometricInterpretation="PALETTE COLOR",
        PaletteColorLookupTableUID=PALETTES["hotiron"],
    )
    theirs = apply_color_lut(RAMP, palette="HOT_IRON")
    assert (rendered(dataset) == theirs).all()


def fixed(value: float) -> bytes:
    return struct.pack(">l", round(value * 65536))


def matrix_profile(columns: NDArray[np.float64], gamma: float) -> bytes:
    """An RGB display profile of three primaries (XYZ, D50) and one power curve, by hand."""
    xyz = b"".join(b"XYZ \0\0\0\0" + b"".join(map(fixed, column)) for column in columns)
    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    names = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt"]
    start = 128 + 4 + 12 * len(names)
    places = [start, start + 20, start + 40, *[start + 60] * 3, start + 60 + len(curve)]
    sizes = [20, 20, 20, *[14] * 3, 20]
    table = struct.pack(">L", len(names)) + b"".join(
        name + struct.pack(">LL", place, size)
        for name, place, size in zip(names, places, sizes, strict=True)
    )
    body = table + xyz + curve + white
    head = struct.pack(">L4sL4s4s4s12s4s", 128 + len(body), b"", 0x02100000, b"mntr", b"RGB ",
                       b"XYZ ", bytes(12), b"acsp")  # fmt: skip
    head = head.ljust(68, b"\0") + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return head.ljust(128, b"\0") + body


# The primaries of sRGB, adapted to D50; green and blue changed places in the profile below.
SRGB_COLUMNS = np.array(
    [[0.4360747, 0.2225045, 0.0139322], [0.3850649, 0.7168786, 0.0971045],
     [0.1430804, 0.0606169, 0.7141733]]
)  # fmt: skip


def test_a_matrix_profile_is_worked_out_as_its_formula_says() -> None:
    profile = matrix_profile(SRGB_COLUMNS[[0, 2, 1]], gamma=1.0)
    linear = SOME[..., [0, 2, 1]] / 255.0
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    ours = to_srgb(SOME, profile)
    assert np.abs(ours - np.rint(curved * 255)).max() <= 2
    assert np.abs(SOME.astype(int) - ours).max() > 60


def test_a_profile_of_the_image_is_applied_and_srgb_changes_nothing() -> None:
    dataset = image_dataset(np.zeros((20, 30), np.uint8), SamplesPerPixel=3, PlanarConfiguration=0)
    dataset.PhotometricInterpretation, dataset.PixelData = "RGB", SOME.tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    dataset.ICCProfile = srgb
    assert np.abs(rendered(dataset).astype(int) - SOME).max() <= 1
    path = Dataset()
    path.ICCProfile = matrix_profile(SRGB_COLUMNS[[0, 2, 1]], gamma=1.0)
    del dataset.ICCProfile
    dataset.OpticalPathSequence = [path]
    assert (rendered(dataset) == to_srgb(SOME, path.ICCProfile)).all()


@pytest.mark.parametrize("spoiled", [b"", b"\0" * 500, b"acsp" * 64])
def test_an_unusable_profile_changes_nothing(spoiled: bytes) -> None:
    assert (to_srgb(SOME, spoiled) == SOME).all()
    assert (to_srgb(SOME, None) == SOME).all()


@pytest.mark.parametrize(
    "rgb", [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 128, 255), (9, 90, 60)]
)
def test_a_cielab_value_is_the_colour_it_was_made_of(rgb: tuple[int, int, int]) -> None:
    assert np.abs(np.subtract(rgb_from_cielab(cielab(rgb)), rgb)).max() <= 1


def cielab(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """The forward direction, written down from CIE 15 and IEC 61966-2-1."""
    part = np.array(rgb) / 255.0
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    ratio = SRGB_COLUMNS.T @ linear / np.array([0.96422, 1.0, 0.82521])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = (116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2]))
    encoded: list[Any] = [lab[0] * 65535 / 100, *((axis + 128) * 65535 / 255 for axis in lab[1:])]
    return int(round(encoded[0])), int(round(encoded[1])), int(round(encoded[2]))
