"""What a presentation state says is done, and nothing is done that it does not say."""

import io
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.encoders import decode_picture
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.jobs import PNG, PictureJob
from eir_versions.pixels import Window
from eir_versions.pixels.model import PictureArray
from eir_versions.presentation_states import COLOUR, PSEUDO_COLOUR
from tests.eir_versions.builders import image_dataset, item, part10, presentation_state

ROWS, COLUMNS = 40, 60
PLAIN = item(WindowCenter="128", WindowWidth="256")


def image(**attributes: Any) -> Dataset:
    values = np.add.outer(np.arange(ROWS), np.arange(COLUMNS)).astype(np.uint8)
    return image_dataset(values, **attributes)


def shown(
    pool: DecoderPool, dataset: Dataset, state: Dataset, job: PictureJob | None = None
) -> PictureArray:
    """The PNG that the decoder's child draws."""
    wanted = job or PictureJob(media_type=PNG)
    picture = pool.picture(io.BytesIO(part10(dataset)), wanted, io.BytesIO(part10(state)))
    return decode_picture(picture.data)


def drawn(pool: DecoderPool, **attributes: Any) -> PictureArray:
    dataset = image()
    state = presentation_state(dataset, SoftcopyVOILUTSequence=[PLAIN], **attributes)
    return shown(pool, dataset, state)


def expected() -> PictureArray:
    """The window of the full range shows every byte as it is."""
    return np.add.outer(np.arange(ROWS), np.arange(COLUMNS)).astype(np.uint8)


def refusal(pool: DecoderPool, dataset: Dataset, state: Dataset, frame: int = 1) -> str:
    with pytest.raises(UnrenderableInstanceError) as caught:
        shown(pool, dataset, state, PictureJob(frame, media_type=PNG))
    return caught.value.reason


def test_the_plain_state_shows_the_values_themselves(pool: DecoderPool) -> None:
    assert (drawn(pool) == expected()).all()


def test_the_state_replaces_the_window_of_the_image(pool: DecoderPool) -> None:
    dataset = image(WindowCenter="3", WindowWidth="1", RescaleSlope="7", RescaleIntercept="3")
    state = presentation_state(dataset, SoftcopyVOILUTSequence=[PLAIN])
    assert (shown(pool, dataset, state) == expected()).all()


def test_a_window_for_another_image_is_not_taken(pool: DecoderPool) -> None:
    dataset = image()
    other = item(ReferencedImageSequence=[item(ReferencedSOPInstanceUID="1.2.3")])
    other.WindowCenter, other.WindowWidth = "0", "1"
    state = presentation_state(dataset, SoftcopyVOILUTSequence=[other, PLAIN])
    assert (shown(pool, dataset, state) == expected()).all()


def test_each_frame_has_its_own_window(pool: DecoderPool) -> None:
    values = np.full((2, 8, 8), 100, np.uint8)
    dataset = image_dataset(values)
    named = item(ReferencedSOPInstanceUID=dataset.SOPInstanceUID, ReferencedFrameNumber=2)
    second = item(WindowCenter="200", WindowWidth="1", ReferencedImageSequence=[named])
    state = presentation_state(dataset, SoftcopyVOILUTSequence=[second, PLAIN])
    pictures = [shown(pool, dataset, state, PictureJob(n, media_type=PNG)) for n in (1, 2)]
    assert [int(picture.max()) for picture in pictures] == [100, 0]


def test_a_readers_own_window_replaces_that_of_the_state(pool: DecoderPool) -> None:
    dataset = image()
    other = item(WindowCenter="0", WindowWidth="1")
    state = presentation_state(dataset, SoftcopyVOILUTSequence=[other])
    job = PictureJob(media_type=PNG, window=Window(128, 256))
    assert (shown(pool, dataset, state, job) == expected()).all()


def test_a_displayed_area_is_cut_out(pool: DecoderPool) -> None:
    area = item(
        DisplayedAreaTopLeftHandCorner=[11, 6],
        DisplayedAreaBottomRightHandCorner=[30, 25],
        PresentationSizeMode="SCALE TO FIT",
        PresentationPixelAspectRatio=[1, 1],
    )
    picture = drawn(pool, DisplayedAreaSelectionSequence=[area])
    assert (picture == expected()[5:25, 10:30]).all()


def test_an_area_beyond_the_image_has_a_black_margin(pool: DecoderPool) -> None:
    area = item(
        DisplayedAreaTopLeftHandCorner=[-9, -4],
        DisplayedAreaBottomRightHandCorner=[COLUMNS, ROWS],
        PresentationPixelAspectRatio=[1, 1],
    )
    picture = drawn(pool, DisplayedAreaSelectionSequence=[area])
    assert picture.shape == (ROWS + 5, COLUMNS + 10)
    assert (picture[5:, 10:] == expected()).all()
    assert picture[:5].max() == picture[:, :10].max() == 0


@pytest.mark.parametrize("corner", [(2**19, 2**19), (0, 0), (-(2**19), 1)])
def test_an_absurd_area_shows_the_whole_image(pool: DecoderPool, corner: tuple[int, int]) -> None:
    area = item(
        DisplayedAreaTopLeftHandCorner=[-(2**19), -(2**19)],
        DisplayedAreaBottomRightHandCorner=list(corner),
        PresentationPixelAspectRatio=[1, 1],
    )
    assert (drawn(pool, DisplayedAreaSelectionSequence=[area]) == expected()).all()


def test_the_area_is_found_again_after_turning(pool: DecoderPool) -> None:
    area = item(
        DisplayedAreaTopLeftHandCorner=[11, 25],
        DisplayedAreaBottomRightHandCorner=[30, 6],
        PresentationPixelAspectRatio=[1, 1],
    )
    picture = drawn(
        pool,
        DisplayedAreaSelectionSequence=[area],
        ImageRotation=90,
        ImageHorizontalFlip="Y",
    )
    assert (picture == np.fliplr(np.rot90(expected()[5:25, 10:30], -1))).all()


def test_pixels_that_are_not_square_are_stretched_after_turning(pool: DecoderPool) -> None:
    area = item(
        DisplayedAreaTopLeftHandCorner=[1, 1],
        DisplayedAreaBottomRightHandCorner=[COLUMNS, ROWS],
        PresentationPixelSpacing=["2", "1"],
    )
    assert drawn(pool, DisplayedAreaSelectionSequence=[area]).shape == (2 * ROWS, COLUMNS)
    turned = drawn(pool, DisplayedAreaSelectionSequence=[area], ImageRotation=90)
    assert turned.shape == (COLUMNS, 2 * ROWS)


def test_the_shutter_of_a_state_hides_the_image_in_its_own_grey(pool: DecoderPool) -> None:
    picture = drawn(
        pool,
        ShutterShape="RECTANGULAR",
        ShutterLeftVerticalEdge=11,
        ShutterRightVerticalEdge=20,
        ShutterUpperHorizontalEdge=6,
        ShutterLowerHorizontalEdge=9,
        ShutterPresentationValue=0x8000,
    )
    inside = np.zeros((ROWS, COLUMNS), bool)
    inside[5:9, 10:20] = True
    assert (picture == np.where(inside, expected(), 0x80)).all()


def overlay_plane(group: int, **attributes: Any) -> dict[int, tuple[str, Any]]:
    bits = np.zeros((8, 16), np.uint8)
    bits[2:4, 3:9] = 1
    plane = {
        0x0010: ("US", 8),
        0x0011: ("US", 16),
        0x0040: ("CS", "G"),
        0x0050: ("SS", [5, 7]),
        0x0100: ("US", 1),
        0x0102: ("US", 0),
        0x3000: ("OW", np.packbits(bits, bitorder="little").tobytes()),
    }
    if "layer" in attributes:
        plane[0x1001] = ("CS", attributes["layer"])
    return {group << 16 | element: value for element, value in plane.items()}


def with_plane(dataset: Dataset, plane: dict[int, tuple[str, Any]]) -> Dataset:
    for tag, (vr, value) in plane.items():
        dataset.add_new(tag, vr, value)
    return dataset


def test_an_overlay_is_drawn_in_the_grey_of_its_layer(pool: DecoderPool) -> None:
    layer = item(GraphicLayer="A", GraphicLayerOrder=1)
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 0x4000
    dataset = image()
    state = presentation_state(
        dataset, SoftcopyVOILUTSequence=[PLAIN], GraphicLayerSequence=[layer]
    )
    picture = shown(pool, dataset, with_plane(state, overlay_plane(0x6002, layer="A")))
    wanted = expected()
    wanted[6:8, 9:15] = 0x40
    assert (picture == wanted).all()


def test_an_overlay_of_the_image_shows_only_when_activated(pool: DecoderPool) -> None:
    dataset = with_plane(image(), overlay_plane(0x6000))
    state = presentation_state(dataset, SoftcopyVOILUTSequence=[PLAIN])
    assert (shown(pool, dataset, state) == expected()).all()
    state.add_new(0x60001001, "CS", "A")
    wanted = expected()
    wanted[6:8, 9:15] = 255
    assert (shown(pool, dataset, state) == wanted).all()


def test_a_bitmap_shutter_hides_where_its_bits_are_set(pool: DecoderPool) -> None:
    dataset = image()
    state = presentation_state(
        dataset,
        SoftcopyVOILUTSequence=[PLAIN],
        ShutterShape="BITMAP",
        ShutterOverlayGroup=0x6000,
        ShutterPresentationValue=0xFFFF,
    )
    wanted = expected()
    wanted[6:8, 9:15] = 255
    assert (shown(pool, dataset, with_plane(state, overlay_plane(0x6000))) == wanted).all()


def annotation(*graphics: Dataset, texts: tuple[Dataset, ...] = ()) -> dict[str, Any]:
    made = item(GraphicLayer="A")
    if graphics:
        made.GraphicObjectSequence = list(graphics)
    if texts:
        made.TextObjectSequence = list(texts)
    return {"GraphicAnnotationSequence": [made]}


def graphic(kind: str, *data: float, units: str = "PIXEL", filled: str = "N") -> Dataset:
    return item(
        GraphicAnnotationUnits=units,
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(data) // 2,
        GraphicData=list(data),
        GraphicType=kind,
        GraphicFilled=filled,
    )


@pytest.mark.parametrize(
    "line",
    [
        graphic("POLYLINE", 10.5, 8.5, 30.5, 8.5),
        graphic("POLYLINE", 10.5 / 60, 8.5 / 40, 30.5 / 60, 8.5 / 40, units="DISPLAY"),
    ],
    ids=["pixel", "display"],
)
def test_a_line_lies_where_it_was_drawn(pool: DecoderPool, line: Dataset) -> None:
    wanted = expected()
    wanted[8, 10:31] = 255
    assert (drawn(pool, **annotation(line)) == wanted).all()


def test_a_line_turns_with_the_image(pool: DecoderPool) -> None:
    line = graphic("POLYLINE", 10.5, 8.5, 30.5, 8.5)
    plain = drawn(pool, **annotation(line))
    turned = drawn(pool, **annotation(line), ImageRotation=270, ImageHorizontalFlip="Y")
    assert (turned == np.fliplr(np.rot90(plain, 1))).all()


def test_a_filled_polygon_covers_its_inside(pool: DecoderPool) -> None:
    square = graphic("POLYLINE", 5, 5, 15, 5, 15, 15, 5, 15, 5, 5, filled="Y")
    picture = drawn(pool, **annotation(square))
    assert (picture[6:14, 6:14] == 255).all()
    changed = np.argwhere(picture != expected())
    assert changed.min() >= 4
    assert changed.max() <= 15


def test_a_circle_keeps_its_radius(pool: DecoderPool) -> None:
    picture = drawn(pool, **annotation(graphic("CIRCLE", 30, 20, 42, 20)))
    places = np.argwhere(picture != expected()) + 0.5
    distances = np.hypot(places[:, 0] - 20, places[:, 1] - 30)
    assert len(places) > 40
    assert abs(distances - 12).max() < 1.2


def test_an_ellipse_reaches_the_ends_of_its_axes(pool: DecoderPool) -> None:
    picture = drawn(pool, **annotation(graphic("ELLIPSE", 10, 20, 50, 20, 30, 10, 30, 30)))
    rows, columns = np.nonzero(picture != expected())
    assert abs(columns.min() - 10) <= 1
    assert abs(columns.max() - 50) <= 1
    assert abs(rows.min() - 10) <= 1
    assert abs(rows.max() - 30) <= 1


def test_a_smooth_curve_goes_through_its_points(pool: DecoderPool) -> None:
    points = (10.5, 10.5, 20.5, 30.5, 40.5, 10.5)
    picture = drawn(pool, **annotation(graphic("INTERPOLATED", *points)))
    for column, row in zip(points[::2], points[1::2], strict=True):
        assert picture[int(row), int(column)] == 255


def test_points_are_marked(pool: DecoderPool) -> None:
    picture = drawn(pool, **annotation(graphic("POINT", 20.5, 10.5)))
    assert picture[10, 20] == 255
    assert (picture != expected()).sum() < 12


def test_text_is_written_at_its_box_and_stays_upright(pool: DecoderPool) -> None:
    label = item(
        UnformattedTextValue="\u5de6 L",
        BoundingBoxAnnotationUnits="DISPLAY",
        BoundingBoxTopLeftHandCorner=[0.5, 0.5],
        BoundingBoxBottomRightHandCorner=[1.0, 1.0],
    )
    picture = drawn(pool, **annotation(texts=(label,)))
    rows, columns = np.nonzero(picture != expected())
    assert len(rows) > 5
    assert rows.min() >= ROWS // 2 - 1
    assert columns.min() >= COLUMNS // 2 - 1


@pytest.mark.parametrize(
    "spoiled",
    [
        graphic("POLYLINE", float("nan"), 1, 2, 3),
        graphic("POLYLINE", 1e30, 1, 2, 3),
        graphic("CIRCLE", 1, 1),
        graphic("ELLIPSE", 1, 1, 2, 2),
        graphic("INTERPOLATED", 1),
        graphic("SPIRAL", 1, 1, 2, 2),
        graphic("POLYLINE", 1, 1, 2, 2, units="FURLONGS"),
    ],
    ids=["NaN", "far", "no radius", "half an ellipse", "half a point", "unknown", "units"],
)
def test_a_graphic_that_is_none_is_left_out(pool: DecoderPool, spoiled: Dataset) -> None:
    assert (drawn(pool, **annotation(spoiled)) == expected()).all()


def test_a_state_for_another_image_gives_no_picture(pool: DecoderPool) -> None:
    assert refusal(pool, image(), presentation_state(image())) == reasons.PRESENTATION_STATE


def test_a_state_for_another_frame_gives_no_picture(pool: DecoderPool) -> None:
    dataset = image_dataset(np.zeros((2, 8, 8), np.uint8))
    state = presentation_state(dataset)
    named = state.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    named.ReferencedFrameNumber = 2
    assert refusal(pool, dataset, state, 1) == reasons.PRESENTATION_STATE
    assert shown(pool, dataset, state, PictureJob(2, media_type=PNG)).shape == (8, 8)


@pytest.mark.parametrize("kind", [4, *range(6, 13)])
def test_a_state_of_a_kind_that_is_not_applied_says_so(pool: DecoderPool, kind: int) -> None:
    dataset = image()
    state = presentation_state(dataset, f"1.2.840.10008.5.1.4.1.1.11.{kind}")
    assert refusal(pool, dataset, state) == reasons.STATE_NOT_APPLIED


def test_what_is_no_state_gives_no_picture(pool: DecoderPool) -> None:
    dataset = image()
    state = presentation_state(dataset, "1.2.840.10008.5.1.4.1.1.2")
    assert refusal(pool, dataset, state) == reasons.PRESENTATION_STATE


def test_a_colour_state_turns_a_colour_image(pool: DecoderPool) -> None:
    values = np.random.default_rng(3).integers(0, 256, (10, 12, 3)).astype(np.uint8)
    dataset = image_dataset(np.zeros((10, 12), np.uint8), SamplesPerPixel=3, PlanarConfiguration=0)
    dataset.PhotometricInterpretation, dataset.PixelData = "RGB", values.tobytes()
    state = presentation_state(dataset, COLOUR, ImageRotation=180, ImageHorizontalFlip="N")
    assert (shown(pool, dataset, state) == np.rot90(values, 2)).all()
    assert refusal(pool, dataset, presentation_state(dataset)) == reasons.PRESENTATION_STATE
    assert refusal(pool, image(), presentation_state(image(), COLOUR)) == reasons.PRESENTATION_STATE


def test_a_pseudo_colour_state_looks_the_window_up_in_its_palette(pool: DecoderPool) -> None:
    dataset = image()
    state = presentation_state(dataset, PSEUDO_COLOUR, SoftcopyVOILUTSequence=[PLAIN])
    tables = (np.arange(256), 255 - np.arange(256), np.full(256, 7))
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        setattr(state, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(state, f"{colour}PaletteColorLookupTableData", table.astype("<u2").tobytes())
    wanted = np.stack([table[expected()] for table in tables], axis=-1)
    assert (shown(pool, dataset, state) == wanted).all()


def test_what_a_state_is_for_is_told_without_opening_it_in_the_hub(pool: DecoderPool) -> None:
    dataset = image()
    found = pool.presented_images(io.BytesIO(part10(presentation_state(dataset))))
    assert found.covers(dataset.SOPInstanceUID, 5)
    assert not found.covers("1.2.3", 1)
    assert found.created == "20260101120000"
