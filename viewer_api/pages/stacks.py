"""The frames of one series in reading order, and the addresses of their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from image_archive.model import InstanceRecord

_LONGEST_NUMBER = 7


@dataclass(frozen=True)
class Stack:
    """The frames of one series in order, with the addresses the viewer fetches them at.

    A frame's address is `prefix + sop_instance_uid + middle + frame number + suffix`, so that a
    thousand slices cost the page little more than their UIDs. At `facts` the viewer learns where
    in the body each frame lies.
    """

    prefix: str
    middle: str
    suffix: str
    facts: str
    instances: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        """How many frames the stack has."""
        return sum(frames for _, frames in self.instances)

    def address(self, position: int) -> str:
        """Return the address of the frame at `position`, from 0."""
        for uid, frames in self.instances:
            if position < frames:
                return f"{self.prefix}{uid}{self.middle}{position + 1}{self.suffix}"
            position -= frames
        return ""

    def position_of(self, sop_instance_uid: str, frame: int = 1) -> int | None:
        """Return where an instance's frame (from 1) stands, None when it is not in this stack."""
        before = 0
        for uid, frames in self.instances:
            if uid == sop_instance_uid:
                return before + min(max(frame, 1), frames) - 1
            before += frames
        return None

    def as_data(self) -> dict[str, Any]:
        """Return what the viewer's script reads."""
        return {
            "prefix": self.prefix,
            "middle": self.middle,
            "suffix": self.suffix,
            "facts": self.facts,
            "instances": self.instances,
        }


def stack_of(study_uid: str, series_uid: str, *, lossless: bool) -> Stack | None:
    """Return the pictures of a series as a stack, None when it holds none.

    `lossless` is for reading (PNG); else they are JPEG below the ceiling of the clinical recipe.
    """
    instances = picture_instances(services().index.instances_of(study_uid, series_uid))
    if not instances:
        return None
    series = f"/studies/{study_uid}/series/{series_uid}"
    return Stack(
        prefix=f"{series}/pictures/",
        middle="/",
        suffix=".png" if lossless else ".jpg",
        facts=f"{series}/facts",
        instances=tuple((one.sop_instance_uid, one.number_of_frames) for one in instances),
    )


def picture_instances(instances: Sequence[InstanceRecord]) -> list[InstanceRecord]:
    """Return those of `instances` that hold pixels, in the order of their numbers."""
    pictures = [one for one in instances if one.rows > 0 and one.columns > 0]
    pictures.sort(key=lambda one: (one.instance_number or 0, one.sop_instance_uid))
    return pictures


def position_in(stack: Stack | None, asked: str) -> int:
    """Return the frame that `asked` (from 1) names, else the middle, where the organ usually is."""
    if stack is None:
        return 0
    if asked.isascii() and asked.isdigit() and len(asked) < _LONGEST_NUMBER:
        return min(max(int(asked), 1), stack.count) - 1
    return (stack.count - 1) // 2
