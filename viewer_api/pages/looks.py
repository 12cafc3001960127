"""How else a series can be shown: presentation states of its study, SUV windows, palettes.

Softcopy presentation states (PS3.3 A.33), SUVbw of positron emission tomography (C.8.9.1), the
well-known palettes (PS3.6 annex B) for images that are read in colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eir_versions.headers import text
from eir_versions.pet import suv_of
from eir_versions.presentation_states import APPLICABLE, PresentationState, is_left_out
from viewer_api.dicomweb.located import located_state
from viewer_api.pages.presets import Preset
from viewer_api.pages.referenced_pictures import references
from viewer_api.pages.slice_facts import header_of
from viewer_api.pages.subtraction_words import Subtracted, subtraction_of
from viewer_api.pages.unapplied_states import would_show
from viewer_api.pages.words import gettext, lazy_gettext
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydicom.dataset import Dataset

    from image_archive.model import InstanceRecord, SeriesRecord
    from viewer_api.pages.stacks import Stack
    from viewer_api.pages.words import LazyText

# They begin the value of a window that is a presentation state, in SUV or of pictures that are not
# subtracted, as the script knows it.
STATE = "state:"
SUV = "suv:"
NATIVE = "native:"
MOST_STATES = 20
_LONGEST_LABEL = 40
# Upper ends of the SUV windows; all begin at 0, so that no uptake is no light.
_SUV_ENDS = (5, 7, 10, 15)
_PALETTES: Mapping[str, LazyText] = {
    "hotiron": lazy_gettext("Hot iron"),
    "pet": lazy_gettext("PET"),
    "hotmetalblue": lazy_gettext("Hot metal blue"),
    "pet20step": lazy_gettext("PET in 20 steps"),
    "spring": lazy_gettext("Spring"),
    "summer": lazy_gettext("Summer"),
    "fall": lazy_gettext("Fall"),
    "winter": lazy_gettext("Winter"),
}
_READ_IN_COLOUR = frozenset({"PT", "NM"})
_LACKS: Mapping[str, LazyText] = {
    "units": lazy_gettext("the pictures are not in Bq/ml"),
    "corrections": lazy_gettext("attenuation or decay is not corrected"),
    "weight": lazy_gettext("the patient's weight is missing"),
    "dose": lazy_gettext("the injected dose is missing"),
    "half_life": lazy_gettext("the half-life is missing"),
    "injection_time": lazy_gettext("the time of the injection is missing"),
    "scan_time": lazy_gettext("the time of the scan is missing or contradicts the injection"),
}


@dataclass(frozen=True)
class Looks:
    """What a reader may choose for one series beside its windows.

    `suv_lacks` says what is missing of a PET series whose SUV cannot be told. `chosen` is the
    presentation state that the page begins with, None for the series as it is stored.
    `not_applied` says what those states for its pictures would show that the hub cannot apply,
    `subtraction` whether they are shown subtracted, where that is recommended.
    """

    states: tuple[Preset, ...] = ()
    palettes: tuple[Preset, ...] = ()
    suv_windows: tuple[Preset, ...] = ()
    suv_lacks: str = ""
    chosen: Preset | None = None
    not_applied: tuple[str, ...] = ()
    subtraction: Subtracted = Subtracted()

    @property
    def native(self) -> tuple[Preset, ...]:
        """The choice to see what is shown subtracted as it is."""
        return (Preset(gettext("Without subtraction"), NATIVE),) if self.subtraction.done else ()


def looks_of(
    series: Sequence[SeriesRecord],
    chosen: SeriesRecord,
    stack: Stack,
    middle: InstanceRecord | None,
    asked_state: str,
) -> Looks:
    """Return how `chosen`, one of the study's `series`, can be shown; `middle` is one of its own.

    A state that is asked for is offered whatever it is for; one of another study is a 404, on
    record.
    """
    uid = chosen.study_instance_uid
    asked = _state(located_state(uid, asked_state)) if asked_state else None
    shown = {uid for uid, _ in stack.instances}
    objects = [
        one
        for each in series
        if each.modality == "PR"
        for one in services().index.instances_of(each.study_instance_uid, each.series_instance_uid)
    ]
    objects.sort(key=lambda one: one.received_at, reverse=True)
    states = [found for found in _states(objects, shown) if found != asked]
    windows, lacks = _suv(chosen, middle)
    return Looks(
        states=(*((asked,) if asked else ()), *states),
        palettes=tuple(Preset(str(word), name) for name, word in _PALETTES.items())
        if chosen.modality in _READ_IN_COLOUR
        else (),
        suv_windows=windows,
        suv_lacks=lacks,
        chosen=asked,
        not_applied=tuple(dict.fromkeys(_left_out(objects, shown))),
        subtraction=subtraction_of(chosen.modality, middle),
    )


def _left_out(objects: Sequence[InstanceRecord], shown: set[str]) -> Iterator[str]:
    """Yield what the states for one of the pictures `shown` would show that are not applied."""
    found = [one for one in objects if is_left_out(one.sop_class_uid)]
    for instance in found[:MOST_STATES]:
        header = header_of(instance)
        if header is None or any(uid in shown for uid, _ in references(header)):
            yield would_show(instance.sop_class_uid)


def _states(objects: Sequence[InstanceRecord], shown: set[str]) -> Iterator[Preset]:
    """Yield the study's states that are for one of the pictures `shown`, the latest first."""
    found = [one for one in objects if one.sop_class_uid in APPLICABLE]
    for instance in found[:MOST_STATES]:
        header = header_of(instance)
        if header is None:
            continue
        state = PresentationState(header, instance.sop_class_uid)
        if shown & {reference.sop_instance_uid for reference in state.references}:
            yield _named(instance, header)


def _state(instance: InstanceRecord) -> Preset | None:
    """A state that was asked for, None where it cannot be read or is of a kind not applied."""
    header = header_of(instance) if instance.sop_class_uid in APPLICABLE else None
    return None if header is None else _named(instance, header)


def _named(instance: InstanceRecord, header: Dataset) -> Preset:
    """The state under its label and description, as its maker named it."""
    label = text(header, "ContentLabel") or gettext("Presentation state")
    told = text(header, "ContentDescription")
    words = f"{label} · {told}" if told else label
    return Preset(words[:_LONGEST_LABEL], f"{STATE}{instance.sop_instance_uid}")


def _suv(chosen: SeriesRecord, middle: InstanceRecord | None) -> tuple[tuple[Preset, ...], str]:
    header = header_of(middle) if middle and chosen.modality == "PT" else None
    if header is None:
        return (), ""
    scale = suv_of(header)
    if scale.factor is None:
        return (), str(_LACKS.get(scale.missing, ""))
    # LINEAR_EXACT spans exactly 0 to the end (PS3.3 C.11.2.1.3.2).
    windows = (Preset(f"SUV 0–{end}", f"{SUV}{end / 2:g},{end},linear-exact") for end in _SUV_ENDS)
    return tuple(windows), ""
