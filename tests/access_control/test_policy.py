"""Walks every role × action × purpose × reach × kind of subject against a table of its own."""

from dataclasses import replace
from itertools import chain, combinations, product

import pytest

from access_control.model import (
    ANONYMOUS,
    Action,
    Purpose,
    Refusals,
    Resource,
    Role,
    Subject,
    SubjectKind,
)
from access_control.policy import BEYOND_CONSENT, decide
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier

A, B = "sijing", "jiuting"
HERE, BOTH, NOWHERE = frozenset({A}), frozenset({A, B}), frozenset[str]()
STUDY = "1.2.3"

# situation → (sites of the subject, what is asked for)
SITUATIONS: dict[str, tuple[frozenset[str] | None, Resource]] = {
    "own": (HERE, Resource("study", STUDY, HERE, A)),
    "known": (HERE, Resource("study", STUDY, BOTH, B)),
    "foreign": (HERE, Resource("study", STUDY, frozenset({B}), B)),
    "region": (None, Resource("study", STUDY, frozenset({B}), B)),
    "unplaced": (HERE, Resource("study", STUDY)),
    "nowhere": (NOWHERE, Resource("study", STUDY, HERE, A)),
    "search": (HERE, Resource("study")),
    "search region": (None, Resource("study")),
    "search nowhere": (NOWHERE, Resource("study")),
    "glass": (HERE, Resource("study", STUDY, frozenset({B}), B, glass_broken=True)),
    "glass nowhere": (NOWHERE, Resource("study", STUDY, frozenset({B}), B, glass_broken=True)),
}

RELATION = {"own", "known", "region", "search region"}
SEARCH = RELATION | {"search"}
ORIGIN = {"own", "region", "search region"}
COVERED = {"own", "region", "unplaced", "search", "search region"}
REGION = {"region", "search region"}
GLASS = {"glass"}
ANYBODY = SITUATIONS.keys() - {"nowhere", "search nowhere", "glass nowhere"}
NEVER: set[str] = set()

# role, purpose, actions → situations in which they are allowed; what is not written is refused
EXPECTED_OF_ROLES: list[tuple[str, str, str, set[str]]] = [
    ("radiologist", "treatment", "view_record", RELATION),
    ("radiologist", "treatment", "view_diagnostic", RELATION),
    ("radiologist", "treatment", "view_clinical", RELATION),
    ("radiologist", "treatment", "view_public", RELATION),
    ("radiologist", "treatment", "retrieve_document", RELATION),
    ("radiologist", "treatment", "share", RELATION),
    ("radiologist", "treatment", "find_patient", SEARCH),
    ("radiologist", "treatment", "query", SEARCH),
    ("radiologist", "treatment", "query_registry", SEARCH),
    ("radiologist", "treatment", "store", ORIGIN),
    ("radiologist", "quality", "view_diagnostic", RELATION),
    ("radiologist", "quality", "view_clinical", RELATION),
    ("clinician", "treatment", "view_record", RELATION),
    ("clinician", "treatment", "view_diagnostic", RELATION),
    ("clinician", "treatment", "view_clinical", RELATION),
    ("clinician", "treatment", "view_public", RELATION),
    ("clinician", "treatment", "retrieve_document", RELATION),
    ("clinician", "treatment", "share", RELATION),
    ("clinician", "treatment", "find_patient", SEARCH),
    ("clinician", "treatment", "query", SEARCH),
    ("clinician", "treatment", "query_registry", SEARCH),
    ("technician", "treatment", "view_clinical", ORIGIN),
    ("technician", "treatment", "store", ORIGIN),
    ("technician", "quality", "view_clinical", ORIGIN),
    ("technician", "operations", "view_operations", COVERED),
    ("manager", "operations", "view_operations", COVERED),
    ("engineer", "operations", "view_operations", COVERED),
    ("engineer", "operations", "operate", COVERED),
    ("auditor", "audit", "view_audit", REGION),
    ("registrar", "quality", "review_identity", SEARCH),
    ("registrar", "operations", "review_identity", COVERED),
    ("registrar", "operations", "resolve_conflict", COVERED),
    ("registrar", "operations", "inspect_refused", COVERED),
    ("registrar", "operations", "clear_pictures", COVERED),
    ("data_steward", "research", "deidentify", ORIGIN),
    ("engineer", "operations", "inspect_refused", COVERED),
    ("registrar", "patient", "manage_consent", SEARCH),
    ("registrar", "operations", "administer_documents", RELATION),
    ("registrar", "operations", "hold_record", RELATION),
    ("document_source", "treatment", "submit_documents", RELATION),
    ("edge", "treatment", "store", ORIGIN),
    ("auditor", "audit", "review_break_glass", REGION),
    *(
        (role, "break_glass", action, where)
        for role in ("radiologist", "clinician")
        for action, where in (
            ("break_glass", ANYBODY),
            ("view_record", GLASS),
            ("view_diagnostic", GLASS),
            ("view_clinical", GLASS),
            ("retrieve_document", GLASS),
            ("query", GLASS),
        )
    ),
]

# the same for what is no person and no machine; the site asks as `sijing`
EXPECTED_OF_KINDS: list[tuple[str, str, str, set[str]]] = [
    ("site", "treatment", "store", {"own", "nowhere"}),
    ("site", "treatment", "query", SEARCH),
]

_OF_ROLE = {(role, action, why): where for role, why, action, where in EXPECTED_OF_ROLES}
_OF_KIND = {(kind, action, why): where for kind, why, action, where in EXPECTED_OF_KINDS}
ALL_ROLES = frozenset(Role)


def _subject(kind: SubjectKind, roles: frozenset[Role], sites: frozenset[str] | None) -> Subject:
    return Subject(kind, subject_id=A, display="somebody", roles=roles, sites=sites)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", [SubjectKind.USER, SubjectKind.MACHINE])
def test_a_role_may_exactly_what_the_table_says(
    kind: SubjectKind, role: Role, situation: str
) -> None:
    sites, resource = SITUATIONS[situation]
    for action, purpose in product(Action, Purpose):
        expected = situation in _OF_ROLE.get((role.value, action.value, purpose.value), NEVER)
        expected &= purpose is not Purpose.BREAK_GLASS or kind is SubjectKind.USER
        decision = decide(_subject(kind, frozenset({role}), sites), action, resource, purpose)
        assert decision.allowed is expected, (action, purpose, decision.rule)
        assert decision.rule


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(
    "kind", [kind for kind in SubjectKind if kind not in {SubjectKind.USER, SubjectKind.MACHINE}]
)
@pytest.mark.parametrize("roles", [frozenset[Role](), ALL_ROLES], ids=["no roles", "all roles"])
def test_what_is_no_person_and_no_machine_has_the_rights_of_its_kind_whatever_its_roles(
    kind: SubjectKind, roles: frozenset[Role], situation: str
) -> None:
    sites, resource = SITUATIONS[situation]
    for action, purpose in product(Action, Purpose):
        expected = situation in _OF_KIND.get((kind.value, action.value, purpose.value), NEVER)
        decision = decide(_subject(kind, roles, sites), action, resource, purpose)
        assert decision.allowed is expected, (action, purpose, decision.rule)


@pytest.mark.parametrize("roles", list(combinations(Role, 2)), ids=str)
def test_two_roles_together_may_what_either_may_and_nothing_more(
    roles: tuple[Role, Role],
) -> None:
    for situation, action, purpose in product(SITUATIONS, Action, Purpose):
        sites, resource = SITUATIONS[situation]

        def allowed(
            *held: Role,
            sites: frozenset[str] | None = sites,
            request: tuple[Action, Resource, Purpose] = (action, resource, purpose),
        ) -> bool:
            return decide(_subject(SubjectKind.USER, frozenset(held), sites), *request).allowed

        assert allowed(*roles) is (allowed(roles[0]) or allowed(roles[1]))


def test_no_role_at_all_may_nothing() -> None:
    for (sites, resource), action, purpose in product(SITUATIONS.values(), Action, Purpose):
        subject = _subject(SubjectKind.USER, frozenset(), sites)
        assert not decide(subject, action, resource, purpose).allowed


def test_nobody_sees_anything_for_an_emergency_before_the_glass_is_broken() -> None:
    for (sites, resource), action in product(SITUATIONS.values(), Action):
        subject = _subject(SubjectKind.USER, ALL_ROLES, sites)
        unbroken = replace(resource, glass_broken=False)
        allowed = decide(subject, action, unbroken, Purpose.BREAK_GLASS).allowed
        assert not allowed or action is Action.BREAK_GLASS


def test_a_broken_glass_gives_nothing_to_whoever_asks_for_another_purpose() -> None:
    for action, purpose in product(Action, set(Purpose) - {Purpose.BREAK_GLASS}):
        sites, broken = SITUATIONS["glass"]
        subject = _subject(SubjectKind.USER, ALL_ROLES - {Role.AUDITOR}, sites)
        unbroken = replace(broken, glass_broken=False)
        assert decide(subject, action, broken, purpose) == decide(
            subject, action, unbroken, purpose
        )


def test_what_is_bound_to_a_person_or_a_purpose_stays_so_in_an_emergency() -> None:
    sites, broken = SITUATIONS["glass"]
    for_treatment = replace(
        _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), sites), purpose=Purpose.TREATMENT
    )
    asked = (Action.VIEW_CLINICAL, broken, Purpose.BREAK_GLASS)
    assert decide(for_treatment, *asked).rule == "other-purpose"
    somebody = PatientIdentifier("1", AssigningAuthority("SIJING", "1.2.3"))
    bound = replace(for_treatment, purpose=None, bound_patient=somebody)
    assert decide(bound, *asked).rule == "other-person"
    theirs = replace(broken, identifiers=frozenset({somebody}))
    assert decide(bound, Action.VIEW_CLINICAL, theirs, Purpose.BREAK_GLASS).allowed


def test_the_anonymous_subject_may_nothing() -> None:
    for (_, resource), action, purpose in product(SITUATIONS.values(), Action, Purpose):
        assert not decide(ANONYMOUS, action, resource, purpose).allowed


def _link(bound_study_uid: str) -> Subject:
    return Subject(
        SubjectKind.LINK, "link-1", "link", ALL_ROLES, None, bound_study_uid=bound_study_uid
    )


def test_a_link_shows_the_public_version_of_its_study_to_the_patient_and_nothing_else() -> None:
    resource = Resource("study", STUDY, HERE, A)
    allowed = {
        (action, purpose)
        for action, purpose in product(Action, Purpose)
        if decide(_link(STUDY), action, resource, purpose).allowed
    }
    assert allowed == {(Action.VIEW_PUBLIC, Purpose.PATIENT)}


@pytest.mark.parametrize(
    ("bound", "resource"),
    [
        (STUDY, Resource("study", "1.2.3.4", HERE, A)),
        (STUDY, Resource("study", "", HERE, A)),
        (STUDY, Resource("patient", STUDY, HERE)),
        (STUDY, Resource("document", STUDY, HERE)),
        ("", Resource("study", "", HERE, A)),
        ("", Resource("study", STUDY, HERE, A)),
    ],
)
def test_a_link_opens_no_other_study_and_nothing_that_is_not_a_study(
    bound: str, resource: Resource
) -> None:
    assert not decide(_link(bound), Action.VIEW_PUBLIC, resource, Purpose.PATIENT).allowed


def test_a_person_known_at_the_readers_site_is_open_with_studies_made_elsewhere() -> None:
    reader = _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), HERE)
    made_elsewhere = Resource("study", STUDY, BOTH, B)
    assert decide(reader, Action.VIEW_CLINICAL, made_elsewhere, Purpose.TREATMENT).allowed


def test_a_technician_sees_no_study_made_elsewhere_even_of_a_person_known_here() -> None:
    technician = _subject(SubjectKind.USER, frozenset({Role.TECHNICIAN}), HERE)
    made_elsewhere = Resource("study", STUDY, BOTH, B)
    refused = decide(technician, Action.VIEW_CLINICAL, made_elsewhere, Purpose.TREATMENT)
    assert (refused.allowed, refused.rule) == (False, "out-of-reach")


def test_the_manager_of_one_site_does_not_see_the_operations_of_two() -> None:
    manager = _subject(SubjectKind.USER, frozenset({Role.MANAGER}), HERE)
    both = Resource("operations", site_ids=BOTH)
    assert not decide(manager, Action.VIEW_OPERATIONS, both, Purpose.OPERATIONS).allowed


def test_a_site_whose_queries_reach_the_region_still_stores_for_itself_alone() -> None:
    site = Subject(SubjectKind.SITE, A, "泗泾", sites=None)
    elsewhere = Resource("study", STUDY, frozenset({B}), B)
    assert decide(site, Action.QUERY, elsewhere, Purpose.TREATMENT).allowed
    assert not decide(site, Action.STORE, elsewhere, Purpose.TREATMENT).allowed


def test_a_resource_without_an_origin_is_nobodys_own() -> None:
    technician = _subject(SubjectKind.USER, frozenset({Role.TECHNICIAN}), frozenset({A, ""}))
    assert not decide(
        technician, Action.STORE, Resource("study", STUDY, HERE), Purpose.TREATMENT
    ).allowed
    nameless = Subject(SubjectKind.SITE, "", "", sites=HERE)
    assert not decide(nameless, Action.STORE, Resource("study", STUDY), Purpose.TREATMENT).allowed


def test_a_refusal_says_for_the_record_whether_the_right_or_its_reach_was_missing() -> None:
    reader = _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), HERE)
    foreign = SITUATIONS["foreign"][1]
    assert decide(reader, Action.VIEW_RECORD, foreign, Purpose.TREATMENT).rule == "out-of-reach"
    assert decide(reader, Action.VIEW_AUDIT, foreign, Purpose.AUDIT).rule == "no-right"


def test_the_expectation_names_every_role_and_only_words_that_exist() -> None:
    rows = list(chain(EXPECTED_OF_ROLES, EXPECTED_OF_KINDS))
    assert {row[0] for row in EXPECTED_OF_ROLES} == {role.value for role in Role}
    assert {row[1] for row in rows} <= {purpose.value for purpose in Purpose}
    assert {row[2] for row in rows} <= {action.value for action in Action}


EVERYBODY = [
    *[_subject(SubjectKind.USER, frozenset({role}), HERE) for role in Role],
    *[_subject(SubjectKind.MACHINE, frozenset({role}), None) for role in Role],
    _subject(SubjectKind.SITE, frozenset(), HERE),
    _subject(SubjectKind.SITE, frozenset(), None),
    _link(STUDY),
]
THE_STUDY = SITUATIONS["own"][1]


def _ruled(subject: Subject, refusals: Refusals, action: Action, purpose: Purpose) -> str:
    decision = decide(subject, action, replace(THE_STUDY, refusals=refusals), purpose)
    return "" if decision.allowed else decision.rule


@pytest.mark.parametrize("subject", EVERYBODY, ids=lambda s: f"{s.kind} {sorted(s.roles)[:1]}")
def test_who_refuses_everyone_is_shown_to_nobody_whatever_their_rights(subject: Subject) -> None:
    stopped = 0
    for action, purpose in product(Action, Purpose):
        before = decide(subject, action, THE_STUDY, purpose)
        ruled = _ruled(subject, Refusals(everyone=True), action, purpose)
        if action in BEYOND_CONSENT or not before.allowed or purpose is Purpose.BREAK_GLASS:
            assert ruled == ("" if before.allowed else before.rule)
        else:
            assert ruled == "consent-refused"
            stopped += 1
    treats = {
        Role.RADIOLOGIST,
        Role.CLINICIAN,
        Role.TECHNICIAN,
        Role.REGISTRAR,
        Role.DATA_STEWARD,
    } & subject.roles
    assert (stopped > 0) is bool(treats or subject.kind in {SubjectKind.SITE, SubjectKind.LINK})


def test_what_a_refusal_does_not_stop_is_exactly_this() -> None:
    assert set(BEYOND_CONSENT) == {
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


def test_a_refusal_has_no_word_in_breaking_the_glass() -> None:
    doctor = _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), HERE)
    broken = SITUATIONS["glass"][1]
    for refusals in (Refusals(everyone=True), Refusals(site_ids=frozenset({A, B}))):
        refused = replace(broken, refusals=refusals)
        assert decide(doctor, Action.VIEW_RECORD, refused, Purpose.BREAK_GLASS).allowed
        closed = replace(refused, glass_broken=False)
        assert not decide(doctor, Action.VIEW_RECORD, closed, Purpose.BREAK_GLASS).allowed
        assert not decide(doctor, Action.SHARE, refused, Purpose.BREAK_GLASS).allowed


def test_who_refuses_sharing_is_opened_by_no_link_and_treated_as_before() -> None:
    refused = Refusals(sharing=True)
    doctor = _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), HERE)
    assert _ruled(_link(STUDY), refused, Action.VIEW_PUBLIC, Purpose.PATIENT) == "consent-refused"
    assert _ruled(doctor, refused, Action.SHARE, Purpose.TREATMENT) == "consent-refused"
    assert not _ruled(doctor, refused, Action.VIEW_RECORD, Purpose.TREATMENT)


@pytest.mark.parametrize(
    ("sites", "stopped"), [(HERE, True), (BOTH, False), (None, False)], ids=["one", "two", "region"]
)
def test_who_refuses_a_site_is_shown_to_its_readers_only_for_another_site(
    sites: frozenset[str] | None, *, stopped: bool
) -> None:
    doctor = _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), sites)
    known_at_both = replace(SITUATIONS["known"][1], refusals=Refusals(site_ids=HERE))
    decision = decide(doctor, Action.VIEW_RECORD, known_at_both, Purpose.TREATMENT)
    assert decision.allowed is not stopped


@pytest.mark.parametrize("sites", [HERE, None], ids=["own studies", "region"])
def test_who_refuses_a_site_is_not_found_by_its_modalities_which_may_still_store(
    sites: frozenset[str] | None,
) -> None:
    site, refused = _subject(SubjectKind.SITE, frozenset(), sites), Refusals(site_ids=HERE)
    assert _ruled(site, refused, Action.QUERY, Purpose.TREATMENT) == "consent-refused"
    assert not _ruled(site, refused, Action.STORE, Purpose.TREATMENT)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_credential_that_holds_for_one_purpose_holds_for_no_other(purpose: Purpose) -> None:
    doctor = _subject(SubjectKind.USER, frozenset({Role.CLINICIAN}), None)
    bound = replace(doctor, purpose=purpose)
    here = SITUATIONS["known"][1]
    for asked in Purpose:
        as_before = decide(doctor, Action.VIEW_RECORD, here, asked)
        now = decide(bound, Action.VIEW_RECORD, here, asked)
        assert now.allowed is (as_before.allowed and asked is purpose)
        assert asked is purpose or now.rule == "other-purpose"
