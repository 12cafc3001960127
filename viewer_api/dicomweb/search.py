"""QIDO-RS: what matches among the studies the asker may see (PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request

from access_control.model import Action, Resource
from image_archive.counting import COUNTED_WHEN_ASKED
from image_archive.matching_keys import unmatched
from image_archive.matching_times import Zones
from image_archive.query import IndexMatch, IndexQuery, Level
from viewer_api.dicomweb.attributes import match_address, match_json
from viewer_api.dicomweb.instance_metadata import encoded
from viewer_api.dicomweb.located import dicomweb_root
from viewer_api.dicomweb.metadata import attributes_response
from viewer_api.dicomweb.query_parameters import SearchParameters, parse_search
from viewer_api.dicomweb.scope import Reach, narrowed, reach_of
from viewer_api.security import (
    current_subject,
    identifiers_searched,
    opened_in_emergency,
    require,
    require_study,
    signed_in,
    withheld_studies,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from image_archive.model import StudyRecord

blueprint = Blueprint("dicomweb_search", __name__, url_prefix="/dicom-web")

# Other numbers of a person (resident ID, insurance) leave only when they are asked for.
_ONLY_WHEN_ASKED = frozenset({"OtherPatientIDs"})
_WHO = frozenset({"PatientID", "IssuerOfPatientID"})
_KEPT_BELOW = frozenset({"StudyInstanceUID", "SeriesInstanceUID"})


@blueprint.get("/studies")
@signed_in
def studies() -> Response:
    """Answer the studies that match."""
    return _search(Level.STUDY)


@blueprint.get("/series")
@signed_in
def series() -> Response:
    """Answer the series of any study that match."""
    return _search(Level.SERIES)


@blueprint.get("/instances")
@signed_in
def instances() -> Response:
    """Answer the instances of any study that match."""
    return _search(Level.INSTANCE)


@blueprint.get("/studies/<uid:study>/series")
@signed_in
def series_of_study(study: str) -> Response:
    """Answer the series of one study that match."""
    return _search_inside(Level.SERIES, study, {})


@blueprint.get("/studies/<uid:study>/instances")
@signed_in
def instances_of_study(study: str) -> Response:
    """Answer the instances of one study that match."""
    return _search_inside(Level.INSTANCE, study, {})


@blueprint.get("/studies/<uid:study>/series/<uid:series>/instances")
@signed_in
def instances_of_series(study: str, series: str) -> Response:
    """Answer the instances of one series that match."""
    return _search_inside(Level.INSTANCE, study, {"SeriesInstanceUID": series})


def _search(level: Level) -> Response:
    require(Action.QUERY, Resource(kind="study"))
    asked = parse_search(request.args.items(multi=True))
    query = _query(level, asked)
    with services().metrics.find_seconds.labels("qido").time():
        matches, more = _visible(query)
    found = [_json(match, asked, query, below=Level.PATIENT) for match in matches]
    return _answer(found, query, more=more)


def _search_inside(level: Level, study_uid: str, matches: dict[str, str]) -> Response:
    require_study(study_uid, Action.QUERY)
    asked = parse_search(request.args.items(multi=True))
    query = replace(
        _query(level, asked),
        matches={**_person_wide(asked.matches), **matches},
        study_uids=frozenset({study_uid}),
    )
    with services().metrics.find_seconds.labels("qido").time():
        answer = services().index.find(query)
    below = Level.SERIES if matches else Level.STUDY
    found = [_json(match, asked, query, below=below) for match in answer.matches]
    return _answer(found, query, more=answer.truncated)


def _person_wide(matches: dict[str, str]) -> dict[str, str]:
    """Return `matches` as the diagnostic viewer means them.

    It asks for priors by one Patient ID, and a person has another at each site. Its searches see
    that one person alone, so any of the person's numbers stands for all of them.
    """
    identifiers = identifiers_searched()
    if identifiers is None or matches.get("PatientID") not in {one.value for one in identifiers}:
        return matches
    return {key: value for key, value in matches.items() if key not in _WHO}


def _query(level: Level, asked: SearchParameters) -> IndexQuery:
    """Return the query: date-times are one range (PS3.18 8.3.4.1), in the asker's zone if said."""
    zones = None
    if asked.timezone_offset:
        region = ZoneInfo(services().settings.hub.time_zone)
        zones = Zones(
            asked.timezone_offset, services().clock.now().astimezone(region).strftime("%z")
        )
    return IndexQuery(
        level=level,
        matches=_person_wide(asked.matches),
        identifiers=identifiers_searched(),
        limit=asked.limit,
        offset=asked.offset,
        fuzzy=asked.fuzzy,
        combined_datetime=True,
        zones=zones,
        returning=COUNTED_WHEN_ASKED if asked.include_all else asked.include | asked.matches.keys(),
    )


def _visible(query: IndexQuery) -> tuple[Sequence[IndexMatch], bool]:
    """Return the page of matches the asker may see, and whether there are more."""
    reach = _reach()
    if reach is None and not services().consents.somebody_refuses():
        answer = services().index.find(query)
        return answer.matches, answer.truncated
    found = narrowed(services().database, reach, query, _with_study, _withheld)
    return found.rows, found.more


def _reach() -> Reach | None:
    """Return where the asker's rights hold; None is everywhere, as for one person in emergency."""
    person = Resource("study", identifiers=identifiers_searched() or frozenset())
    if opened_in_emergency(Action.QUERY, person):
        return None
    return reach_of(current_subject(), services().sites.all())


def _withheld(studies: Sequence[StudyRecord]) -> frozenset[str]:
    return withheld_studies(studies, Action.QUERY)


def _with_study(query: IndexQuery) -> list[tuple[StudyRecord, IndexMatch]]:
    matches = services().index.find(query).matches
    return [(match.study, match) for match in matches if match.study is not None]


def _json(
    match: IndexMatch, asked: SearchParameters, query: IndexQuery, *, below: Level
) -> dict[str, object]:
    """Return `match` as asked for; `below` is the level the path names and need not repeat."""
    attributes = match.attributes(query.zones)
    if not asked.include_all:
        unasked = (_ONLY_WHEN_ASKED | _of_levels_above(match, below)) - asked.include
        attributes = {key: value for key, value in attributes.items() if key not in unasked}
    return match_json(attributes, match_address(match, dicomweb_root()))


def _of_levels_above(match: IndexMatch, below: Level) -> frozenset[str]:
    found: set[str] = set()
    if below in {Level.STUDY, Level.SERIES}:
        found |= IndexMatch(study=match.study).attributes().keys()
    if below is Level.SERIES:
        found |= IndexMatch(series=match.series).attributes().keys()
    return frozenset(found) - _KEPT_BELOW


def _answer(found: list[dict[str, object]], query: IndexQuery, *, more: bool) -> Response:
    answer = attributes_response(lambda: encoded(found), lambda: found)
    if more:
        _warn(answer, "There are additional results that can be requested")
    if not_matched := unmatched(query):
        _warn(answer, f"Not supported for matching and ignored: {', '.join(not_matched)}")
    return answer


def _warn(answer: Response, text: str) -> None:
    answer.headers.add("Warning", f'299 eirhub "{text}"')
