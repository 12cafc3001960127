"""The pyramid of a whole-slide series: which instance holds which size (PS3.3 C.8.12.4, C.8.12.14).

Tiles themselves are WADO-RS frames: with `Accept: image/jpeg` they leave as they are stored.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from eir_versions.headers import integer, items, numbers, text, value_of
from eir_versions.slide_labels import shows_label
from hub_kernel.errors import HubError
from viewer_api.dicomweb.frames import open_stored
from viewer_api.dicomweb.media_types import frame_media_types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataset import Dataset

    from image_archive.model import InstanceRecord
    from viewer_api.services import ViewerServices

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_TILED_SPARSE = "TILED_SPARSE"


@dataclass(frozen=True)
class SlideLevel:
    """One instance of a pyramid.

    `role` is volume, thumbnail, label or overview. `tiles` is (columns, rows) of tiles. With
    `order` "rows" frame 1 is the top left tile and the others follow row by row; with "listed",
    `places` holds (column, row) of each frame's tile. `mm_per_pixel` is None where nothing says it.
    """

    sop_instance_uid: str
    role: str
    width: int
    height: int
    tile_width: int
    tile_height: int
    tiles: tuple[int, int]
    order: str
    places: tuple[tuple[int, int], ...]
    frames: int
    mm_per_pixel: float | None
    media_type: str
    has_icc_profile: bool


def pyramid_of(given: ViewerServices, instances: Iterable[InstanceRecord]) -> list[dict[str, Any]]:
    """Return the levels of a series, the largest first.

    What cannot be read is left out, and so is a level with tiles off its grid: no tile would be
    drawn where it belongs.
    """
    slides = (one for one in instances if one.sop_class_uid == WHOLE_SLIDE)
    levels = [level for level in (_level(given, one) for one in slides) if level is not None]
    levels.sort(key=lambda level: (level.role != "volume", -level.width, level.sop_instance_uid))
    return [asdict(level) for level in levels]


def _level(given: ViewerServices, instance: InstanceRecord) -> SlideLevel | None:
    try:
        stored = open_stored(given, instance)
    except HubError:
        return None
    with closing(stored.file):
        dataset = stored.dataset
        tile = integer(dataset, "Columns", 0), integer(dataset, "Rows", 0)
        size = (
            integer(dataset, "TotalPixelMatrixColumns", tile[0]),
            integer(dataset, "TotalPixelMatrixRows", tile[1]),
        )
        if min(*tile, *size) < 1:
            return None
        listed = text(dataset, "DimensionOrganizationType").upper() == _TILED_SPARSE
        places = _places(dataset, instance.number_of_frames, tile) if listed else ()
        if places is None:
            return None
        return SlideLevel(
            sop_instance_uid=instance.sop_instance_uid,
            role=_role(dataset),
            width=size[0],
            height=size[1],
            tile_width=tile[0],
            tile_height=tile[1],
            tiles=(-(-size[0] // tile[0]), -(-size[1] // tile[1])),
            order="listed" if listed else "rows",
            places=places,
            frames=instance.number_of_frames,
            mm_per_pixel=_spacing(dataset),
            media_type=frame_media_types(instance.transfer_syntax_uid)[0],
            has_icc_profile=_has_profile(dataset),
        )


def _role(dataset: Dataset) -> str:
    words = {str(word).upper() for word in value_of(dataset, "ImageType") or ()}
    named = (name for name in ("LABEL", "OVERVIEW", "THUMBNAIL") if name in words)
    return next(named, "LABEL" if shows_label(dataset) else "VOLUME").lower()


def _places(
    dataset: Dataset, frames: int, tile: tuple[int, int]
) -> tuple[tuple[int, int], ...] | None:
    """Return (column, row) of each frame's tile; None where one lies nowhere or off the grid."""
    if frames == 1:
        return ((0, 0),)  # a label or an overview, which may not say where it lies
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")[:frames]
    found = [_place(group, tile) for group in per_frame]
    places = tuple(place for place in found if place is not None)
    return places if len(places) == frames else None


def _place(group: Dataset, tile: tuple[int, int]) -> tuple[int, int] | None:
    """Return (column, row) of a frame's tile; positions in the matrix count from 1."""
    for position in items(group, "PlanePositionSlideSequence")[:1]:
        column = integer(position, "ColumnPositionInTotalImagePixelMatrix", 0) - 1
        row = integer(position, "RowPositionInTotalImagePixelMatrix", 0) - 1
        if min(column, row) >= 0 and column % tile[0] == row % tile[1] == 0:
            return column // tile[0], row // tile[1]
    return None


def _spacing(dataset: Dataset) -> float | None:
    for shared in items(dataset, "SharedFunctionalGroupsSequence")[:1]:
        for measures in items(shared, "PixelMeasuresSequence")[:1]:
            found = numbers(measures, "PixelSpacing")
            if found and found[0] > 0:
                return found[0]
    return None


def _has_profile(dataset: Dataset) -> bool:
    paths = items(dataset, "OpticalPathSequence")
    return any(value_of(path, "ICCProfile") is not None for path in paths)
