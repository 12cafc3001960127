"""The one decision: role × site × purpose; what no row allows is refused.

A right ends where the person's consent ends: see `BEYOND_CONSENT`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from access_control.model import (
    Action,
    Decision,
    Purpose,
    Resource,
    Role,
    Subject,
    SubjectKind,
)
from hub_kernel.identifiers import PatientIdentifier


class Scope(StrEnum):
    """How far a right reaches; `_REACHES` says what each word means."""

    RELATION = "relation"  # the person is known at one of the subject's sites: the whole record
    SEARCH = "search"  # a relation, or nobody in particular: answers are narrowed to the sites
    ORIGIN = "origin"  # the study was made at one of the subject's sites
    COVERED = "covered"  # every site concerned is the subject's; nothing personal is shown
    REGION = "region"  # the right cannot be narrowed to a site, so only who has the region has it
    ITSELF = "itself"  # a site acting for itself and no other
    BOUND = "bound"  # the one study a link was made for
    ANYBODY = "anybody"  # a signed-in person who works somewhere, about whomever
    GLASS = "glass"  # the person whose record the subject has opened in an emergency


@dataclass(frozen=True)
class Grant:
    """One row of the table: who may do what, what for, and how far it reaches."""

    holder: Role | SubjectKind
    purpose: Purpose
    scope: Scope
    actions: tuple[Action, ...]


# Looking, and nothing that hands the person's data on or changes them.
_SEEN_IN_EMERGENCY = (
    Action.VIEW_RECORD,
    Action.VIEW_DIAGNOSTIC,
    Action.VIEW_CLINICAL,
    Action.RETRIEVE_DOCUMENT,
    Action.QUERY,
)

# The rights. A broken glass has a reason, an end and a review: see `access_control.break_glass`.
GRANTS: tuple[Grant, ...] = (
    Grant(
        Role.RADIOLOGIST,
        Purpose.TREATMENT,
        Scope.RELATION,
        (
            Action.VIEW_RECORD,
            Action.VIEW_DIAGNOSTIC,
            Action.VIEW_CLINICAL,
            Action.VIEW_PUBLIC,
            Action.RETRIEVE_DOCUMENT,
            Action.SHARE,
        ),
    ),
    Grant(
        Role.RADIOLOGIST,
        Purpose.TREATMENT,
        Scope.SEARCH,
        (Action.FIND_PATIENT, Action.QUERY, Action.QUERY_REGISTRY),
    ),
    Grant(Role.RADIOLOGIST, Purpose.TREATMENT, Scope.ORIGIN, (Action.STORE,)),
    Grant(
        Role.RADIOLOGIST,
        Purpose.QUALITY,
        Scope.RELATION,
        (Action.VIEW_DIAGNOSTIC, Action.VIEW_CLINICAL),
    ),
    Grant(
        Role.CLINICIAN,
        Purpose.TREATMENT,
        Scope.RELATION,
        (
            Action.VIEW_RECORD,
            Action.VIEW_DIAGNOSTIC,
            Action.VIEW_CLINICAL,
            Action.VIEW_PUBLIC,
            Action.RETRIEVE_DOCUMENT,
            Action.SHARE,
        ),
    ),
    Grant(
        Role.CLINICIAN,
        Purpose.TREATMENT,
        Scope.SEARCH,
        (Action.FIND_PATIENT, Action.QUERY, Action.QUERY_REGISTRY),
    ),
    Grant(
        Role.TECHNICIAN,
        Purpose.TREATMENT,
        Scope.ORIGIN,
        (Action.VIEW_CLINICAL, Action.STORE),
    ),
    Grant(Role.TECHNICIAN, Purpose.QUALITY, Scope.ORIGIN, (Action.VIEW_CLINICAL,)),
    Grant(Role.TECHNICIAN, Purpose.OPERATIONS, Scope.COVERED, (Action.VIEW_OPERATIONS,)),
    Grant(Role.MANAGER, Purpose.OPERATIONS, Scope.COVERED, (Action.VIEW_OPERATIONS,)),
    Grant(
        Role.ENGINEER,
        Purpose.OPERATIONS,
        Scope.COVERED,
        (Action.VIEW_OPERATIONS, Action.OPERATE, Action.INSPECT_REFUSED),
    ),
    Grant(
        Role.REGISTRAR,
        Purpose.OPERATIONS,
        Scope.COVERED,
        (Action.RESOLVE_CONFLICT, Action.INSPECT_REFUSED, Action.CLEAR_PICTURES),
    ),
    Grant(Role.DATA_STEWARD, Purpose.RESEARCH, Scope.ORIGIN, (Action.DEIDENTIFY,)),
    Grant(Role.AUDITOR, Purpose.AUDIT, Scope.REGION, (Action.VIEW_AUDIT,)),
    Grant(Role.REGISTRAR, Purpose.QUALITY, Scope.SEARCH, (Action.REVIEW_IDENTITY,)),
    Grant(Role.REGISTRAR, Purpose.OPERATIONS, Scope.COVERED, (Action.REVIEW_IDENTITY,)),
    Grant(Role.REGISTRAR, Purpose.PATIENT, Scope.SEARCH, (Action.MANAGE_CONSENT,)),
    Grant(
        Role.REGISTRAR,
        Purpose.OPERATIONS,
        Scope.RELATION,
        (Action.ADMINISTER_DOCUMENTS, Action.HOLD_RECORD),
    ),
    Grant(Role.DOCUMENT_SOURCE, Purpose.TREATMENT, Scope.RELATION, (Action.SUBMIT_DOCUMENTS,)),
    # A township gateway hands over its own site's studies and sees nothing.
    Grant(Role.EDGE, Purpose.TREATMENT, Scope.ORIGIN, (Action.STORE,)),
    Grant(SubjectKind.SITE, Purpose.TREATMENT, Scope.ITSELF, (Action.STORE,)),
    Grant(SubjectKind.SITE, Purpose.TREATMENT, Scope.SEARCH, (Action.QUERY,)),
    Grant(SubjectKind.LINK, Purpose.PATIENT, Scope.BOUND, (Action.VIEW_PUBLIC,)),
    Grant(Role.RADIOLOGIST, Purpose.BREAK_GLASS, Scope.ANYBODY, (Action.BREAK_GLASS,)),
    Grant(Role.CLINICIAN, Purpose.BREAK_GLASS, Scope.ANYBODY, (Action.BREAK_GLASS,)),
    Grant(Role.RADIOLOGIST, Purpose.BREAK_GLASS, Scope.GLASS, _SEEN_IN_EMERGENCY),
    Grant(Role.CLINICIAN, Purpose.BREAK_GLASS, Scope.GLASS, _SEEN_IN_EMERGENCY),
    Grant(Role.AUDITOR, Purpose.AUDIT, Scope.REGION, (Action.REVIEW_BREAK_GLASS,)),
)

# Rights of these roles cannot be narrowed to sites; accounts with both are refused when made.
REGIONAL_ROLES: frozenset[Role] = frozenset(
    grant.holder
    for grant in GRANTS
    if grant.scope is Scope.REGION and isinstance(grant.holder, Role)
)

# What a refusal does not stop: pictures and documents keep arriving, the hub keeps being run and
# audited, and somebody can write down that the person has changed their mind. A new action is
# stopped.
BEYOND_CONSENT: frozenset[Action] = frozenset(
    {
        Action.STORE,
        Action.VIEW_OPERATIONS,
        Action.OPERATE,
        Action.VIEW_AUDIT,
        Action.REVIEW_BREAK_GLASS,
        Action.REVIEW_IDENTITY,
        Action.MANAGE_CONSENT,
        Action.SUBMIT_DOCUMENTS,
        Action.ADMINISTER_DOCUMENTS,
        Action.RESOLVE_CONFLICT,
        Action.INSPECT_REFUSED,
        Action.HOLD_RECORD,
    }
)


# What a reader does inside the diagnostic viewer, which shows one person and changes nothing.
_WITHIN_VIEWER = frozenset({Action.VIEW_DIAGNOSTIC, Action.VIEW_CLINICAL, Action.QUERY})


def decide(subject: Subject, action: Action, resource: Resource, purpose: Purpose) -> Decision:
    """Say whether `subject` may do `action` on `resource` for `purpose`, and by which rule.

    Pure, total, and closed by default: what no row of `GRANTS` allows is refused. The rule of a
    refusal is `no-right` (no row at all), `out-of-reach` (a right, but not over this resource),
    `consent-refused` (a right over it, which the person has refused), `other-purpose` or
    `other-person` (the subject's credential holds for another purpose or person alone). A refusal
    overrides every right but breaking the glass.
    """
    if subject.purpose not in {None, purpose}:
        return Decision(allowed=False, rule="other-purpose")
    if subject.bound_patient and not _within_bounds(subject.bound_patient, action, resource):
        return Decision(allowed=False, rule="other-person")
    granted = _granted(subject, action, resource, purpose)
    stoppable = action not in BEYOND_CONSENT and purpose is not Purpose.BREAK_GLASS
    asked = granted.allowed and bool(resource.refusals) and stoppable
    if asked and _withheld(subject, action, resource, purpose):
        return Decision(allowed=False, rule="consent-refused")
    return granted


def _within_bounds(bound: PatientIdentifier, action: Action, resource: Resource) -> bool:
    """A search names nobody; its answers are narrowed to the person by who searches."""
    is_search = action is Action.QUERY and not resource.resource_id
    known_by = {identifier.cx for identifier in resource.identifiers}
    return action in _WITHIN_VIEWER and (is_search or bound.cx in known_by)


def _granted(subject: Subject, action: Action, resource: Resource, purpose: Purpose) -> Decision:
    rows = _ROWS.get((action, purpose), ())
    held = [row for row in rows if row.holder in _holders(subject)]
    for row in held:
        if _REACHES[row.scope](subject, resource):
            return Decision(allowed=True, rule=f"{row.holder}-{row.purpose}-{row.scope}")
    return Decision(allowed=False, rule="out-of-reach" if held else "no-right")


def _withheld(subject: Subject, action: Action, resource: Resource, purpose: Purpose) -> bool:
    """Say whether the person's refusals take away what the table has granted.

    Who works at several sites keeps what the other sites give; the whole region is no site.
    """
    refusals = resource.refusals
    of_a_link = action is Action.SHARE or subject.kind is SubjectKind.LINK
    if refusals.everyone or (refusals.sharing and of_a_link):
        return True
    if subject.kind is SubjectKind.SITE and subject.subject_id in refusals.site_ids:
        return True
    if subject.sites is None:
        return False
    elsewhere = replace(subject, sites=subject.sites - refusals.site_ids)
    return not _granted(elsewhere, action, resource, purpose).allowed


def _holders(subject: Subject) -> frozenset[Role | SubjectKind]:
    """Roles count for people and machines only; whatever else asks has the rights of its kind."""
    if subject.kind in {SubjectKind.USER, SubjectKind.MACHINE}:
        return frozenset(subject.roles)
    return frozenset({subject.kind})


def _by_action_and_purpose() -> Mapping[tuple[Action, Purpose], tuple[Grant, ...]]:
    rows: dict[tuple[Action, Purpose], tuple[Grant, ...]] = {}
    for grant in GRANTS:
        for action in grant.actions:
            key = action, grant.purpose
            rows[key] = (*rows.get(key, ()), grant)
    return rows


def _relation(subject: Subject, resource: Resource) -> bool:
    return subject.sites is None or bool(subject.sites & resource.site_ids)


def _search(subject: Subject, resource: Resource) -> bool:
    """A named person or study without any site is no search: nothing shows that it is theirs."""
    if resource.resource_id or resource.site_ids:
        return _relation(subject, resource)
    return subject.sites is None or bool(subject.sites)


def _origin(subject: Subject, resource: Resource) -> bool:
    return subject.sites is None or resource.origin_site_id in subject.sites - {""}


def _covered(subject: Subject, resource: Resource) -> bool:
    return subject.sites is None or (bool(subject.sites) and resource.site_ids <= subject.sites)


def _region(subject: Subject, _resource: Resource) -> bool:
    return subject.sites is None


def _itself(subject: Subject, resource: Resource) -> bool:
    return bool(subject.subject_id) and resource.origin_site_id == subject.subject_id


def _bound(subject: Subject, resource: Resource) -> bool:
    return (
        bool(subject.bound_study_uid)
        and resource.kind == "study"
        and resource.resource_id == subject.bound_study_uid
    )


def _anybody(subject: Subject, _resource: Resource) -> bool:
    """Say whether somebody signed in works anywhere at all; a machine has no emergencies."""
    return subject.kind is SubjectKind.USER and (subject.sites is None or bool(subject.sites))


def _glass(subject: Subject, resource: Resource) -> bool:
    return _anybody(subject, resource) and resource.glass_broken


_ROWS = _by_action_and_purpose()
_REACHES: Mapping[Scope, Callable[[Subject, Resource], bool]] = {
    Scope.RELATION: _relation,
    Scope.SEARCH: _search,
    Scope.ORIGIN: _origin,
    Scope.COVERED: _covered,
    Scope.REGION: _region,
    Scope.ITSELF: _itself,
    Scope.BOUND: _bound,
    Scope.ANYBODY: _anybody,
    Scope.GLASS: _glass,
}
