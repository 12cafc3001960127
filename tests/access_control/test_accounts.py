import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from access_control.accounts import Accounts, LockoutPolicy
from access_control.credentials import HashingCost, SecretHasher
from access_control.errors import (
    AccountExistsError,
    AccountLockedError,
    BadCredentialsError,
    InvalidAccountError,
)
from access_control.model import Role, Subject, SubjectKind
from access_control.sessions import Sessions
from access_control.tables import SignInFailureRow, UserAccountRow
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from tests.support.clock import FixedClock

CLINICIAN = frozenset({Role.CLINICIAN})
SITES = frozenset({"sijing"})
PASSWORD = "correct horse battery"
HERE = "127.0.0.1"


@pytest.fixture
def accounts(database: Database, clock: FixedClock, hasher: SecretHasher) -> Accounts:
    return Accounts(database, clock, hasher=hasher)


@pytest.fixture
def li(accounts: Accounts) -> str:
    accounts.add_user("li", PASSWORD, CLINICIAN, SITES, "李医生")
    return "li"


def _fail(accounts: Accounts, username: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BadCredentialsError):
            accounts.authenticate(username, "wrong", HERE)


def _dump(database: Database) -> str:
    with database.read() as session:
        return repr(
            [
                tuple(row)
                for table in (UserAccountRow.__table__, SignInFailureRow.__table__)
                for row in session.execute(select(table))
            ]
        )


def test_the_right_password_proves_the_user_with_roles_sites_and_name(
    accounts: Accounts, li: str
) -> None:
    (account,) = accounts.all()
    assert accounts.authenticate(li, PASSWORD, HERE) == Subject(
        SubjectKind.USER, account.user_id, "李医生", CLINICIAN, SITES, language="zh"
    )


def test_no_sites_at_all_means_the_whole_region(accounts: Accounts) -> None:
    accounts.add_user("wang", PASSWORD, {Role.RADIOLOGIST, Role.MANAGER}, None, "王医生")
    subject = accounts.authenticate("wang", PASSWORD, HERE)
    assert subject.sites is None
    assert subject.roles == {Role.RADIOLOGIST, Role.MANAGER}


@pytest.mark.parametrize("typed", ["Li", " LI ", "ｌｉ", "lI\t"])
def test_case_width_and_padding_of_a_name_do_not_matter(
    accounts: Accounts, li: str, typed: str
) -> None:
    assert accounts.authenticate(typed, PASSWORD, HERE).display == "李医生"
    with pytest.raises(AccountExistsError):
        accounts.add_user(typed, PASSWORD, CLINICIAN, SITES, "another")


def test_a_generated_password_works_and_is_shown_only_on_purpose(accounts: Accounts) -> None:
    added = accounts.add_user("zhao", None, CLINICIAN, SITES, "赵医生")
    assert accounts.authenticate("zhao", added.password, HERE).subject_id == added.user_id
    assert added.password not in repr(added)


@pytest.mark.parametrize(
    "password", ["wrong", "", PASSWORD.upper(), PASSWORD + " ", "x" * 100_000, "\x00", "\ud800"]
)
def test_a_wrong_password_is_refused(accounts: Accounts, li: str, password: str) -> None:
    with pytest.raises(BadCredentialsError):
        accounts.authenticate(li, password, HERE)


@pytest.mark.parametrize("username", ["", "nobody", "li'--", "\x00", "\ud800", "李" * 10_000])
def test_an_unknown_user_is_refused_with_the_same_words(
    accounts: Accounts, li: str, username: str
) -> None:
    with pytest.raises(BadCredentialsError) as unknown:
        accounts.authenticate(username, PASSWORD, HERE)
    with pytest.raises(BadCredentialsError) as wrong:
        accounts.authenticate(li, "wrong", HERE)
    assert str(unknown.value) == str(wrong.value)


def test_the_password_is_compared_whether_or_not_the_user_exists(
    database: Database, clock: FixedClock
) -> None:
    class Counting(SecretHasher):
        compared = 0

        def matches(self, stored: str | None, secret: str) -> bool:
            self.compared += 1
            return super().matches(stored, secret)

    hasher = Counting(HashingCost(1, 8))
    accounts = Accounts(database, clock, hasher=hasher)
    accounts.add_user("li", PASSWORD, CLINICIAN, SITES, "李医生")
    for times, username in enumerate(("li", "nobody"), start=1):
        _fail(accounts, username, 1)
        assert hasher.compared == times


@pytest.mark.parametrize("username", ["li", "nobody"])
def test_a_name_is_locked_after_repeated_failures_whether_or_not_it_exists(
    accounts: Accounts, li: str, clock: FixedClock, username: str
) -> None:
    _fail(accounts, username, 5)
    with pytest.raises(AccountLockedError) as locked:
        accounts.authenticate(username, PASSWORD, HERE)
    assert locked.value.until == clock.now() + timedelta(minutes=15)


def test_the_right_password_on_the_last_attempt_still_opens(accounts: Accounts, li: str) -> None:
    _fail(accounts, li, 4)
    assert accounts.authenticate(li, PASSWORD, HERE)


def test_success_forgets_earlier_failures(accounts: Accounts, li: str) -> None:
    for _ in range(3):
        _fail(accounts, li, 4)
        assert accounts.authenticate(li, PASSWORD, HERE)


def test_a_lock_ends_when_it_said_it_would(accounts: Accounts, li: str, clock: FixedClock) -> None:
    _fail(accounts, li, 5)
    clock.advance(minutes=15, seconds=-1)
    with pytest.raises(AccountLockedError):
        accounts.authenticate(li, PASSWORD, HERE)
    clock.advance(seconds=1)
    assert accounts.authenticate(li, PASSWORD, HERE)


def test_after_a_lock_the_count_begins_anew(accounts: Accounts, li: str, clock: FixedClock) -> None:
    _fail(accounts, li, 5)
    clock.advance(minutes=15)
    _fail(accounts, li, 5)
    with pytest.raises(AccountLockedError):
        accounts.authenticate(li, PASSWORD, HERE)


def test_knocking_on_a_locked_name_does_not_prolong_the_lock(
    accounts: Accounts, li: str, clock: FixedClock
) -> None:
    _fail(accounts, li, 5)
    clock.advance(minutes=14)
    with pytest.raises(AccountLockedError):
        accounts.authenticate(li, "wrong", HERE)
    clock.advance(minutes=1)
    assert accounts.authenticate(li, PASSWORD, HERE)


def test_one_name_locked_locks_no_other(accounts: Accounts, li: str) -> None:
    _fail(accounts, "nobody", 5)
    assert accounts.authenticate(li, PASSWORD, HERE)


def test_guessing_in_parallel_gains_no_guess(
    database: Database, clock: FixedClock, hasher: SecretHasher, li: str
) -> None:
    accounts = Accounts(database, clock, lockout=LockoutPolicy(failures=5), hasher=hasher)

    def guess(_number: int) -> type[Exception]:
        try:
            accounts.authenticate(li, "wrong", HERE)
        except (BadCredentialsError, AccountLockedError) as refused:
            return type(refused)
        raise AssertionError("a wrong password opened")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(guess, range(40)))
    assert answers.count(BadCredentialsError) == 5
    assert answers.count(AccountLockedError) == 35


def test_failures_of_names_nobody_has_do_not_pile_up(
    database: Database, accounts: Accounts, clock: FixedClock
) -> None:
    for number in range(20):
        _fail(accounts, f"nobody{number}", 1)
    clock.advance(hours=1)
    _fail(accounts, "somebody", 1)
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM sign_in_failure")) == 1


def test_neither_passwords_nor_mistyped_names_are_stored_or_logged(
    database: Database, accounts: Accounts, li: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    typed_in_the_wrong_box = "my-secret-password"
    _fail(accounts, typed_in_the_wrong_box, 5)
    accounts.authenticate(li, PASSWORD, HERE)
    assert "locked" in caplog.text  # the control: something is logged
    for place in (_dump(database), caplog.text):
        assert PASSWORD not in place
        assert typed_in_the_wrong_box not in place
    assert "$argon2id$" in _dump(database)  # the control: something is stored


def test_a_hostile_address_cannot_forge_a_line_of_the_log(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        with pytest.raises(BadCredentialsError):
            accounts.authenticate("li", "wrong", "1.2.3.4\r\nsign-in granted")
    assert len(caplog.messages) == 1
    assert len(caplog.messages[0].splitlines()) == 1


def test_a_disabled_user_is_refused_like_an_unknown_one_and_can_come_back(
    accounts: Accounts, li: str
) -> None:
    accounts.set_enabled(li, enabled=False)
    with pytest.raises(BadCredentialsError):
        accounts.authenticate(li, PASSWORD, HERE)
    accounts.set_enabled(li, enabled=True)
    assert accounts.authenticate(li, PASSWORD, HERE)


def test_a_new_password_replaces_the_old_one_and_lifts_a_lock(accounts: Accounts, li: str) -> None:
    _fail(accounts, li, 5)
    chosen = accounts.set_password(li, None)
    assert accounts.authenticate(li, chosen, HERE)
    _fail(accounts, li, 1)
    with pytest.raises(BadCredentialsError):
        accounts.authenticate(li, PASSWORD, HERE)


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.set_password("li", "another password"),
        lambda accounts: accounts.set_enabled("li", enabled=False),
    ],
)
def test_a_new_password_or_disabling_ends_every_session(
    database: Database,
    clock: FixedClock,
    accounts: Accounts,
    li: str,
    change: Callable[[Accounts], Any],
) -> None:
    sessions = Sessions(database, clock)
    token = sessions.start(accounts.authenticate(li, PASSWORD, HERE))
    assert sessions.subject(token)
    change(accounts)
    assert sessions.subject(token) is None
    accounts.set_enabled(li, enabled=True)
    assert sessions.subject(token) is None


def test_a_hash_of_an_older_cost_is_renewed_at_sign_in(
    database: Database, clock: FixedClock, accounts: Accounts, li: str
) -> None:
    dearer = Accounts(database, clock, hasher=SecretHasher(HashingCost(2, 16)))
    assert "m=8,t=1" in _dump(database)
    assert dearer.authenticate(li, PASSWORD, HERE)
    assert "m=16,t=2" in _dump(database)
    assert accounts.authenticate(li, PASSWORD, HERE)


def test_the_language_of_a_user_is_remembered(accounts: Accounts, li: str) -> None:
    accounts.set_language(li, "en")
    assert accounts.authenticate(li, PASSWORD, HERE).language == "en"
    with pytest.raises(InvalidAccountError):
        accounts.set_language(li, "../en")


@pytest.mark.parametrize(
    "changes",
    [
        {"username": ""},
        {"username": "two words"},
        {"username": "a" * 65},
        {"username": "a\x00b"},
        {"username": "<b>"},
        {"password": "short"},
        {"password": "x" * 1025},
        {"roles": ()},
        {"roles": {"admin"}},
        {"sites": ()},
        {"sites": "sijing"},
        {"sites": {""}},
        {"roles": {Role.AUDITOR}},
        {"roles": [Role.AUDITOR, Role.CLINICIAN]},
        {"display_name": "a\nb"},
        {"display_name": "x" * 129},
    ],
    ids=str,
)
def test_an_account_that_makes_no_sense_is_refused(
    accounts: Accounts, changes: dict[str, Any]
) -> None:
    given: dict[str, Any] = {
        "username": "li",
        "password": PASSWORD,
        "roles": CLINICIAN,
        "sites": SITES,
        "display_name": "李医生",
    }
    with pytest.raises(InvalidAccountError) as refusal:
        accounts.add_user(**{**given, **changes})
    assert PASSWORD not in str(refusal.value)
    assert accounts.all() == ()


def test_an_auditor_has_the_region(accounts: Accounts) -> None:
    accounts.add_user("shen", PASSWORD, {Role.AUDITOR}, None, "审计")
    assert accounts.authenticate("shen", PASSWORD, HERE).sites is None


def test_administering_an_unknown_user_says_so(accounts: Accounts) -> None:
    with pytest.raises(NotFoundError):
        accounts.set_password("nobody", None)
    with pytest.raises(NotFoundError):
        accounts.set_enabled("nobody", enabled=False)
    with pytest.raises(NotFoundError):
        accounts.set_language("nobody", "en")
