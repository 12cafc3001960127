"""Which slices of a series become pictures, and which may not (pure rules, no pixels)."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from eir_versions import reasons
from eir_versions.recipes import Exclusion


@dataclass(frozen=True)
class ImageInstance:
    """An instance with pixels: identity, number of frames, digest and SOP class."""

    sop_instance_uid: str
    number_of_frames: int
    dataset_sha256: str
    sop_class_uid: str


@dataclass(frozen=True)
class Slice:
    """One frame of one instance, 1-based."""

    instance: ImageInstance
    frame_number: int


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of a series and one of its instances when it is decided what may be shown."""

    modality: str
    descriptions: tuple[str, ...]
    sop_class_uid: str
    slice_thickness_mm: float | None
    burned_in_annotation: str


class Stack:
    """The slices of a series in order, however many frames its instances claim to have.

    Nothing is laid out in memory: a false Number of Frames of 2^31 costs nothing here.
    """

    def __init__(self, instances: Sequence[ImageInstance]) -> None:
        self._instances = list(instances)
        self._ends = list(accumulate(max(item.number_of_frames, 1) for item in instances))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, index: int) -> Slice:
        """Return the slice at a 0-based index."""
        place = bisect_right(self._ends, index)
        before = self._ends[place - 1] if place else 0
        return Slice(self._instances[place], index - before + 1)

    def around(self, position: float, attempts: int) -> Iterator[Slice]:
        """Yield the slice at a fraction of the stack, then its neighbours, `attempts` in all."""
        total = len(self)
        middle = min(int(total * position), total - 1)
        offsets = [0, *(sign * step for step in range(1, attempts + 1) for sign in (1, -1))]
        places = [middle + offset for offset in offsets if 0 <= middle + offset < total]
        yield from (self.at(place) for place in places[:attempts])


def refusal(rule: Exclusion, facts: SeriesFacts) -> str | None:
    """Return the reason why a picture may not be shown to the public, None when it may."""
    text_likely = (
        facts.modality in rule.text_modalities or facts.sop_class_uid in rule.text_sop_classes
    )
    if facts.burned_in_annotation == "YES":
        return reasons.BURNED_IN_TEXT
    if text_likely and facts.burned_in_annotation != "NO":
        return reasons.BURNED_IN_TEXT
    return thin_slice_refusal(rule, facts)


def thin_slice_refusal(rule: Exclusion, facts: SeriesFacts) -> str | None:
    """Return the reason when a face could be rebuilt from slices like these, None when not."""
    if facts.modality in rule.thin_slice_modalities and _is_head(rule, facts):
        thickness = facts.slice_thickness_mm
        if thickness is None or thickness < rule.thin_slice_mm:
            return reasons.THIN_SLICE_HEAD
    return None


def _is_head(rule: Exclusion, facts: SeriesFacts) -> bool:
    said = [text.upper() for text in facts.descriptions]
    return any(word.upper() in text for word in rule.head_words for text in said)
