"""The pictures of the same study that an object refers to (PS3.3 C.18.4, C.11.11, C.17.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from viewer_api.pages.stacks import Stack, stack_of
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

MOST_PICTURES = 40
_MOST_DEPTH = 12
_FORMS = {"report", "selection", "presentation", "unapplied"}
_NESTED = (
    "ContentSequence",
    "BlendingSequence",
    "AdvancedBlendingSequence",
    "VolumetricPresentationStateInputSequence",
)


@dataclass(frozen=True)
class PictureLink:
    """One picture and the frame of its series' stack, from 1, where it is found."""

    series_instance_uid: str
    sop_instance_uid: str
    frame: int


def picture_links(header: Dataset, study_uid: str, kind: str) -> tuple[PictureLink, ...]:
    """Return the pictures that `header` refers to and this study holds; others are left out."""
    if kind not in _FORMS:
        return ()
    links: dict[tuple[str, int], PictureLink] = {}
    stacks: dict[str, Stack | None] = {}
    for uid, frame in references(header):
        if len(links) >= MOST_PICTURES:
            break
        if (uid, frame) in links:
            continue
        instance = services().index.instance(uid)
        if instance is None or instance.study_instance_uid != study_uid:
            continue
        series = instance.series_instance_uid
        if series not in stacks:
            stacks[series] = stack_of(study_uid, series, lossless=False)
        stack = stacks[series]
        position = stack.position_of(uid, frame) if stack else None
        if position is not None:
            links[uid, frame] = PictureLink(series, uid, position + 1)
    return tuple(links.values())


def references(node: Dataset, depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield each (SOP Instance UID, frame) that content items or referenced series name."""
    if depth > _MOST_DEPTH:
        return
    for keyword in ("ReferencedSOPSequence", "ReferencedImageSequence"):
        for named in node.get(keyword) or ():
            yield from _named(named)
    for series in node.get("ReferencedSeriesSequence") or ():
        for named in series.get("ReferencedImageSequence") or ():
            yield from _named(named)
    for keyword in _NESTED:
        for item in node.get(keyword) or ():
            yield from references(item, depth + 1)


def _named(reference: Dataset) -> Iterator[tuple[str, int]]:
    uid = str(reference.get("ReferencedSOPInstanceUID", "") or "")
    told = reference.get("ReferencedFrameNumber")
    frames = [told] if isinstance(told, (int, str)) else list(told or [1])
    for frame in frames[:MOST_PICTURES]:
        yield uid, int(frame) if str(frame).isdigit() else 1
