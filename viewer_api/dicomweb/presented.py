"""The frames a presentation state is for, of those that its own study holds (PS3.3 C.11.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord


def presented_frames(state: InstanceRecord) -> list[tuple[InstanceRecord, int]]:
    """Return (image, frame from 1) in the order of the state, which names all frames by none.

    An image of another study is left out, whatever the state says: it may be another person's.

    Raises:
        UnrenderableInstanceError: what is stored is no presentation state that can be applied.
    """
    images = {
        one.sop_instance_uid: one
        for one in services().index.instances_of(state.study_instance_uid)
        if one.rows and one.columns
    }
    named = services().eir.presented_images(state.sop_instance_uid).frames
    return [
        (images[uid], frame)
        for uid, frames in named.items()
        if uid in images
        for frame in frames or range(1, images[uid].number_of_frames + 1)
        if 1 <= frame <= images[uid].number_of_frames
    ]
