"""Functional groups, image shutters, embedded overlays and SUV: each against a closed form."""

import io
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.encoders import decode_picture
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import PNG, PictureJob
from eir_versions.pet import suv_of
from eir_versions.pixels import PixelsError, Shutter, Window, apply_shutter
from eir_versions.pixels.model import PictureArray
from eir_versions.pixels.shutters import Circle, Polygon, Rectangle
from eir_versions.rendering import FrameRequest
from tests.eir_versions.builders import image_dataset, item, part10, rendered
from tests.eir_versions.real_pictures import dcmtk_picture
from tests.support.tools import require_tool

VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16)
WHOLE = {"WindowCenter": "128", "WindowWidth": "256"}


def exact(values: Any, center: float, width: float) -> PictureArray:
    """LINEAR_EXACT of C.11.2.1.3.2, floor of 255 times it."""
    ramp = (values.astype(np.float64) - center) / width + 0.5
    return np.floor(255 * np.clip(ramp, 0, 1)).astype(np.uint8)


def enhanced(**shared: Any) -> Dataset:
    """Two frames of the same values; what is given stands in the shared group."""
    dataset = image_dataset(np.stack([VALUES, VALUES]).astype(np.int16))
    dataset.SharedFunctionalGroupsSequence = [item(**shared)]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset()]
    return dataset


def window(center: str, width: str, function: str = "LINEAR_EXACT") -> list[Dataset]:
    return [item(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)]


def rescale(slope: str, intercept: str) -> list[Dataset]:
    return [item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")]


def test_shared_groups_hold_for_every_frame() -> None:
    dataset = enhanced(
        FrameVOILUTSequence=window("100", "400"),
        PixelValueTransformationSequence=rescale("2", "-50"),
    )
    for frame in (1, 2):
        assert (rendered(dataset, FrameRequest(frame)) == exact(VALUES * 2.0 - 50, 100, 400)).all()


def test_a_frames_own_group_goes_before_the_shared_one() -> None:
    dataset = enhanced(
        FrameVOILUTSequence=window("100", "400"),
        PixelValueTransformationSequence=rescale("2", "-50"),
    )
    second = dataset.PerFrameFunctionalGroupsSequence[1]
    second.PixelValueTransformationSequence = rescale("3", "0")
    second.FrameVOILUTSequence = window("300", "900")
    assert (rendered(dataset, FrameRequest(1)) == exact(VALUES * 2.0 - 50, 100, 400)).all()
    assert (rendered(dataset, FrameRequest(2)) == exact(VALUES * 3.0, 300, 900)).all()


def test_groups_go_before_the_dataset_and_a_negative_slope_inverts_nothing_else() -> None:
    dataset = enhanced(PixelValueTransformationSequence=rescale("-1", "255"))
    dataset.RescaleSlope, dataset.RescaleIntercept = "7", "7"
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = "128", "256", "LINEAR_EXACT"
    assert (rendered(dataset) == exact(255.0 - VALUES, 128, 256)).all()


def test_the_aspect_is_that_of_the_frames_own_measures(pool: DecoderPool) -> None:
    dataset = enhanced(PixelMeasuresSequence=[item(PixelSpacing=["1", "1"])])
    second = dataset.PerFrameFunctionalGroupsSequence[1]
    second.PixelMeasuresSequence = [item(PixelSpacing=["3", "1"])]
    sizes = []
    for frame in (1, 2):
        made = pool.picture(io.BytesIO(part10(dataset)), PictureJob(frame, media_type=PNG))
        sizes.append((made.width, made.height))
    assert sizes == [(16, 16), (16, 48)]


def test_a_frames_own_shutter_goes_before_the_shared_one() -> None:
    def shutter(last: int) -> list[Dataset]:
        edges = {"ShutterLeftVerticalEdge": 1, "ShutterRightVerticalEdge": last}
        return [
            item(
                ShutterShape="RECTANGULAR",
                ShutterUpperHorizontalEdge=1,
                ShutterLowerHorizontalEdge=16,
                ShutterPresentationValue=0xFFFF,
                **edges,
            )
        ]

    dataset = enhanced(
        FrameDisplayShutterSequence=shutter(8), FrameVOILUTSequence=window("128", "256")
    )
    dataset.PerFrameFunctionalGroupsSequence[1].FrameDisplayShutterSequence = shutter(4)
    for frame, last in ((1, 8), (2, 4)):
        picture = rendered(dataset, FrameRequest(frame))
        assert (picture[:, last:] == 255).all()
        assert (picture[:, :last] == exact(VALUES, 128, 256)[:, :last]).all()


def shown_places(*shapes: Any, size: tuple[int, int] = (30, 40)) -> set[tuple[int, int]]:
    """(row, column), 1-based, of what a shutter of these shapes shows."""
    picture = apply_shutter(np.full(size, 9, np.uint8), Shutter(shapes))
    return {(int(row) + 1, int(column) + 1) for row, column in np.argwhere(picture == 9)}


PLACES = {(row, column) for row in range(1, 31) for column in range(1, 41)}


def test_a_rectangle_shows_its_edges() -> None:
    wanted = {(r, c) for r, c in PLACES if 5 <= r <= 9 and 7 <= c <= 20}
    assert shown_places(Rectangle(7, 20, 5, 9)) == wanted


def test_a_circle_shows_what_is_within_its_radius() -> None:
    wanted = {(r, c) for r, c in PLACES if (r - 12) ** 2 + (c - 20) ** 2 <= 81}
    assert shown_places(Circle(12, 20, 9)) == wanted


def test_a_polygon_shows_its_inside_and_its_outline() -> None:
    triangle = Polygon(((5, 5), (25, 5), (5, 25)))
    assert shown_places(triangle) == {(r, c) for r, c in PLACES if r >= 5 <= c and r + c <= 30}
    square = Polygon(((3, 4), (3, 9), (8, 9), (8, 4)))
    assert shown_places(square) == shown_places(Rectangle(4, 9, 3, 8))


def test_a_concave_polygon_leaves_its_notch_out() -> None:
    arrow = Polygon(((1, 1), (20, 11), (1, 21), (10, 11)))
    places = shown_places(arrow)
    assert (15, 11) in places
    assert (5, 11) not in places


def test_several_shapes_show_what_lies_in_all_of_them() -> None:
    rectangle, circle = Rectangle(7, 20, 5, 9), Circle(12, 20, 9)
    assert shown_places(rectangle, circle) == shown_places(rectangle) & shown_places(circle)


def test_two_vertices_are_no_polygon() -> None:
    with pytest.raises(PixelsError):
        shown_places(Polygon(((1, 1), (2, 2))))


def embedded(bit: int = 15) -> tuple[Dataset, Any]:
    """Twelve bits stored, and a plane in an unused bit of the same words."""
    values = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 4
    plane = np.add.outer(np.arange(32), np.arange(32)) % 5 == 0
    words = values | plane.astype(np.uint16) << bit
    dataset = image_dataset(
        words, BitsStored=12, HighBit=11, WindowCenter="2048", WindowWidth="4096"
    )
    for element, vr, value in (
        (0x0010, "US", 32), (0x0011, "US", 32), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]),
        (0x0100, "US", 16), (0x0102, "US", bit),
    ):  # fmt: skip
        dataset.add_new(0x60000000 | element, vr, value)
    return dataset, plane


def test_an_overlay_in_unused_bits_of_the_pixels_is_drawn(tmp_path: Any) -> None:
    require_tool("dcmj2pnm")
    dataset, plane = embedded()
    plain, burned = rendered(dataset), rendered(dataset, FrameRequest(overlays=True))
    assert (burned == np.where(plane, 255, plain)).all()
    path = tmp_path / "embedded.dcm"
    path.write_bytes(part10(dataset))
    theirs = dcmtk_picture(path, ("+Wi", "1"), overlays=("+O", "0"))
    assert theirs is not None
    assert (burned == theirs).all()


def test_a_plane_in_the_bits_of_the_image_itself_is_none() -> None:
    dataset, _ = embedded()
    dataset[0x60000102].value = 3
    assert (rendered(dataset, FrameRequest(overlays=True)) == rendered(dataset)).all()


INJECTED = datetime(2026, 1, 5, 9, 0, 0)  # noqa: DTZ001 - a scanner's own clock


def pet(wait: timedelta = timedelta(minutes=60), **changes: Any) -> Dataset:
    began = INJECTED + wait
    dose = item(
        RadionuclideTotalDose="370000000",
        RadionuclideHalfLife="6586.2",
        RadiopharmaceuticalStartTime=INJECTED.strftime("%H%M%S"),
    )
    dataset = image_dataset(VALUES.astype(np.int16) * 100)
    dataset.Units, dataset.DecayCorrection = "BQML", "START"
    dataset.CorrectedImage, dataset.PatientWeight = ["ATTN", "DECY"], "70"
    dataset.SeriesDate = dataset.AcquisitionDate = began.strftime("%Y%m%d")
    dataset.SeriesTime = dataset.AcquisitionTime = began.strftime("%H%M%S")
    dataset.RadiopharmaceuticalInformationSequence = [dose]
    for keyword, value in changes.items():
        setattr(dose if keyword.startswith("Radio") else dataset, keyword, value)
    return dataset


LEFT = 2 ** (-3600 / 6586.2)


@pytest.mark.parametrize(
    ("dataset", "factor"),
    [
        (pet(), 70_000 / (370e6 * LEFT)),
        (pet(DecayCorrection="ADMIN"), 70_000 / 370e6),
        (pet(Units="GML"), 1.0),
        (pet(RadiopharmaceuticalStartTime="230000"), 70_000 / (370e6 * 2 ** (-11 * 3600 / 6586.2))),
        (pet(RadiopharmaceuticalStartDateTime="20260105090000.00+0800"), 70_000 / (370e6 * LEFT)),
        (pet(CorrectedImage=["DECAY", "ATTN", "SCAT"]), 70_000 / (370e6 * LEFT)),
    ],
    ids=["start", "administration", "in SUV already", "before midnight", "full time", "DECAY"],
)
def test_the_factor_to_suv_is_that_of_the_formula(dataset: Dataset, factor: float) -> None:
    assert suv_of(dataset).factor == pytest.approx(factor, rel=1e-9)


def test_a_series_made_anew_counts_back_from_its_acquisition() -> None:
    frame_s, reference_s = 120.0, 90.0
    dataset = pet(SeriesTime="235900", ActualFrameDuration="120000", FrameReferenceTime="90000")
    rate = np.log(2) / 6586.2
    mean = np.log(rate * frame_s / (1 - np.exp(-rate * frame_s))) / rate
    waited = 3600 - (reference_s - mean)
    wanted = 70_000 / (370e6 * 2 ** (-waited / 6586.2))
    assert suv_of(dataset).factor == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    ("dataset", "missing"),
    [
        (pet(Units="CNTS"), "units"),
        (pet(DecayCorrection="NONE"), "corrections"),
        (pet(CorrectedImage="DECY"), "corrections"),
        (pet(PatientWeight=None), "weight"),
        (pet(PatientWeight="0"), "weight"),
        (pet(RadionuclideTotalDose=None), "dose"),
        (pet(RadionuclideHalfLife=None), "half_life"),
        (pet(RadiopharmaceuticalStartTime=None), "injection_time"),
        (pet(SeriesTime="235900"), "injection_time"),
        (
            pet(wait=timedelta(days=12), RadiopharmaceuticalStartDateTime="20260105090000"),
            "scan_time",
        ),
    ],
)
def test_where_there_is_no_suv_the_missing_word_says_why(dataset: Dataset, missing: str) -> None:
    scale = suv_of(dataset)
    assert (scale.factor, scale.missing) == (None, missing)


def test_a_window_in_suv_is_one_in_activity(pool: DecoderPool) -> None:
    dataset = pet()
    factor = suv_of(dataset).factor
    assert factor is not None
    asked = PictureJob(media_type=PNG, window=Window(2.5, 5.0), in_suv=True)
    plain = PictureJob(media_type=PNG, window=Window(2.5 / factor, 5.0 / factor))
    data = part10(dataset)
    pictures = [pool.picture(io.BytesIO(data), job).data for job in (asked, plain)]
    assert pictures[0] == pictures[1]
    assert len(np.unique(decode_picture(pictures[0]))) > 10
    facts = pool.facts(io.BytesIO(data))
    assert facts.suv_factor == pytest.approx(factor)


def test_a_window_in_suv_needs_suv(pool: DecoderPool) -> None:
    job = PictureJob(window=Window(2.5, 5.0), in_suv=True)
    with pytest.raises(UnrenderableInstanceError) as caught:
        pool.picture(io.BytesIO(part10(pet(PatientWeight=None))), job)
    assert caught.value.reason == reasons.NO_SUV
