"""The desk of refused submissions behind the page and the API: who may, and what is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import abort

from access_control.model import Action, Purpose, Resource
from hub_kernel.errors import NotFoundError
from viewer_api.security import current_subject, permitted, record_access, require
from viewer_api.services import services
from xds_registry.tables_refused import DISMISSED, OPEN, REPLAYED

if TYPE_CHECKING:
    from xds_registry.refused_submissions import RefusedSubmissions, ReplayOutcome
    from xds_registry.refused_words import RefusedSubmission

STATES = (OPEN, REPLAYED, DISMISSED)
LONGEST_XML = 900_000
_KIND = "submission_set"


def desk() -> RefusedSubmissions:
    """Return the desk."""
    return services().registry.refused


def may_correct() -> bool:
    """Say whether the current subject may see what was submitted, correct it and send it again.

    A submission is of no site before it is registered, so that takes every site.
    """
    return permitted(Action.REVIEW_IDENTITY, _everywhere(), Purpose.OPERATIONS)


def require_list() -> None:
    """Let registrars and those who run the hub see what waits: reasons, no patients."""
    if may_correct():
        require(Action.REVIEW_IDENTITY, _everywhere(), Purpose.OPERATIONS, detail="refused list")
    else:
        everywhere = _everywhere("operations")
        require(Action.VIEW_OPERATIONS, everywhere, Purpose.OPERATIONS, detail="refused list")


def found(refusal_id: int) -> RefusedSubmission:
    """Return one submission to a registrar; anybody else, and any other number, gets 404."""
    require(
        Action.REVIEW_IDENTITY,
        _everywhere(),
        Purpose.OPERATIONS,
        detail=f"refused submission {refusal_id}",
    )
    try:
        return desk().get(refusal_id)
    except NotFoundError:
        abort(404)


def replay(refusal_id: int, xml: str) -> ReplayOutcome:
    """Send a corrected submission again.

    Raises:
        SettledRefusalError: it was carried out or set aside before.
    """
    outcome = desk().replay(refusal_id, xml[:LONGEST_XML], current_subject().subject_id)
    _on_record(refusal_id, "replayed" if outcome.accepted else "refused again")
    return outcome


def dismiss(refusal_id: int, reason: str) -> None:
    """Set a submission aside.

    Raises:
        InvalidValueError: it was settled before, or no reason is given.
    """
    desk().dismiss(refusal_id, current_subject().subject_id, reason[:400])
    _on_record(refusal_id, "set aside")


def _everywhere(kind: str = _KIND) -> Resource:
    return Resource(kind, site_ids=frozenset(site.site_id for site in services().sites.all()))


def _on_record(refusal_id: int, what: str) -> None:
    record_access("correct_message", "success", Resource(_KIND, str(refusal_id)), detail=what)
