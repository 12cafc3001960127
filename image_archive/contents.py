"""What studies and series hold, counted as it is spoken of: pictures, clips, objects without any.

A multi-frame object is a clip where it is recorded to be played (PS3.3 A.7, A.14, A.16, A.32.5 to
A.32.7, A.47, A.48), else it is as many pictures as it has frames. Tiles of a slide are none.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from image_archive.scope import VISIBLE_INSTANCE
from image_archive.tables import INSTANCE, SERIES, STUDY

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_VIDEOS = frozenset(_STORAGE + tail for tail in ("77.1.1.1", "77.1.2.1", "77.1.4.1"))
# Ultrasound, X-ray angiography and fluoroscopy, with their enhanced and retired forms.
_PLAYED = _VIDEOS | {
    _STORAGE + tail for tail in ("3", "3.1", "12.1", "12.1.1", "12.2", "12.2.1", "12.3")
}
_TILED = frozenset({_STORAGE + "77.1.6"})


@dataclass(frozen=True)
class Contents:
    """`clips` have `clip_pictures` frames between them, `pictures` is every other frame.

    `others` are objects without pixels. What was rejected is not counted.
    """

    pictures: int = 0
    clips: int = 0
    clip_pictures: int = 0
    others: int = 0

    def __add__(self, other: "Contents") -> "Contents":
        """Return what both hold together."""
        return Contents(
            self.pictures + other.pictures,
            self.clips + other.clips,
            self.clip_pictures + other.clip_pictures,
            self.others + other.others,
        )


def contents_query(key: ColumnElement[str]) -> Select[Any]:
    """Return the query of `contents_of`, by a column of the study or of the series."""
    has_pixels = (INSTANCE.c.rows > 0) & (INSTANCE.c.columns > 0)
    is_many = has_pixels & (INSTANCE.c.number_of_frames > 1)

    def counted(condition: ColumnElement[bool], value: Any = 1) -> ColumnElement[int]:
        return func.sum(case((condition, value), else_=0))

    return (
        select(
            key.label("key"),
            INSTANCE.c.sop_class_uid,
            counted(~has_pixels).label("others"),
            counted(has_pixels).label("objects"),
            counted(is_many).label("many"),
            counted(is_many, INSTANCE.c.number_of_frames).label("frames"),
        )
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
        .where(VISIBLE_INSTANCE)
        .group_by(key, INSTANCE.c.sop_class_uid)
    )


def contents_of(rows: Any) -> Mapping[str, Contents]:
    """Return what each key holds, from the rows of `contents_query`."""
    found: dict[str, Contents] = defaultdict(Contents)
    for row in rows:
        found[row.key] += _contents(row)
    return dict(found)


def _contents(row: Any) -> Contents:
    one_each = row.objects - row.many
    if row.sop_class_uid in _TILED:
        return Contents(pictures=row.objects, others=row.others)
    if row.sop_class_uid in _VIDEOS:
        return Contents(0, row.objects, one_each + row.frames, row.others)
    if row.sop_class_uid in _PLAYED:
        return Contents(one_each, row.many, row.frames, row.others)
    return Contents(pictures=one_each + row.frames, others=row.others)
