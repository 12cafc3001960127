"""What the pages for text in pictures share: who may see which case; every look is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access_control.model import Action, Purpose, Resource
from eir_versions.deidentification.burned_in import CaseState
from hub_kernel.errors import NotFoundError
from viewer_api.security import current_subject, permitted, record_access, refuse, require
from viewer_api.security.resources import study_resource
from viewer_api.services import services

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from eir_versions.deidentification.burned_in import Case
    from eir_versions.deidentification.desk import Decision


def require_desk() -> None:
    """End the request with 404 for whoever decides about no pictures."""
    require(Action.CLEAR_PICTURES, _sites(), Purpose.OPERATIONS)


def waiting_count() -> int:
    """Return how many pictures wait for the subject; one query."""
    if not permitted(Action.CLEAR_PICTURES, _sites(), Purpose.OPERATIONS):
        return 0
    return services().eir.burned_in.total(CaseState.HELD, current_subject().sites)


def case_of(case_id: str) -> Case:
    """Return a case that the subject may see; the look at its picture is on record."""
    try:
        case = services().eir.burned_in.case(case_id[:64])
    except NotFoundError:
        refuse(Action.CLEAR_PICTURES, Resource("study"), detail="unknown")
    require(Action.CLEAR_PICTURES, _resource(case), Purpose.OPERATIONS, detail=_detail(case))
    return case


def decide(case: Case, decision: Decision) -> None:
    """Decide a case, with its record in the same transaction.

    Raises:
        InvalidValueError: what was said does not fit, or text would be left.
    """

    def on_record(session: Session) -> None:
        record_access(
            str(Action.CLEAR_PICTURES),
            "success",
            _resource(case),
            detail=f"{_detail(case)} {decision.verdict}: {decision.reason.strip()}",
            session=session,
        )

    services().eir.burned_in.decide(case, decision, on_record)


def _detail(case: Case) -> str:
    return f"burned-in {case.case_id[:8]}"


def _sites() -> Resource:
    """The sites a list is about: those of the subject, so that everybody sees their own."""
    sites = current_subject().sites
    known = frozenset(site.site_id for site in services().sites.all())
    return Resource("study", site_ids=known if sites is None else sites)


def _resource(case: Case) -> Resource:
    """The picture's study at its own site alone: that site answers for what it lets the public see.

    What the person has refused holds here as everywhere.
    """
    study = services().index.study(case.study_instance_uid, with_rejected=True)
    return Resource(
        "study",
        case.study_instance_uid,
        site_ids=frozenset({case.site_id}),
        origin_site_id=case.site_id,
        refusals=study_resource(study).refusals if study else Resource("study").refusals,
    )
