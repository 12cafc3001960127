import re

import pytest
from sqlalchemy import event, text

from access_control.accounts import Accounts
from access_control.credentials import SecretHasher
from access_control.errors import InvalidAccountError
from access_control.model import ANONYMOUS, Role, Subject, SubjectKind
from access_control.sessions import SessionLifetime, Sessions
from hub_kernel.database import Database
from tests.support.clock import FixedClock

LIFETIME = SessionLifetime(idle_s=1800, absolute_s=4 * 3600)


@pytest.fixture
def sessions(database: Database, clock: FixedClock) -> Sessions:
    return Sessions(database, clock, LIFETIME)


@pytest.fixture
def accounts(database: Database, clock: FixedClock, hasher: SecretHasher) -> Accounts:
    return Accounts(database, clock, hasher=hasher)


@pytest.fixture
def li(accounts: Accounts) -> Subject:
    accounts.add_user("li", "a password", {Role.CLINICIAN}, {"sijing"}, "李医生")
    return accounts.authenticate("li", "a password", "127.0.0.1")


def test_a_session_belongs_to_who_started_it(sessions: Sessions, li: Subject) -> None:
    assert sessions.subject(sessions.start(li)) == li


@pytest.mark.parametrize("token", ["", "guess", "x" * 100_000, "' OR 1=1 --", "\ud800", "\x00"])
def test_a_token_of_no_session_belongs_to_nobody(
    sessions: Sessions, li: Subject, token: str
) -> None:
    sessions.start(li)
    assert sessions.subject(token) is None


def test_every_sign_in_gets_a_token_of_its_own(sessions: Sessions, li: Subject) -> None:
    tokens = {sessions.start(li) for _ in range(10)}
    assert len(tokens) == 10
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_signing_in_ends_the_session_the_browser_came_with(sessions: Sessions, li: Subject) -> None:
    planted = sessions.start(li)
    fresh = sessions.start(li, replaces=planted)
    assert sessions.subject(planted) is None
    assert sessions.subject(fresh) == li


def test_a_session_that_ended_is_over_and_others_go_on(sessions: Sessions, li: Subject) -> None:
    ended, other = sessions.start(li), sessions.start(li)
    sessions.end(ended)
    sessions.end("no such session")
    assert sessions.subject(ended) is None
    assert sessions.subject(other) == li


def test_a_session_ends_when_idle(sessions: Sessions, li: Subject, clock: FixedClock) -> None:
    token = sessions.start(li)
    clock.advance(seconds=LIFETIME.idle_s)
    assert sessions.subject(token) is None


def test_a_session_in_use_outlives_the_idle_time_but_not_its_absolute_end(
    sessions: Sessions, li: Subject, clock: FixedClock
) -> None:
    token = sessions.start(li)
    alive = []
    for _ in range(30):
        alive.append(sessions.subject(token) is not None)
        clock.advance(seconds=600)
    assert alive == [True] * 24 + [False] * 6  # four hours of ten minutes each


def test_rights_are_those_of_today_and_a_disabled_user_has_none(
    sessions: Sessions, accounts: Accounts, li: Subject
) -> None:
    token = sessions.start(li)
    accounts.set_language("li", "en")
    current = sessions.subject(token)
    assert current is not None
    assert current.language == "en"
    accounts.set_enabled("li", enabled=False)
    assert sessions.subject(token) is None


@pytest.mark.parametrize(
    "subject",
    [
        ANONYMOUS,
        Subject(SubjectKind.USER, "no such user", "?"),
        Subject(SubjectKind.MACHINE, "token", "?"),
    ],
    ids=lambda subject: subject.kind,
)
def test_only_a_user_of_the_hub_can_have_a_session(sessions: Sessions, subject: Subject) -> None:
    with pytest.raises(InvalidAccountError):
        sessions.start(subject)


def test_a_user_disabled_since_signing_in_gets_no_session(
    sessions: Sessions, accounts: Accounts, li: Subject
) -> None:
    accounts.set_enabled("li", enabled=False)
    with pytest.raises(InvalidAccountError):
        sessions.start(li)


def test_the_database_holds_no_token(sessions: Sessions, database: Database, li: Subject) -> None:
    token = sessions.start(li)
    with database.read() as session:
        stored = repr([tuple(row) for row in session.execute(text("SELECT * FROM user_session"))])
    assert li.subject_id in stored  # the control: the session is there
    assert token not in stored
    assert sessions.csrf(token) not in stored


def test_a_csrf_token_belongs_to_one_session_and_stays(sessions: Sessions, li: Subject) -> None:
    one, other = sessions.start(li), sessions.start(li)
    assert sessions.csrf(one) == sessions.csrf(one)
    assert sessions.csrf(one) != sessions.csrf(other)
    assert one not in sessions.csrf(one)


def test_without_a_session_no_csrf_token_can_be_foreseen(sessions: Sessions) -> None:
    assert sessions.csrf("") != sessions.csrf("")


def test_being_seen_is_written_once_a_minute(
    sessions: Sessions, database: Database, clock: FixedClock, li: Subject
) -> None:
    token = sessions.start(li)
    writes: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def count(_c: object, _cur: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("SELECT"):
            writes.append(statement)

    for _ in range(59):
        clock.advance(seconds=1)
        sessions.subject(token)
    assert not any(statement.startswith("UPDATE") for statement in writes)
    clock.advance(seconds=1)
    sessions.subject(token)
    assert any(statement.startswith("UPDATE user_session") for statement in writes)


def test_purging_deletes_what_is_over_and_nothing_else(
    sessions: Sessions, clock: FixedClock, li: Subject
) -> None:
    sessions.start(li)
    clock.advance(seconds=LIFETIME.idle_s)
    living = sessions.start(li)
    assert sessions.purge() == 1
    assert sessions.purge() == 0
    assert sessions.subject(living) == li
