"""A whole slide under the eyes of a pathologist: every level of its pyramid, tile by tile.

PS3.3 C.8.12. The page is small and names no tile; its script asks for the levels, then for the
tiles it shows. The hub renders those, in sRGB whatever the scanner's profile is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for

from access_control.model import Action
from viewer_api.dicomweb.attributes import instance_address
from viewer_api.dicomweb.located import LocatedInstances, located
from viewer_api.dicomweb.slide_levels import WHOLE_SLIDE, pyramid_of
from viewer_api.pages.people import site_book
from viewer_api.security import require_study, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from werkzeug.wrappers import Response as AnyResponse

    from image_archive.model import SeriesRecord, StudyRecord

blueprint = Blueprint("slide", __name__)

_SERIES = "/studies/<uid:study>/series/<uid:series>/slide"
# The largest share by which the sides of two levels of one slide may differ in proportion.
_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class SlideView:
    """What the page shows; `slides` are the series of the study that hold slides."""

    study: StudyRecord
    site: str
    chosen: SeriesRecord
    slides: tuple[SeriesRecord, ...]


@blueprint.get("/studies/<uid:study_uid>/slide")
@signed_in
def enter(study_uid: str) -> AnyResponse:
    """Lead to the first slide of a study; 404 where it holds none."""
    require_study(study_uid, Action.VIEW_CLINICAL)
    slides = slides_of(services().index.series_of(study_uid))
    if not slides:
        abort(404)
    address = url_for("slide.page", study=study_uid, series=slides[0].series_instance_uid)
    return redirect(address, code=303)


@blueprint.get(_SERIES)
@signed_in
def page(study: str, series: str) -> str:
    """Show a slide; 404 where the series holds none."""
    record = located(study, series, Action.VIEW_CLINICAL).study
    slides = slides_of(services().index.series_of(study))
    chosen = next((one for one in slides if one.series_instance_uid == series), None)
    if chosen is None:
        abort(404)
    view = SlideView(record, site_book().name(record.site_id), chosen, slides)
    return render_template("slide.html", view=view)


@blueprint.get(f"{_SERIES}/levels")
@signed_in
def levels(study: str, series: str) -> Response:
    """Answer the levels of a slide for the page's script, the finest first; 404 without any."""
    shown = shown_levels(located(study, series, Action.VIEW_CLINICAL))
    if not shown:
        abort(404)
    return jsonify({"levels": shown})


def slides_of(series: Sequence[SeriesRecord]) -> tuple[SeriesRecord, ...]:
    """Return those of `series` that hold whole slides."""
    return tuple(one for one in series if one.modality == "SM")


def shown_levels(found: LocatedInstances) -> list[dict[str, Any]]:
    """Return one level of each width, the widest first: what shows the same piece of glass.

    Label and overview show the glass itself. Of several focal planes or stains of one width the
    first is shown.
    """
    slides = [one for one in found.instances if one.sop_class_uid == WHOLE_SLIDE]
    root = f"{request.root_path}/dicom-web"
    places = {one.sop_instance_uid: instance_address(one, root) for one in slides}
    found_levels = pyramid_of(services(), slides)
    finest = next((one for one in found_levels if one["role"] == "volume"), None)
    if finest is None:
        return []
    shown: dict[int, dict[str, Any]] = {}
    for level in found_levels:
        if level["role"] in {"volume", "thumbnail"} and _is_of(level, finest):
            level["frames_url"] = f"{places[level['sop_instance_uid']]}/frames/"
            shown.setdefault(level["width"], level)
    return sorted(shown.values(), key=lambda level: -int(level["width"]))


def _is_of(level: dict[str, Any], finest: dict[str, Any]) -> bool:
    """Whether a level has the proportions of the finest one, to within a pixel of its own."""
    high = level["width"] * finest["height"] / finest["width"]
    return bool(abs(level["height"] - high) <= max(1.0, _SAME_SHAPE * high))
