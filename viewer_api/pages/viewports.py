"""What one viewport of the study page shows: whose pictures, which series, which frame, windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import request

from image_archive.contents import Contents
from viewer_api.pages.looks import STATE, Looks, looks_of
from viewer_api.pages.presets import Preset, presets_for
from viewer_api.pages.series_objects import SeriesObjects, objects_of
from viewer_api.pages.slice_facts import facts_of
from viewer_api.pages.stacks import Stack, position_in, stack_of
from viewer_api.pages.vocabulary import WITHOUT_PICTURES
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from image_archive.model import SeriesRecord, StudyRecord

# The address parameters of each slot: the study of the page, and the one it is compared with.
SLOTS: Mapping[str, tuple[str, str]] = {
    "now": ("series", "frame"),
    "prior": ("prior_series", "prior_frame"),
}
_KEPT = ("prior", "state", *(name for names in SLOTS.values() for name in names))
SLIDE = "SM"


@dataclass(frozen=True)
class Viewport:
    """One study in its slot. Without pictures in the chosen series `stack` is None.

    `objects` then says what the series is instead. `held` is what each series holds, by its UID.
    """

    slot: str
    study: StudyRecord
    site: str
    series: tuple[SeriesRecord, ...]
    chosen: SeriesRecord | None
    stack: Stack | None
    position: int
    presets: tuple[Preset, ...]
    looks: Looks
    objects: SeriesObjects | None
    held: Mapping[str, Contents]

    def holds_pictures(self, series: SeriesRecord) -> bool:
        """Whether a thumbnail of the series can be expected."""
        return series.modality not in WITHOUT_PICTURES

    def held_by(self, series: SeriesRecord) -> Contents:
        """Return what a series holds."""
        return self.held.get(series.series_instance_uid, Contents())

    @property
    def held_in_all(self) -> Contents:
        """What the study holds."""
        return sum(self.held.values(), Contents())

    @property
    def window(self) -> str:
        """The value of the window the page begins with, empty for the stored one."""
        return self.looks.chosen.value if self.looks.chosen else ""

    @property
    def is_slide(self) -> bool:
        """Whether the pictures are overviews of a slide, whose tiles are not shown here."""
        return self.chosen is not None and self.chosen.modality == SLIDE

    def to_series(self, series_uid: str) -> str:
        """Return the address of this page with another series in this slot."""
        series, frame = SLOTS[self.slot]
        return page_address({series: series_uid, frame: "", "state": ""})

    def to_picture(self, series_uid: str, frame: int, state: str = "") -> str:
        """Return the address of this page with a frame, from 1, of a series in this slot.

        `state` is the presentation state it is shown as.
        """
        series, number = SLOTS[self.slot]
        return page_address({series: series_uid, number: str(frame), "state": state})

    def to_frame(self, position: int) -> str:
        """Return the address of this page with the frame at `position`, from 0, in this slot."""
        if self.chosen is None or self.stack is None:
            return page_address({})
        number = min(max(position, 0), self.stack.count - 1) + 1
        state = self.window.removeprefix(STATE)
        return self.to_picture(self.chosen.series_instance_uid, number, state)


def page_address(changed: Mapping[str, str]) -> str:
    """Return this page's relative address with `changed` parameters; an empty value leaves out."""
    kept = {name: request.args.get(name, "") for name in _KEPT} | dict(changed)
    return "?" + urlencode({name: value for name, value in kept.items() if value})


def viewport(
    slot: str, study: StudyRecord, site: str, *, lossless: bool, like: Viewport | None = None
) -> Viewport:
    """Return what `slot` shows of `study`, as the address asks, else what is most `like`."""
    uid = study.study_instance_uid
    series_name, frame_name = SLOTS[slot]
    series = tuple(services().index.series_of(uid))
    alike = like.chosen if like else None
    chosen = _chosen(series, request.args.get(series_name, ""), alike)
    stack = stack_of(uid, chosen.series_instance_uid, lossless=lossless) if chosen else None
    position = position_in(stack, request.args.get(frame_name, ""))
    presets, looks = _choices(slot, series, chosen, stack)
    return Viewport(
        slot=slot,
        study=study,
        site=site,
        series=series,
        chosen=chosen,
        stack=stack,
        position=position,
        presets=presets,
        looks=looks,
        objects=objects_of(chosen) if chosen and stack is None else None,
        held=services().index.held_by_series(uid),
    )


def _chosen(
    series: Sequence[SeriesRecord], asked: str, alike: SeriesRecord | None
) -> SeriesRecord | None:
    """The series the address names, else the one most alike, else the first with pictures."""

    def fit(one: SeriesRecord) -> tuple[bool, bool, bool, bool]:
        return (
            one.series_instance_uid == asked,
            one.modality not in WITHOUT_PICTURES,
            alike is not None and one.modality == alike.modality,
            alike is not None and one.series_description == alike.series_description,
        )

    # Of equals the first: `max` keeps the order of the series.
    return max(series, key=fit, default=None)


def _choices(
    slot: str, series: Sequence[SeriesRecord], chosen: SeriesRecord | None, stack: Stack | None
) -> tuple[tuple[Preset, ...], Looks]:
    """The windows of a series, from its middle instance, and how else it can be shown."""
    if chosen is None or stack is None:
        return (), Looks()
    uid, _ = stack.instances[len(stack.instances) // 2]
    middle = services().index.instance(uid)
    asked_state = request.args.get("state", "") if slot == "now" else ""
    looks = looks_of(series, chosen, stack, middle, asked_state)
    stored = looks.subtraction.windows(facts_of(middle).windows) if middle else ()
    windows = presets_for(chosen.modality, stored) if middle else ()
    return (*looks.suv_windows, *looks.native, *windows), looks
