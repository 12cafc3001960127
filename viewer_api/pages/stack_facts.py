"""What the viewer's script is told of a whole stack, as compact as a thousand slices need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from viewer_api.pages.slice_facts import Edges, FrameFacts, InstanceFacts, Plane, Vector

# Cosine of the largest angle, 5 degrees, at which two slices still count as parallel.
_PARALLEL = 0.996


def stack_facts(instances: Sequence[InstanceFacts]) -> dict[str, Any]:
    """Return the facts of a stack for the viewer's script, one entry a frame in the order given.

    `along` is the place on the common normal in mm, None for a frame without one or of another
    direction; `edges` are indices into `sides`, whose letters stand left, right, top and bottom.
    """
    frames = [frame for instance in instances for frame in instance.frames]
    planes = [frame.plane for frame in frames]
    normal = next((plane.normal for plane in planes if plane), None)
    sides, edges = _sides(frames)
    middle = instances[len(instances) // 2] if instances else None
    return {
        "along": [_place(plane, normal) for plane in planes],
        "normal": normal,
        "frameOfReference": middle.frame_of_reference_uid if middle else "",
        "sides": sides,
        "edges": edges,
        "rate": middle.rate_per_s if middle else None,
        "lossyRatio": middle.lossy_ratio if middle else None,
    }


def _place(plane: Plane | None, normal: Vector | None) -> float | None:
    if plane is None or normal is None:
        return None
    lean = sum(one * other for one, other in zip(plane.normal, normal, strict=True))
    return round(plane.along, 2) if lean > _PARALLEL else None


def _sides(frames: Sequence[FrameFacts]) -> tuple[list[Edges], list[int | None]]:
    known: dict[Edges, int] = {}
    edges = [
        None if frame.edges is None else known.setdefault(frame.edges, len(known))
        for frame in frames
    ]
    return list(known), edges
