"""Address parts that are checked before a view runs: UIDs (PS3.5 9.1), frame lists, tag paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.routing import BaseConverter

if TYPE_CHECKING:
    from flask import Flask


class UidConverter(BaseConverter):
    """A UID: 1 to 64 digits and dots that starts and ends with a digit and has no empty part."""

    regex = r"(?=[0-9.]{1,64}(?:/|$))[0-9]+(?:\.[0-9]+)*"


class FrameListConverter(BaseConverter):
    """Frame numbers from 1, separated by commas (PS3.18 10.4.1.1.3)."""

    regex = r"[1-9][0-9]{0,9}(?:,[1-9][0-9]{0,9}){0,999}"


class TagPathConverter(BaseConverter):
    """A tag, or sequence tags with item numbers from 0 that lead to one: `00540016/0/00181074`."""

    part_isolating = False
    regex = r"[0-9A-Fa-f]{8}(?:/[0-9]{1,6}/[0-9A-Fa-f]{8}){0,16}"


def install_converters(app: Flask) -> None:
    """Let the routes of `app` say `<uid:…>`, `<frames:…>` and `<tag_path:…>`."""
    app.url_map.converters.update(
        uid=UidConverter, frames=FrameListConverter, tag_path=TagPathConverter
    )
