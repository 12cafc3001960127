"""Consents over the real patient index: they hold at once, for good, through merge and unmerge."""

from datetime import date
from itertools import count

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DatabaseError

from access_control.consent import (
    EVERYONE,
    SHARING,
    ConsentEntry,
    ConsentKind,
    Consents,
    site_scope,
)
from access_control.errors import InvalidConsentError
from access_control.model import NO_REFUSALS, Refusals
from access_control.tables_consent import APPEND_ONLY
from hub_kernel.append_only import append_only_statements
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_kernel.settings import IdentitySettings
from patient_index.model import Decided
from patient_index.same_person import SamePerson
from patient_index.service import PatientIndex
from tests.support.clock import FixedClock

REGISTRAR = Decided("registrar", "card shown")
GRANT, REFUSE = ConsentKind.GRANT, ConsentKind.REFUSE
REFUSED = Refusals(everyone=True)
_numbers = count(1)


class Desk:
    """A patient index with its consents, as a registrar works with them."""

    def __init__(self, database: Database, clock: FixedClock) -> None:
        self.patients = PatientIndex(database, clock, IdentitySettings())
        self.consents = Consents(database, clock, SamePerson(database))

    def arrives(self, issuer: str = "SIJING") -> PatientIdentifier:
        """Let a site send somebody new; return the identifier."""
        authority = AssigningAuthority(issuer, f"1.2.156.1.{len(issuer)}")
        identifier = PatientIdentifier(f"N{next(_numbers)}", authority)
        name = PersonName("Wang^XiaoDong", "王^小东")
        self.patients.observe(
            ObservedPatient(identifier=identifier, name=name, birth_date=date(1970, 4, 27), sex="M")
        )
        return identifier

    def person(self, identifier: PatientIdentifier) -> str:
        found = self.patients.resolve(identifier)
        assert found is not None
        return found

    def says(
        self, identifier: PatientIdentifier, kind: ConsentKind, scope: str = EVERYONE
    ) -> ConsentEntry:
        return self.consents.record(
            self.person(identifier), kind, scope, by="registrar", reason="said so at the desk"
        )

    def refusals(self, identifier: PatientIdentifier) -> Refusals:
        one = self.consents.refusals_of(self.person(identifier))
        # Both ways of asking must always agree.
        assert self.consents.refusals_among([identifier]).get(identifier, NO_REFUSALS) == one
        return one


@pytest.fixture
def desk(database: Database, clock: FixedClock) -> Desk:
    return Desk(database, clock)


def test_nobody_has_refused_anything_before_they_say_so(desk: Desk) -> None:
    somebody = desk.arrives()
    assert desk.refusals(somebody) == NO_REFUSALS
    assert not NO_REFUSALS
    assert desk.consents.current(desk.person(somebody)) == ()


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (EVERYONE, Refusals(everyone=True)),
        (SHARING, Refusals(sharing=True)),
        (site_scope("jiuting"), Refusals(site_ids=frozenset({"jiuting"}))),
    ],
)
def test_a_refusal_holds_until_it_is_taken_back_for_the_same_scope(
    desk: Desk, scope: str, expected: Refusals
) -> None:
    somebody = desk.arrives()
    desk.says(somebody, REFUSE, scope)
    assert desk.refusals(somebody) == expected
    for other in {EVERYONE, SHARING, site_scope("jiuting"), site_scope("central")} - {scope}:
        desk.says(somebody, GRANT, other)
    assert desk.refusals(somebody) == expected
    desk.says(somebody, GRANT, scope)
    assert desk.refusals(somebody) == NO_REFUSALS


def test_several_refusals_add_up(desk: Desk) -> None:
    somebody = desk.arrives()
    for scope in (SHARING, site_scope("a"), site_scope("b")):
        desk.says(somebody, REFUSE, scope)
    assert desk.refusals(somebody) == Refusals(sharing=True, site_ids=frozenset({"a", "b"}))


def test_a_refusal_is_the_persons_own(desk: Desk) -> None:
    somebody, namesake = desk.arrives(), desk.arrives()
    desk.says(somebody, REFUSE)
    assert desk.refusals(namesake) == NO_REFUSALS
    assert set(desk.consents.refusals_among([somebody, namesake])) == {somebody}


def test_a_refusal_covers_what_another_site_knows_of_the_person_later(desk: Desk) -> None:
    somebody = desk.arrives()
    desk.says(somebody, REFUSE)
    elsewhere = desk.arrives("JIUTING")
    desk.patients.link(elsewhere, desk.person(somebody), REGISTRAR)
    assert desk.refusals(elsewhere) == REFUSED


def test_a_merge_takes_the_refusal_along_whichever_side_survives(desk: Desk) -> None:
    refusing, agreeing = desk.arrives(), desk.arrives("JIUTING")
    desk.says(refusing, REFUSE)
    desk.says(agreeing, GRANT)
    desk.patients.link(refusing, desk.person(agreeing), REGISTRAR)
    assert desk.refusals(agreeing) == REFUSED
    holding = desk.consents.current(desk.person(agreeing))
    assert [(entry.scope, entry.kind) for entry in holding] == [(EVERYONE, REFUSE)]
    desk.says(agreeing, GRANT)
    assert desk.refusals(refusing) == NO_REFUSALS


def test_after_an_unmerge_each_has_what_was_said_of_them(desk: Desk) -> None:
    somebody, mistaken = desk.arrives(), desk.arrives("JIUTING")
    desk.says(somebody, REFUSE)
    desk.patients.link(mistaken, desk.person(somebody), REGISTRAR)
    desk.patients.unlink(mistaken, REGISTRAR)
    assert desk.refusals(somebody) == REFUSED
    assert desk.refusals(mistaken) == NO_REFUSALS


def test_what_was_refused_while_merged_stays_refused_for_both_until_either_says_otherwise(
    desk: Desk,
) -> None:
    somebody, mistaken = desk.arrives(), desk.arrives("JIUTING")
    desk.patients.link(mistaken, desk.person(somebody), REGISTRAR)
    desk.says(somebody, REFUSE)
    desk.patients.unlink(mistaken, REGISTRAR)
    assert (desk.refusals(somebody), desk.refusals(mistaken)) == (REFUSED, REFUSED)
    desk.says(mistaken, GRANT)
    assert (desk.refusals(somebody), desk.refusals(mistaken)) == (REFUSED, NO_REFUSALS)


def test_an_identifier_nobody_has_observed_is_covered_by_nothing(desk: Desk) -> None:
    desk.says(desk.arrives(), REFUSE)
    stranger = PatientIdentifier("N-unknown", AssigningAuthority("SIJING", "1.2.156.1.6"))
    assert desk.consents.refusals([stranger]) == NO_REFUSALS
    assert desk.consents.refusals_among([stranger]) == {}


def test_the_history_keeps_every_statement_with_who_when_and_why(
    desk: Desk, clock: FixedClock
) -> None:
    somebody = desk.arrives()
    first = desk.says(somebody, REFUSE)
    clock.advance(seconds=60)
    second = desk.says(somebody, GRANT)
    history = desk.consents.history(desk.person(somebody))
    assert history == (second, first)
    assert history[0].recorded_at > history[1].recorded_at
    assert {entry.by for entry in history} == {"registrar"}


@pytest.mark.parametrize("scope", ["", "nobody", "site:", "site:a b", "site:" + "x" * 65, "all "])
def test_a_scope_that_nothing_would_honour_is_refused(desk: Desk, scope: str) -> None:
    with pytest.raises(InvalidConsentError):
        desk.says(desk.arrives(), REFUSE, scope)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 401, "asked\0", "asked \ud800"])
def test_a_statement_needs_a_reason(desk: Desk, reason: str) -> None:
    person = desk.person(desk.arrives())
    with pytest.raises(InvalidConsentError):
        desk.consents.record(person, REFUSE, EVERYONE, by="registrar", reason=reason)


def test_nothing_can_be_said_for_somebody_nobody_knows(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        desk.consents.record("PNOBODY", REFUSE, EVERYONE, by="registrar", reason="said so")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent_entry SET kind = 'grant'",
        "DELETE FROM consent_entry",
        "DELETE FROM consent_identifier",
        "UPDATE consent_identifier SET value = 'x'",
    ],
)
def test_the_database_itself_refuses_to_forget_a_statement(
    desk: Desk, database: Database, statement: str
) -> None:
    somebody = desk.arrives()
    desk.says(somebody, REFUSE)
    with pytest.raises(DatabaseError, match="append-only"), database.unit_of_work() as work:
        work.session.execute(text(statement))
    assert desk.refusals(somebody) == REFUSED


def test_postgresql_refuses_the_same_and_other_databases_have_no_statements() -> None:
    statements = list(append_only_statements(APPEND_ONLY, "postgresql"))
    assert sum("CREATE TRIGGER" in one for one in statements) == 4
    assert append_only_statements(APPEND_ONLY, "another") == ()


def test_a_list_costs_three_queries_however_long_and_one_while_nobody_refuses(
    desk: Desk, database: Database
) -> None:
    everybody = [desk.arrives() for _ in range(30)]
    asked: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        asked.append(sql)

    def queries() -> int:
        asked.clear()
        desk.consents.refusals_among(everybody)
        return len([sql for sql in asked if sql.startswith("SELECT")])

    assert queries() == 1
    desk.says(everybody[7], REFUSE)
    assert queries() == 3
    assert set(desk.consents.refusals_among(everybody)) == {everybody[7]}
