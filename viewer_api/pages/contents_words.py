"""How much a study or a series holds, in words: pictures, clips and how many pictures they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_api.pages.words import gettext, ngettext

if TYPE_CHECKING:
    from image_archive.contents import Contents


def contents_words(held: Contents) -> str:
    """Return what is held: "20 pictures · 3 clips (180 pictures)"; objects only where all are."""
    told = []
    if held.pictures or not (held.clips or held.others):
        told.append(ngettext("%(num)d picture", "%(num)d pictures", held.pictures))
    if held.clips:
        told.append(_clips(held))
    return " · ".join(told) or ngettext("%(num)d object", "%(num)d objects", held.others)


def _clips(held: Contents) -> str:
    clips = ngettext("%(num)d clip", "%(num)d clips", held.clips)
    if held.clip_pictures <= held.clips:
        return clips  # a video that does not say how many frames it has
    pictures = ngettext("%(num)d picture", "%(num)d pictures", held.clip_pictures)
    return gettext("%(clips)s (%(pictures)s)", clips=clips, pictures=pictures)
