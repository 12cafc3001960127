import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from access_control.errors import AccountExistsError, InvalidAccountError
from access_control.model import Role, Subject, SubjectKind
from access_control.tokens import MachineTokens
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from tests.support.clock import FixedClock


@pytest.fixture
def tokens(database: Database, clock: FixedClock) -> MachineTokens:
    return MachineTokens(database, clock)


@pytest.fixture
def token(tokens: MachineTokens, clock: FixedClock) -> str:
    return tokens.create(
        "workstation 3", {Role.RADIOLOGIST}, {"sijing"}, clock.now() + timedelta(days=30)
    )


def test_a_token_is_a_machine_with_roles_and_sites(tokens: MachineTokens, token: str) -> None:
    (kept,) = tokens.all()
    assert tokens.subject(token) == Subject(
        SubjectKind.MACHINE,
        kept.token_id,
        "workstation 3",
        frozenset({Role.RADIOLOGIST}),
        frozenset({"sijing"}),
    )


def test_a_token_without_sites_has_the_region(tokens: MachineTokens, clock: FixedClock) -> None:
    token = tokens.create("pacs", {Role.RADIOLOGIST}, None, clock.now() + timedelta(days=1))
    subject = tokens.subject(token)
    assert subject is not None
    assert subject.sites is None


def test_a_token_can_be_recognised_where_it_was_left(token: str) -> None:
    assert re.fullmatch(r"eirhub_[A-Za-z0-9_-]{43}", token)


@pytest.mark.parametrize("guess", ["", "eirhub_", "eirhub_guess", "eirhub_\ud800", "x" * 100_000])
def test_what_is_no_token_is_nobody(tokens: MachineTokens, token: str, guess: str) -> None:
    assert tokens.subject(guess) is None
    assert tokens.subject(token.removeprefix("eirhub_")) is None
    assert tokens.subject(token + "x") is None


def test_a_token_ends_when_it_expires(tokens: MachineTokens, token: str, clock: FixedClock) -> None:
    clock.advance(days=30, seconds=-1)
    assert tokens.subject(token)
    clock.advance(seconds=1)
    assert tokens.subject(token) is None


def test_a_token_ends_at_once_when_revoked_and_stays_listed(
    tokens: MachineTokens, token: str, clock: FixedClock
) -> None:
    (kept,) = tokens.all()
    tokens.revoke(kept.token_id)
    revoked_at = clock.now()
    clock.advance(hours=1)
    tokens.revoke(kept.token_id)
    assert tokens.subject(token) is None
    assert tokens.all()[0].revoked_at == revoked_at


def test_revoking_an_unknown_token_says_so(tokens: MachineTokens) -> None:
    for unknown in ("", "no such id", "\ud800"):
        with pytest.raises(NotFoundError):
            tokens.revoke(unknown)


def test_last_use_is_remembered_to_the_minute(
    tokens: MachineTokens, token: str, clock: FixedClock
) -> None:
    assert tokens.all()[0].last_used_at is None
    first = clock.now()
    tokens.subject(token)
    clock.advance(seconds=59)
    tokens.subject(token)
    assert tokens.all()[0].last_used_at == first
    clock.advance(seconds=1)
    tokens.subject(token)
    assert tokens.all()[0].last_used_at == clock.now()


def test_the_database_holds_no_token(database: Database, tokens: MachineTokens, token: str) -> None:
    tokens.subject(token)
    with database.read() as session:
        stored = repr([tuple(row) for row in session.execute(text("SELECT * FROM machine_token"))])
    assert "workstation 3" in stored  # the control: the row is there
    assert token not in stored
    assert token.removeprefix("eirhub_") not in stored


@pytest.mark.parametrize(
    "changes",
    [
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x" * 129},
        {"roles": ()},
        {"roles": {"root"}},
        {"sites": ()},
        {"roles": {Role.AUDITOR}},
        {"days": 0},
        {"days": -1},
    ],
    ids=str,
)
def test_a_token_that_makes_no_sense_is_refused(
    tokens: MachineTokens, clock: FixedClock, changes: dict[str, Any]
) -> None:
    given: dict[str, Any] = {
        "name": "pacs",
        "roles": {Role.RADIOLOGIST},
        "sites": {"sijing"},
        "days": 1,
        **changes,
    }
    expires = clock.now() + timedelta(days=given.pop("days"))
    with pytest.raises(InvalidAccountError):
        tokens.create(**given, expires=expires)
    assert tokens.all() == ()


def test_two_tokens_do_not_share_a_name(
    tokens: MachineTokens, token: str, clock: FixedClock
) -> None:
    with pytest.raises(AccountExistsError):
        tokens.create("workstation 3", {Role.RADIOLOGIST}, None, clock.now() + timedelta(days=1))
