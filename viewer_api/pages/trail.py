"""Who saw what: the audit trail as the auditor reads it, with the proof that nothing is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from access_control.accounts import folded_username
from access_control.audit import AuditQuery
from access_control.model import Action, Purpose, Resource
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from access_control.audit import AuditPage, AuditVerification

blueprint = Blueprint("trail", __name__)

_ROWS = 50
_LONGEST_CHAIN_ON_A_PAGE = 20_000
_LONGEST = 128
_OUTCOMES = {
    "success": lazy_gettext("Allowed"),
    "refused": lazy_gettext("Refused"),
    "failure": lazy_gettext("Failed"),
}
ACTION_WORDS = {
    "break_glass": lazy_gettext("Opened a record in emergency"),
    "end_break_glass": lazy_gettext("Emergency access ended"),
    "review_break_glass": lazy_gettext("Reviewed an emergency access"),
    "associate": lazy_gettext("DICOM connection"),
    "correct_message": lazy_gettext("Corrected a message"),
    "decide_identity": lazy_gettext("Changed who a person is"),
    "feed_patient": lazy_gettext("Sent who a person is"),
    "find_patient": lazy_gettext("Searched for a person"),
    "manage_consent": lazy_gettext("Looked after consents"),
    "hold_record": lazy_gettext("Legal hold"),
    "delete_study": lazy_gettext("Deleted an examination"),
    "open_link": lazy_gettext("Opened a shared link"),
    "query": lazy_gettext("Searched for studies"),
    "query_registry": lazy_gettext("Searched the registry"),
    "receive_report": lazy_gettext("Sent a report"),
    "record_consent": lazy_gettext("Wrote down a consent"),
    "retrieve_document": lazy_gettext("Fetched a document"),
    "review_identity": lazy_gettext("Looked at identities"),
    "share": lazy_gettext("Shared with the patient"),
    "sign_in": lazy_gettext("Signed in"),
    "sign_out": lazy_gettext("Signed out"),
    "store": lazy_gettext("Sent pictures"),
    "view_audit": lazy_gettext("Looked at this trail"),
    "view_clinical": lazy_gettext("Saw the clinical version"),
    "view_diagnostic": lazy_gettext("Saw the diagnostic version"),
    "view_operations": lazy_gettext("Looked at operations"),
    "view_public": lazy_gettext("Saw the public version"),
    "view_record": lazy_gettext("Opened a person's record"),
}
KIND_WORDS = {
    "anonymous": lazy_gettext("Not signed in"),
    "link": lazy_gettext("Shared link"),
    "machine": lazy_gettext("Machine"),
    "site": lazy_gettext("Sending site"),
    "user": lazy_gettext("Person"),
}


@dataclass(frozen=True)
class Filters:
    """What the auditor narrows the list by."""

    reader: str
    about: str
    action: str
    outcome: str
    before: int | None

    @property
    def any(self) -> bool:
        """True when something narrows the list."""
        return bool(self.reader or self.about or self.action or self.outcome)


@blueprint.get("/audit")
@signed_in
def page() -> str:
    """Show the newest records that match, and whether the chain holds."""
    require(Action.VIEW_AUDIT, Resource("audit"), Purpose.AUDIT)
    filters = _filters()
    found = _search(filters)
    return render_template(
        "trail.html",
        found=found,
        filters=filters,
        proof=_proof(),
        actions=ACTION_WORDS,
        outcomes=_OUTCOMES,
        kinds=KIND_WORDS,
    )


def _filters() -> Filters:
    def text(name: str) -> str:
        return request.args.get(name, "").strip()[:_LONGEST]

    action, outcome, before = text("action"), text("outcome"), text("before")
    return Filters(
        reader=text("reader"),
        about=text("about"),
        action=action if action in ACTION_WORDS else "",
        outcome=outcome if outcome in _OUTCOMES else "",
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None,
    )


def _search(filters: Filters) -> AuditPage:
    return services().audit.search(
        AuditQuery(
            subject_id=_subject_id(filters.reader),
            resource_ids=frozenset({filters.about}) if filters.about else frozenset(),
            action=filters.action,
            outcome=filters.outcome,
            before_sequence=filters.before,
            limit=_ROWS,
        )
    )


def _subject_id(reader: str) -> str:
    """What the records call the reader: people are looked up by user name, others as typed."""
    if not reader:
        return ""
    typed = folded_username(reader)
    for account in services().accounts.all():
        if account.username == typed:
            return account.user_id
    return reader


def _proof() -> AuditVerification | None:
    """The whole chain, re-computed; None when that would take longer than a page may."""
    if services().audit.head().sequence > _LONGEST_CHAIN_ON_A_PAGE:
        return None
    return services().audit.verify()
