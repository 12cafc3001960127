"""XA/XRF presentation states, each picture worked out by hand (PS3.3 C.11.19-21, PS3.4 N.2.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.angiography_states import ANGIOGRAPHY
from eir_versions.errors import StateNotPossibleError
from eir_versions.jobs import PictureJob
from eir_versions.pictures import make_picture
from eir_versions.presentation_states import GRAYSCALE, PresentationState
from eir_versions.steps import pipeline_steps
from tests.eir_versions.builders import item, opened, part10, presentation_state
from tests.eir_versions.test_subtraction import (
    FRAMES,
    VALUES,
    WINDOW,
    angiogram,
    drawn,
    table,
    through_window,
)

ENHANCED_XA = "1.2.840.10008.5.1.4.1.1.12.1.1"
NATIVE_WINDOW = {"WindowCenter": "1000.5", "WindowWidth": "257"}
STATE_UID = "1.2.826.0.1.3680043.10.7.89.1"


def mask(**said: Any) -> Dataset:
    given = {"MaskOperation": "AVG_SUB", "MaskFrameNumbers": [1]} | said
    return item(**{name: value for name, value in given.items() if value is not None})


def state_of(dataset: Dataset, *masks: Dataset, **attributes: Any) -> Dataset:
    given = {
        "RecommendedViewingMode": "SUB",
        "MaskSubtractionSequence": list(masks),
        "SoftcopyVOILUTSequence": [item(**WINDOW)],
    } | attributes
    said = {name: value for name, value in given.items() if value is not None}
    return presentation_state(dataset, ANGIOGRAPHY, **said)


def presented(dataset: Dataset, state: Dataset, frame: int = 3) -> NDArray[np.uint8]:
    return drawn(dataset, frame, presentation=PresentationState(state, state.SOPClassUID))


def steps(dataset: Dataset, state: Dataset, frame: int = 3) -> list[str]:
    job = PictureJob(frame, presentation_state_uid=STATE_UID)
    found = PresentationState(state, state.SOPClassUID)
    return pipeline_steps(opened(part10(dataset)), job, found)


def display(**said: Any) -> dict[str, list[Dataset]]:
    shown = item(StartTrim=1, StopTrim=5, SkipFrameRangeFlag="DISPLAY", **said)
    return {"MultiFramePresentationSequence": [item(FrameDisplaySequence=[shown])]}


def logarithms(step: float, *frames: int, function: str = "TO_LOG") -> Dataset:
    """A table of 4096 entries for a range of frames."""
    entries = np.rint(step * np.log1p(np.arange(4096))).astype(np.uint16)
    made = table(entries)[0]
    made.LUTFunction, made.LUTFrameRange = function, list(frames)
    return made


def test_the_mask_of_the_state_is_subtracted_and_not_that_of_the_image() -> None:
    dataset = angiogram({"MaskFrameNumbers": [2]}, WindowCenter="7", WindowWidth="2")
    shown = presented(dataset, state_of(dataset, mask(MaskFrameNumbers=[1, 2])))
    assert np.array_equal(shown, through_window(VALUES[2] - VALUES[:2].mean(0)))
    assert not np.array_equal(shown, drawn(dataset)), "the control: as the image asks"


def test_each_range_of_frames_has_its_own_mask_and_others_are_shown_as_they_are() -> None:
    dataset = angiogram()
    first, second = (
        mask(ApplicableFrameRange=[3, 3, 5, 5]),
        mask(ApplicableFrameRange=[4, 4], MaskOperation="TID", TIDOffset=2),
    )
    state = state_of(dataset, first, second)
    for frame, less in ((3, VALUES[0]), (4, VALUES[1]), (5, VALUES[0]), (2, 0 * VALUES[0])):
        expected = through_window(VALUES[frame - 1] - less)
        assert np.array_equal(presented(dataset, state, frame), expected), frame


def test_masks_that_lie_reversed_in_time() -> None:
    dataset = angiogram()
    said = {"MaskOperation": "REV_TID", "MaskFrameNumbers": None, "TIDOffset": 1}
    state = state_of(dataset, mask(ApplicableFrameRange=[3, 4], **said))
    for frame, number in ((3, 2), (4, 1)):
        expected = through_window(VALUES[frame - 1] - VALUES[number - 1])
        assert np.array_equal(presented(dataset, state, frame), expected)


def test_contrast_frames_are_averaged_as_far_as_there_are_frames() -> None:
    dataset = angiogram()
    state = state_of(dataset, mask(ContrastFrameAveraging=2))
    expected = through_window(VALUES[3:5].mean(0) - VALUES[0])
    assert np.array_equal(presented(dataset, state, 4), expected)
    # A range that is not said ends where frames to take the mean of end (C.7.6.10.1.1).
    assert np.array_equal(presented(dataset, state, 5), through_window(VALUES[4]))
    early = state_of(dataset, mask(MaskOperation="TID", MaskFrameNumbers=None))
    assert np.array_equal(presented(dataset, early, 1), through_window(VALUES[0]))


@pytest.mark.parametrize(
    ("operation", "mode"), [({"MaskOperation": "NONE"}, "SUB"), ({}, "NAT"), (None, "SUB")]
)
def test_a_state_may_show_frames_as_they_are(operation: dict[str, Any] | None, mode: str) -> None:
    dataset = angiogram()
    masks = [] if operation is None else [mask(**operation)]
    voi = [item(**NATIVE_WINDOW)]
    state = state_of(dataset, *masks, RecommendedViewingMode=mode, SoftcopyVOILUTSequence=voi)
    assert np.array_equal(presented(dataset, state), through_window(VALUES[2] - 1000))


@pytest.mark.parametrize("percent", [0.0, 25.0, 100.0])
def test_a_share_of_the_mask_stays_in_the_picture(percent: float) -> None:
    """PS3.3 C.8.19.7.1: contrast - (1 - X / 100) * mask."""
    dataset, center = angiogram(), 1000.0 * percent / 100
    window = item(WindowCenter=str(center + 0.5), WindowWidth="257")
    said = display(MaskVisibilityPercentage=percent, DisplayFilterPercentage=0.0)
    state = state_of(dataset, mask(), SoftcopyVOILUTSequence=[window], **said)
    less = (1 - percent / 100) * VALUES[0]
    assert np.array_equal(presented(dataset, state), through_window(VALUES[2] - less - center))


def test_each_range_of_frames_has_its_own_pixel_shift_and_the_last_one_counts() -> None:
    dataset = angiogram()
    down, left = VALUES[0][[0, *range(11)]], VALUES[0][:, [*range(1, 16), 15]]
    part = item(MaskSubPixelShift=[5.0, 5.0], VerticesOfTheRegion=[1, 1, 1, 4, 4, 4])
    whole = item(MaskSubPixelShift=[1.0, 0.0])
    shifts = [
        item(PixelShiftFrameRange=[3, 3], RegionPixelShiftSequence=[part, whole]),
        item(
            PixelShiftFrameRange=[4, 4],
            RegionPixelShiftSequence=[item(MaskSubPixelShift=[0.0, 0.25])],
        ),
    ]
    state = state_of(dataset, mask(PixelShiftSequence=shifts))
    for frame, less in ((3, down), (4, VALUES[0] * 0.75 + left * 0.25), (5, VALUES[0])):
        expected = through_window(VALUES[frame - 1] - less)
        assert np.array_equal(presented(dataset, state, frame), expected), frame


@pytest.mark.parametrize("place", ["of the operation", "of the state"])
@pytest.mark.parametrize("relation", ["LIN", "DISP"])
def test_tables_lead_single_frames_to_logarithms_before_they_are_subtracted(
    relation: str, place: str
) -> None:
    """The image's own table leads elsewhere and is left out (PS3.4 N.2.5.1)."""
    dataset = angiogram(PixelIntensityRelationship=relation)
    dataset.ModalityLUTSequence = table(np.arange(4096)[::-1].astype(np.uint16))
    tables = [logarithms(8000, 1, 1), logarithms(7900, 2, 5)]
    said = {"PixelIntensityRelationshipLUTSequence": tables}
    where, more = (mask(**said), {}) if place == "of the operation" else (mask(), said)
    window = item(WindowCenter="-5000.5", WindowWidth="16385")
    state = state_of(dataset, where, SoftcopyVOILUTSequence=[window], **more)
    masked, contrast = (
        np.rint(step * np.log1p(np.arange(4096)))[FRAMES[index]]
        for step, index in ((8000, 0), (7900, 2))
    )
    difference = contrast - masked
    expected = np.floor(255 * np.clip((difference + 5001) / 16384 + 0.5, 0, 1))
    assert np.array_equal(presented(dataset, state), expected)
    assert expected.std() > 0
    (told,) = [one for one in steps(dataset, state) if one.startswith("mask: ")]
    assert told.endswith("from frame 3, after tables to logarithms of the X-ray intensity")


def test_frames_of_enhanced_images_say_their_relation_each() -> None:
    groups = [
        item(FramePixelDataPropertiesSequence=[item(PixelIntensityRelationship=said)])
        for said in ("LOG", "LOG", "LOG", "LIN", "LOG")
    ]
    dataset = angiogram(SOPClassUID=ENHANCED_XA, PerFrameFunctionalGroupsSequence=groups)
    del dataset.PixelIntensityRelationship
    state = state_of(dataset, mask())
    assert np.array_equal(presented(dataset, state), through_window(VALUES[2] - VALUES[0]))
    assert "LIN" in why_not(dataset, state, 4)


def test_without_a_window_black_to_white_is_all_that_a_difference_can_be() -> None:
    dataset = angiogram()
    state = state_of(dataset, mask(), SoftcopyVOILUTSequence=None)
    expected = np.floor((VALUES[2] - VALUES[0] + 4096) / 8192 * 256)
    assert np.array_equal(presented(dataset, state), expected)


def rectangle(dataset: Dataset, *frames: int, right: int = 6) -> Dataset:
    image = item(ReferencedSOPInstanceUID=dataset.SOPInstanceUID)
    image.ReferencedFrameNumber = list(frames)
    return item(
        ReferencedImageSequence=[image],
        ShutterShape="RECTANGULAR",
        ShutterLeftVerticalEdge=3,
        ShutterRightVerticalEdge=right,
        ShutterUpperHorizontalEdge=2,
        ShutterLowerHorizontalEdge=9,
        ShutterPresentationValue=0x4000,
    )


def test_each_frame_has_its_own_shutter_and_window() -> None:
    dataset = angiogram()
    for_fourth = item(ReferencedImageSequence=rectangle(dataset, 4).ReferencedImageSequence)
    for_fourth.WindowCenter, for_fourth.WindowWidth = "-63.5", "257"
    shutters = [rectangle(dataset, 3), rectangle(dataset, 4, right=10)]
    state = state_of(
        dataset,
        mask(),
        FrameDisplayShutterSequence=shutters,
        SoftcopyVOILUTSequence=[for_fourth, item(**WINDOW)],
    )
    for frame, right, center in ((3, 6, 0), (4, 10, -64), (5, None, 0)):
        expected = through_window(VALUES[frame - 1] - VALUES[0] - center)
        outside = np.ones(expected.shape, bool)
        outside[1:9, 2:right] = False
        expected[outside & (right is not None)] = 0x40
        assert np.array_equal(presented(dataset, state, frame), expected), frame


def test_all_that_is_no_mask_is_done_as_a_grayscale_state_has_it() -> None:
    """Whose own pictures are compared with DCMTK's (`test_presentation_states_dcmtk.py`)."""
    line = item(
        GraphicAnnotationUnits="PIXEL", GraphicDimensions=2, NumberOfGraphicPoints=2,
        GraphicData=[2.5, 3.5, 9.5, 3.5], GraphicType="POLYLINE", GraphicFilled="N",
    )  # fmt: skip
    area = item(
        DisplayedAreaTopLeftHandCorner=[2, 2],
        DisplayedAreaBottomRightHandCorner=[14, 11],
        PresentationPixelAspectRatio=[1, 1],
    )
    curve = np.linspace(0, 65535, 256).astype(np.uint16)[::-1]
    lut = item(LUTDescriptor=[256, 0, 16], LUTData=curve.tobytes())
    dataset = angiogram()
    state = state_of(
        dataset,
        mask(),
        ImageRotation=90,
        ImageHorizontalFlip="Y",
        DisplayedAreaSelectionSequence=[area],
        PresentationLUTSequence=[lut],
        GraphicAnnotationSequence=[item(GraphicLayer="A", GraphicObjectSequence=[line])],
    )
    instance, job = opened(part10(dataset)), PictureJob(3, media_type="image/png")
    pictures = [
        make_picture(instance, job, PresentationState(state, kind)).data
        for kind in (ANGIOGRAPHY, GRAYSCALE)
    ]
    assert pictures[0] == pictures[1]
    assert pictures[0] != make_picture(instance, job).data


def why_not(dataset: Dataset, state: Dataset, frame: int = 3) -> str:
    with pytest.raises(StateNotPossibleError) as caught:
        presented(dataset, state, frame)
    assert caught.value.reason == reasons.STATE_NOT_POSSIBLE
    told = f"presentation state {STATE_UID} is not applied: {caught.value.why}"
    assert steps(dataset, state, frame) == [told]
    return caught.value.why


REGION = item(MaskSubPixelShift=[1.0, 0.0], VerticesOfTheRegion=[1, 1, 1, 4, 4, 4])
SHIFT = item(RegionPixelShiftSequence=[item(MaskSubPixelShift=[1.0, 0.0])])


@pytest.mark.parametrize(
    ("masks", "attributes", "why"),
    [
        ([mask(MaskFrameNumbers=[9])], {}, "a frame that it takes does not exist"),
        ([mask(MaskFrameNumbers=None)], {}, "none, or more than 64, frames"),
        ([mask(), mask()], {}, "several mask operations"),
        ([mask(MaskOperation="LANDMARK")], {}, "mask operation LANDMARK is not applied"),
        ([mask(MaskOperation="REV_TID")], {}, "mask operation REV_TID is not applied"),
        ([mask(MaskOperation="TID", ContrastFrameAveraging=2)], {}, "TID of means of 2 frames"),
        ([mask(ApplicableFrameRange=[3])], {}, "a range of frames is none"),
        ([mask(ApplicableFrameRange=[5, 3])], {}, "a range of frames is none"),
        ([mask()], {"RecommendedViewingMode": None}, "does not say whether to subtract"),
        ([mask()], {"RecommendedViewingMode": "BOTH"}, "does not say whether to subtract"),
        ([mask()], display(RecommendedViewingMode="NAT"), "two viewing modes"),
        ([mask()], display(DisplayFilterPercentage=30.0), "edge enhancement is not done"),
        ([mask()], display(MaskVisibilityPercentage=130.0), "Mask Visibility Percentage is none"),
        ([mask(MaskSubPixelShift=[float("nan"), 0.0])], {}, "is no shift"),
        ([mask(MaskSubPixelShift=[1.0, 0.0], PixelShiftSequence=[SHIFT])], {}, "several pixel"),
        ([mask(PixelShiftSequence=[SHIFT, SHIFT])], {}, "several pixel shifts"),
        ([mask(PixelShiftSequence=[item(RegionPixelShiftSequence=[item()])])], {}, "no shift"),
        ([mask(PixelShiftSequence=[item(RegionPixelShiftSequence=[REGION])])], {}, "of parts of"),
        ([mask()], {"ModalityLUTSequence": table(np.arange(9, dtype=np.uint16))}, "modality step"),
        ([mask()], {"RescaleSlope": "2", "RescaleIntercept": "0"}, "modality step"),
        ([mask()], {"FrameDisplayShutterSequence": [item(ShutterShape="HEART")]}, "its shutter"),
        ([mask()], {"FrameDisplayShutterSequence": [item()]}, "its shutter"),
        (
            [mask()],
            {"FrameDisplayShutterSequence": [item(ShutterShape="CIRCULAR")] * 2},
            "several shutters",
        ),
        (
            [mask(PixelIntensityRelationshipLUTSequence=[logarithms(9, 1, 5)])],
            {},
            "1 tables to logarithms of the X-ray intensity for values that are LOG",
        ),
        (
            [mask(ApplicableFrameRange=[4, 5])],
            {"PixelIntensityRelationshipLUTSequence": [logarithms(9, 1, 5)]},
            "for a frame that is not subtracted",
        ),
    ],
)
def test_what_is_not_done_for_certain_costs_the_whole_state_and_is_said(
    masks: list[Dataset], attributes: dict[str, Any], why: str
) -> None:
    dataset = angiogram()
    assert why in why_not(dataset, state_of(dataset, *masks, **attributes))


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ([], "0 tables"),
        ([logarithms(9, 2, 5)], "frame 1 has 0 tables"),
        ([logarithms(9, 1, 5), logarithms(9, 3, 3)], "frame 3 has 2 tables"),
        ([logarithms(9, 1, 5, function="TO_LINEAR")], "leads to no logarithms"),
        ([item(LUTFunction="TO_LOG")], "leads to no logarithms"),
    ],
)
def test_values_without_a_table_to_logarithms_are_not_subtracted(
    tables: list[Dataset], why: str
) -> None:
    dataset = angiogram(PixelIntensityRelationship="LIN")
    state = state_of(dataset, mask(PixelIntensityRelationshipLUTSequence=tables))
    assert why in why_not(dataset, state)


def test_such_a_state_is_for_angiograms_and_for_the_frames_that_it_names() -> None:
    other = angiogram(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    assert "none of X-ray angiography" in why_not(other, state_of(other, mask()))


def test_of_several_images_each_mask_says_which_it_is_for() -> None:
    dataset, other = angiogram(), item(ReferencedSOPInstanceUID="1.2.3")
    this = item(ReferencedSOPInstanceUID=dataset.SOPInstanceUID)
    first = mask(ReferencedImageSequence=[this], MaskFrameNumbers=[2])
    state = state_of(dataset, mask(ReferencedImageSequence=[other]), first)
    state.ReferencedSeriesSequence[0].ReferencedImageSequence.append(other)
    assert np.array_equal(presented(dataset, state), through_window(VALUES[2] - VALUES[1]))
    del first.ReferencedImageSequence
    assert "which of several images" in why_not(dataset, state)


def test_the_steps_name_all_that_a_state_does() -> None:
    dataset = angiogram()
    state = state_of(
        dataset,
        mask(MaskSubPixelShift=[0.5, -1.25]),
        FrameDisplayShutterSequence=[rectangle(dataset, 3)],
        ImageRotation=180,
        ImageHorizontalFlip="N",
        **display(MaskVisibilityPercentage=25.0),
    )
    told = steps(dataset, state)
    assert told[2:-1] == [
        f"as presentation state {STATE_UID} has it, whatever the image says",
        "modality: identity",
        "mask: frame 1 moved 0.5 down and -1.25 to the left subtracted from frame 3, "
        "25 % of it left",
        "VOI: LINEAR centre 0.5 width 257",
        "presentation: identity, floor(255 * y)",
        "what the state's shutter hides painted over",
        "turned by 180 degrees",
        "scaled in true aspect",
    ]
    assert "not applied" not in "".join(told)
