"""Which modality and VOI transformation applies to which frame."""

import math
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from eir_versions.pixels import (
    GrayscaleTransform,
    LookupTable,
    Padding,
    Rescale,
    Window,
    WindowFunction,
)
from eir_versions.rendering import FrameRequest
from eir_versions.transforms import grayscale_transform, pixel_spacing, slice_thickness_mm
from tests.eir_versions.builders import SAMPLES, image_dataset, opened, part10, rendered

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def lut(first: int, *entries: int, bits: int = 8) -> Dataset:
    made = item(LUTDescriptor=[len(entries), first, bits], LUTData=list(entries))
    made["LUTDescriptor"].VR = "US"
    made["LUTData"].VR = "US"
    return made


def transform_of(dataset: Dataset, frame_index: int = 0) -> GrayscaleTransform:
    instance = opened(part10(dataset))
    return grayscale_transform(instance.dataset, instance.header, frame_index)


def enhanced() -> Dataset:
    """Two frames: the first has its own window and rescale, the second the shared ones."""
    dataset = image_dataset(np.stack([PIXELS, PIXELS]))
    shared = item(
        FrameVOILUTSequence=Sequence([item(WindowCenter="40", WindowWidth="400")]),
        PixelValueTransformationSequence=Sequence(
            [item(RescaleSlope="1", RescaleIntercept="-1024")]
        ),
        PixelMeasuresSequence=Sequence([item(PixelSpacing=["0.5", "0.25"], SliceThickness="1.25")]),
    )
    own = item(
        FrameVOILUTSequence=Sequence(
            [item(WindowCenter="10.5", WindowWidth="20", VOILUTFunction="LINEAR_EXACT")]
        ),
        PixelValueTransformationSequence=Sequence([item(RescaleSlope="2", RescaleIntercept="3")]),
    )
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([own, Dataset()])
    return dataset


def test_a_frame_s_own_functional_group_comes_before_the_shared_one() -> None:
    assert transform_of(enhanced(), 0) == GrayscaleTransform(
        Rescale(2.0, 3.0), Window(10.5, 20.0, WindowFunction.LINEAR_EXACT)
    )
    assert transform_of(enhanced(), 1) == GrayscaleTransform(
        Rescale(1.0, -1024.0), Window(40.0, 400.0)
    )


def test_functional_groups_decide_about_the_pixels() -> None:
    picture = rendered(enhanced(), FrameRequest(1))
    expected = np.clip(255 * ((PIXELS * 2.0 + 3 - 10.5) / 20 + 0.5), 0, 255)
    assert (picture == np.floor(expected).astype(np.uint8)).all()


def test_a_real_enhanced_ct_is_shown_through_its_frame_s_window() -> None:
    instance = opened(SAMPLES / "eCT_Supplemental.dcm")
    transform = grayscale_transform(instance.dataset, instance.header, 0)
    assert transform.modality == Rescale(1.0, -1024.0)
    assert transform.voi == Window(49.0, 102.0)


def test_a_voi_table_replaces_the_window() -> None:
    dataset = image_dataset(PIXELS, WindowCenter="1", WindowWidth="2")
    dataset.VOILUTSequence = Sequence([lut(0, 9, 8, 7)])
    voi = transform_of(dataset).voi
    assert isinstance(voi, LookupTable)
    assert voi.entries.tolist() == [9, 8, 7]


def test_an_unusable_voi_table_leaves_the_window() -> None:
    dataset = image_dataset(PIXELS, WindowCenter="1", WindowWidth="2")
    dataset.VOILUTSequence = Sequence([item(LUTDescriptor=[2, 0], LUTExplanation="broken")])
    dataset.VOILUTSequence[0]["LUTDescriptor"].VR = "US"
    assert transform_of(dataset).voi == Window(1.0, 2.0)


def test_the_first_usable_of_several_windows_is_taken() -> None:
    dataset = image_dataset(PIXELS, WindowCenter=["5", "6", "7"], WindowWidth=["0", "-1", "70"])
    assert transform_of(dataset).voi == Window(7.0, 70.0)


@pytest.mark.parametrize("width", ["0", "-3"])
def test_a_picture_with_an_impossible_window_is_not_black(width: str) -> None:
    picture = rendered(image_dataset(PIXELS, WindowCenter="5", WindowWidth=width))
    assert (picture.min(), picture.max()) == (0, 255)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_window_that_is_no_number_is_not_taken() -> None:
    data = part10(image_dataset(PIXELS, WindowCenter="1234", WindowWidth="4321"))
    picture = rendered(data.replace(b"4321", b"NaN "))
    assert (picture.min(), picture.max()) == (0, 255)


def test_a_reader_s_window_replaces_even_a_voi_table() -> None:
    dataset = image_dataset(PIXELS)
    dataset.VOILUTSequence = Sequence([lut(0, 9)])
    picture = rendered(dataset, FrameRequest(window=Window(128.5, 1)))
    assert set(np.unique(picture).tolist()) == {0, 255}


def test_a_modality_table_comes_before_a_rescale() -> None:
    dataset = image_dataset(PIXELS, RescaleSlope="9", RescaleIntercept="9")
    dataset.ModalityLUTSequence = Sequence([lut(0, 100, 200, bits=16)])
    modality = transform_of(dataset).modality
    assert isinstance(modality, LookupTable)
    assert modality.entries.tolist() == [100, 200]


def test_a_signed_image_has_a_signed_first_table_input() -> None:
    dataset = image_dataset(PIXELS.astype(np.int16))
    dataset.ModalityLUTSequence = Sequence([lut(0xFFFF, 1, 2, bits=16)])
    modality = transform_of(dataset).modality
    assert isinstance(modality, LookupTable)
    assert modality.first == -1


def test_table_entries_packed_as_bytes_are_read_as_bytes() -> None:
    made = item(LUTDescriptor=[4, 0, 8], LUTData=bytes([1, 2, 3, 4]))
    made["LUTDescriptor"].VR = "US"
    made["LUTData"].VR = "OW"
    dataset = image_dataset(PIXELS)
    dataset.VOILUTSequence = Sequence([made])
    voi = transform_of(dataset).voi
    assert isinstance(voi, LookupTable)
    assert voi.entries.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [("0", "5", None), ("2", "", None), ("-1.5", "10", Rescale(-1.5, 10.0))],
)
def test_a_rescale_needs_a_slope_and_an_intercept(
    slope: str, intercept: str, expected: Rescale | None
) -> None:
    dataset = image_dataset(PIXELS, RescaleSlope=slope, RescaleIntercept=intercept)
    assert transform_of(dataset).modality == expected


def test_padding_is_read_with_the_sign_of_the_pixels() -> None:
    dataset = image_dataset(PIXELS.astype(np.int16), PixelPaddingValue=0xF830)
    dataset["PixelPaddingValue"].VR = "US"
    assert transform_of(dataset).padding == Padding(-2000, -2000)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PixelAspectRatio": [4, 3], "PixelSpacing": ["1", "1"]}, (4.0, 3.0)),
        ({"PixelSpacing": ["0.5", "0.25"], "ImagerPixelSpacing": ["1", "1"]}, (0.5, 0.25)),
        ({"ImagerPixelSpacing": ["0.2", "0.1"]}, (0.2, 0.1)),
        ({"PixelSpacing": ["0", "1"]}, None),
        ({}, None),
    ],
)
def test_aspect_comes_from_the_first_attribute_that_says_it(
    attributes: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    instance = opened(part10(image_dataset(PIXELS, **attributes)))
    assert pixel_spacing(instance.dataset, 0) == expected


def test_measures_of_an_enhanced_object_come_from_its_functional_groups() -> None:
    instance = opened(part10(enhanced()))
    assert pixel_spacing(instance.dataset, 1) == (0.5, 0.25)
    assert slice_thickness_mm(instance.dataset) == 1.25
    assert slice_thickness_mm(image_dataset(PIXELS)) is None
    assert math.isclose(slice_thickness_mm(image_dataset(PIXELS, SliceThickness="2.5")) or 0, 2.5)
