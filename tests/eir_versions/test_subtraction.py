"""Digital subtraction by the Mask Module, each picture worked out by hand (PS3.3 C.7.6.10)."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.encoders import decode_picture
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import PNG, PictureJob
from eir_versions.pictures import make_picture
from eir_versions.pixels import Window
from eir_versions.presentation_states import PresentationState
from eir_versions.rendering import FrameRequest, render_frame
from eir_versions.steps import pipeline_steps
from tests.eir_versions.builders import image_dataset, item, opened, part10, presentation_state

XA = "1.2.840.10008.5.1.4.1.1.12.1"
CHANCE = np.random.default_rng(610)
# Background with a vessel that fills from frame 3 on: less X-ray intensity, lower values.
FRAMES = CHANCE.integers(1000, 1064, (5, 12, 16)).astype(np.uint16)
FRAMES[2:, 4:8] -= 90
VALUES = FRAMES.astype(np.float64)
WINDOW = {"WindowCenter": "0.5", "WindowWidth": "257"}
Reals = NDArray[np.float64]


def through_window(values: Reals) -> NDArray[np.uint8]:
    """The linear window `WINDOW`: 256 differences around 0 from black to white."""
    found: NDArray[np.uint8] = np.floor(255 * np.clip(values / 256 + 0.5, 0, 1)).astype(np.uint8)
    return found


def angiogram(operation: dict[str, Any] | None = None, **attributes: Any) -> Dataset:
    said = {"MaskOperation": "AVG_SUB", "MaskFrameNumbers": [1]} | (operation or {})
    sequence = [item(**{name: value for name, value in said.items() if value is not None})]
    given = {
        "SOPClassUID": XA,
        "Modality": "XA",
        "BitsStored": 12,
        "HighBit": 11,
        "PixelIntensityRelationship": "LOG",
        "RecommendedViewingMode": "SUB",
        "MaskSubtractionSequence": sequence,
        **WINDOW,
    } | attributes
    return image_dataset(FRAMES, **given)


def drawn(dataset: Dataset, frame: int = 3, **asked: Any) -> NDArray[np.uint8]:
    return render_frame(opened(part10(dataset)), FrameRequest(frame, **asked))


def steps(dataset: Dataset, frame: int = 3) -> str:
    return "\n".join(pipeline_steps(opened(part10(dataset)), PictureJob(frame)))


def table(entries: NDArray[np.uint16]) -> list[Dataset]:
    return [item(LUTDescriptor=[len(entries), 0, 16], LUTData=entries.tobytes())]


@pytest.mark.parametrize("frame", [2, 3, 5])
def test_the_mask_frame_is_subtracted_before_the_window(frame: int) -> None:
    expected = through_window(VALUES[frame - 1] - VALUES[0])
    assert np.array_equal(drawn(angiogram(), frame), expected)
    assert expected.std() > 0, "a flat picture would prove nothing"


def test_masks_and_contrast_frames_are_averaged() -> None:
    dataset = angiogram({"MaskFrameNumbers": [1, 2], "ContrastFrameAveraging": 2})
    expected = VALUES[2:4].mean(0) - VALUES[0:2].mean(0)
    assert np.array_equal(drawn(dataset), through_window(expected))
    told = "mask: the mean of frames 1, 2 subtracted from the mean of frames 3, 4"
    assert told in steps(dataset)


@pytest.mark.parametrize(("offset", "mask"), [(None, 2), (2, 1), (-1, 4)])
def test_the_mask_lies_at_an_interval_of_time(offset: int | None, mask: int) -> None:
    said = {"MaskOperation": "TID", "MaskFrameNumbers": None, "TIDOffset": offset}
    expected = through_window(VALUES[2] - VALUES[mask - 1])
    assert np.array_equal(drawn(angiogram(said)), expected)


@pytest.mark.parametrize(
    ("frame", "offset", "mask"), [(3, 1, 2), (4, 1, 1), (4, None, 1), (5, -1, 2)]
)
def test_reversed_each_frame_further_on_has_its_mask_one_further_back(
    frame: int, offset: int | None, mask: int
) -> None:
    """PS3.3 C.7.6.10.1.1: mask = (first contrast frame - TID Offset) - (frame - first)."""
    said = {"MaskOperation": "REV_TID", "MaskFrameNumbers": None, "TIDOffset": offset}
    dataset = angiogram(said | {"ApplicableFrameRange": [3, 5]})
    expected = through_window(VALUES[frame - 1] - VALUES[mask - 1])
    assert np.array_equal(drawn(dataset, frame), expected)


def test_a_shift_moves_the_mask_down_and_to_the_left() -> None:
    down, left = VALUES[0][[0, *range(11)]], VALUES[0][:, [*range(1, 16), 15]]
    for shift, mask in (
        ([1.0, 0.0], down),
        ([0.0, 1.0], left),
        ([0.5, 0.0], (VALUES[0] + down) / 2),
        ([0.0, 0.25], VALUES[0] * 0.75 + left * 0.25),
    ):
        expected = through_window(VALUES[2] - mask)
        assert np.array_equal(drawn(angiogram({"MaskSubPixelShift": shift})), expected), shift
    told = steps(angiogram({"MaskSubPixelShift": [0.5, -1.25]}))
    assert "mask: frame 1 moved 0.5 down and -1.25 to the left subtracted from frame 3" in told


def test_each_range_of_frames_has_its_own_mask() -> None:
    dataset = angiogram({"ApplicableFrameRange": [3, 3, 5, 5]})
    other = item(MaskOperation="AVG_SUB", MaskFrameNumbers=[2], ApplicableFrameRange=[4, 4])
    dataset.MaskSubtractionSequence.append(other)
    for frame, mask in ((3, 1), (4, 2), (5, 1)):
        expected = through_window(VALUES[frame - 1] - VALUES[mask - 1])
        assert np.array_equal(drawn(dataset, frame), expected)
    dataset.RecommendedViewingMode = "NAT"
    native = drawn(dataset, 2)
    dataset.RecommendedViewingMode = "SUB"
    assert np.array_equal(drawn(dataset, 2), native)
    assert "recommended but not done: no mask operation for it" in steps(dataset, 2)


@pytest.mark.parametrize(
    ("operation", "attributes", "why"),
    [
        ({"MaskOperation": "REV_TID"}, {}, "mask operation REV_TID is not applied"),
        ({"MaskOperation": "REV_TID", "ApplicableFrameRange": [1, 5]}, {}, "does not exist"),
        ({"MaskOperation": "NONE"}, {}, "mask operation NONE is not applied"),
        ({"MaskOperation": "TID", "ContrastFrameAveraging": 2}, {}, "TID of means of 2 frames"),
        ({"MaskOperation": "TID", "TIDOffset": 3}, {}, "a frame that it takes does not exist"),
        ({"MaskFrameNumbers": [6]}, {}, "a frame that it takes does not exist"),
        ({"MaskFrameNumbers": None}, {}, "none, or more than 64, frames"),
        ({"ContrastFrameAveraging": 4}, {}, "a frame that it takes does not exist"),
        ({"ContrastFrameAveraging": 65535}, {}, "none, or more than 64, frames"),
        ({"MaskSubPixelShift": [float("nan"), 0.0]}, {}, "is no shift"),
        ({}, {"PixelIntensityRelationship": "LIN"}, "not logarithmic to the X-ray intensity (LIN)"),
        ({}, {"PixelIntensityRelationship": "DISP"}, "X-ray intensity (DISP)"),
        ({}, {"PixelIntensityRelationship": ""}, "X-ray intensity (nothing said)"),
        ({}, {"MaskSubtractionSequence": []}, "no mask operation for it"),
        ({}, {"FrameDisplaySequence": [item(StartTrim=1)]}, "Frame Display Sequence"),
    ],
)
def test_what_cannot_be_subtracted_is_shown_as_it_is_and_says_why(
    operation: dict[str, Any], attributes: dict[str, Any], why: str
) -> None:
    asked = Window(1000.5, 257)
    dataset = angiogram(operation, **attributes)
    assert np.array_equal(drawn(dataset, window=asked), through_window(VALUES[2] - 1000))
    (told,) = [one for one in steps(dataset).splitlines() if "mask" in one]
    assert told.startswith("mask subtraction is recommended but not done: ")
    assert why in told


def test_values_linear_to_the_intensity_go_through_their_table_first() -> None:
    entries = np.rint(8000 * np.log1p(np.arange(4096))).astype(np.uint16)
    logs = entries[FRAMES].astype(np.float64)
    dataset = angiogram(PixelIntensityRelationship="LIN", ModalityLUTSequence=table(entries))
    asked = Window(0.5, 4097)
    expected = np.floor(255 * np.clip((logs[2] - logs[0]) / 4096 + 0.5, 0, 1))
    assert np.array_equal(drawn(dataset, window=asked), expected)
    # A table of values that are logarithmic already leads back to the intensity: not taken.
    dataset.PixelIntensityRelationship = "LOG"
    assert np.array_equal(drawn(dataset), through_window(VALUES[2] - VALUES[0]))


@pytest.mark.parametrize(("center", "width"), [("2048", "4096"), ("", ""), ("0.5", "0")])
def test_a_window_of_the_native_frames_gives_way_to_one_around_no_difference(
    center: str, width: str
) -> None:
    dataset = angiogram(WindowCenter=center, WindowWidth=width)
    found = VALUES[2] - VALUES[0]
    most = np.abs(found).max()
    expected = np.floor(255 * (found / (2 * most) + 0.5) + 1e-9)
    assert np.array_equal(drawn(dataset), expected)
    assert drawn(dataset, 1).min() == drawn(dataset, 1).max() == 127, "no difference is grey"
    assert "VOI: 0 in the middle of the frame's differences" in steps(dataset)


@pytest.mark.parametrize("window", [WINDOW, {"WindowCenter": "980", "WindowWidth": "200"}])
def test_a_reader_may_ask_for_the_frame_as_it_is(window: dict[str, str]) -> None:
    """A window of differences would leave it one flat white: its own range takes its place."""
    dataset = angiogram(**window)
    plain = plain_of(dataset)
    if window is WINDOW:
        del plain.WindowCenter, plain.WindowWidth
    dataset.MaskSubtractionSequence[0].ApplicableFrameRange = [3, 5]
    for frame in (2, 3):
        shown = drawn(dataset, frame, native=True)
        assert np.array_equal(shown, drawn(plain, frame))
        assert shown.std() > 10
    asked = Window(1000.5, 257)
    expected = through_window(VALUES[2] - 1000)
    assert np.array_equal(drawn(dataset, native=True, window=asked), expected)
    told = pipeline_steps(opened(part10(dataset)), PictureJob(3, native=True))
    assert "mask subtraction is recommended but not done: asked for as it is" in told
    assert ("VOI: range of the frame" in told) == (window is WINDOW)
    small, other = (
        make_picture(opened(part10(one)), PictureJob(3, box=(8, 6), native=one is dataset))
        for one in (dataset, plain)
    )
    assert small.data == other.data


def test_padding_stays_black_and_takes_no_part() -> None:
    dataset = angiogram(PixelPaddingValue=int(FRAMES[2, 0, 0]), WindowCenter="", WindowWidth="")
    assert drawn(dataset)[0, 0] == 0
    assert (drawn(dataset)[FRAMES[2] != FRAMES[2, 0, 0]] > 0).any()


def test_a_small_picture_is_made_of_the_differences(pool: DecoderPool) -> None:
    instance = opened(part10(angiogram()))
    job = PictureJob(3, box=(8, 6), media_type=PNG)
    small, quick = (
        make_picture(instance, PictureJob(**(vars(job) | {"reduced": one})))
        for one in (False, True)
    )
    assert small.data == quick.data
    assert pool.picture(io.BytesIO(part10(angiogram())), job).data == small.data


def state_of(dataset: Dataset, operation: dict[str, Any], **attributes: Any) -> Dataset:
    said = {"MaskOperation": "AVG_SUB", "MaskFrameNumbers": [1]} | operation
    mask = {"RecommendedViewingMode": "SUB", "MaskSubtractionSequence": [item(**said)]}
    return presentation_state(dataset, **(mask | attributes))


def presented(dataset: Dataset, state: Dataset) -> NDArray[np.uint8]:
    return drawn(dataset, presentation=PresentationState(state, state.SOPClassUID))


def plain() -> Dataset:
    dataset = angiogram()
    del dataset.MaskSubtractionSequence, dataset.RecommendedViewingMode
    return dataset


def test_a_presentation_state_subtracts_and_its_window_sees_the_difference() -> None:
    dataset = plain()
    state = state_of(dataset, {}, SoftcopyVOILUTSequence=[item(**WINDOW)])
    expected = through_window(VALUES[2] - VALUES[0])
    assert np.array_equal(presented(dataset, state), expected)


def test_without_a_window_black_to_white_is_all_that_a_difference_can_be() -> None:
    dataset = plain()
    expected = np.floor((VALUES[2] - VALUES[0] + 4096) / 8192 * 256)
    assert np.array_equal(presented(dataset, state_of(dataset, {})), expected)


def test_a_state_without_a_mask_shows_an_image_that_recommends_one_as_it_is() -> None:
    dataset = angiogram()
    state = presentation_state(dataset)
    assert np.array_equal(presented(dataset, state), presented(plain_of(dataset), state))
    expected = np.floor(VALUES[2] / 4096 * 256)
    assert np.array_equal(presented(dataset, state), expected)


def plain_of(dataset: Dataset) -> Dataset:
    copied = copy.deepcopy(dataset)
    del copied.MaskSubtractionSequence, copied.RecommendedViewingMode
    return copied


@pytest.mark.parametrize("operation", [{"MaskOperation": "REV_TID"}, {"MaskFrameNumbers": [9]}])
def test_a_state_whose_mask_cannot_be_applied_gives_no_picture(operation: dict[str, Any]) -> None:
    dataset = plain()
    with pytest.raises(UnrenderableInstanceError) as caught:
        presented(dataset, state_of(dataset, operation))
    assert caught.value.reason == reasons.STATE_NOT_POSSIBLE


def test_a_child_draws_the_same_for_whoever_asks(pool: DecoderPool) -> None:
    dataset = plain()
    state = state_of(dataset, {}, SoftcopyVOILUTSequence=[item(**WINDOW)])
    source, stated = io.BytesIO(part10(dataset)), io.BytesIO(part10(state))
    job = PictureJob(3, media_type=PNG, presentation_state_uid=state.SOPInstanceUID)
    picture = decode_picture(pool.picture(source, job, stated).data)
    assert np.array_equal(picture, through_window(VALUES[2] - VALUES[0]))
