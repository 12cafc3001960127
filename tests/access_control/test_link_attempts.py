"""Whoever guesses at a link gains nothing: one refusal for all reasons, and attempts that count."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from access_control.credentials import HashingCost, SecretHasher
from access_control.errors import LinkRefusedError
from access_control.shared_links import NewLink, SharedLinks, ShareRequest
from hub_kernel.database import Database
from tests.access_control.linking import KEY, PHONE, STUDY, WRONG, fail
from tests.support.clock import FixedClock
from tests.support.statements import asked_here


def _guessed(_links: SharedLinks, link: NewLink, _clock: FixedClock) -> tuple[str, str]:
    return "A" * 43, link.passcode


def _mistyped(_links: SharedLinks, link: NewLink, _clock: FixedClock) -> tuple[str, str]:
    return link.token, WRONG


def _expired(_links: SharedLinks, link: NewLink, clock: FixedClock) -> tuple[str, str]:
    clock.advance(days=7)
    return link.token, link.passcode


def _revoked(links: SharedLinks, link: NewLink, _clock: FixedClock) -> tuple[str, str]:
    links.revoke(link.link_id)
    return link.token, link.passcode


def _locked(links: SharedLinks, link: NewLink, _clock: FixedClock) -> tuple[str, str]:
    fail(links, link.token, 10)
    return link.token, link.passcode


def _used_up(links: SharedLinks, link: NewLink, _clock: FixedClock) -> tuple[str, str]:
    for _ in range(3):
        links.open(link.token, link.passcode, PHONE)
    return link.token, link.passcode


REASONS = [_guessed, _mistyped, _expired, _revoked, _locked, _used_up]

Reason = Callable[[SharedLinks, NewLink, FixedClock], tuple[str, str]]


class CountingHasher(SecretHasher):
    """Counts comparisons."""

    compared = 0

    def matches(self, stored: str | None, secret: str) -> bool:
        self.compared += 1
        return super().matches(stored, secret)


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.__name__)
def test_every_refusal_is_the_same_error_after_the_same_work(
    database: Database, clock: FixedClock, request_: ShareRequest, reason: Reason
) -> None:
    hasher = CountingHasher(HashingCost(1, 8))
    links = SharedLinks(database, clock, KEY, hasher=hasher)
    link = links.create(replace(request_, max_views=3))
    fail(links, "B" * 43, 1)
    # What a token that was never given out costs is the measure.
    clock.advance(seconds=1)
    with asked_here(database.engine) as guessed:
        fail(links, "C" * 43, 1)
    token, passcode = reason(links, link, clock)
    clock.advance(seconds=1)
    hasher.compared = 0
    with asked_here(database.engine) as work, pytest.raises(LinkRefusedError) as refusal:
        links.open(token, passcode, PHONE)
    assert (type(refusal.value), str(refusal.value)) == (LinkRefusedError, str(LinkRefusedError()))
    assert refusal.value.__cause__ is None
    assert hasher.compared == 1
    assert work == guessed
    assert [step.split()[0] for step in work] == ["SELECT", "SELECT", "UPDATE", "COMMIT"]


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.__name__)
def test_a_refusal_is_no_visit(
    links: SharedLinks, request_: ShareRequest, clock: FixedClock, reason: Reason
) -> None:
    link = links.create(replace(request_, max_views=3))
    token, passcode = reason(links, link, clock)
    before = links.visits(link.link_id)
    fail(links, token, 1, passcode)
    assert links.visits(link.link_id) == before


def test_attempts_are_counted_per_link_whatever_address_they_come_from(
    links: SharedLinks, link: NewLink
) -> None:
    for number in range(10):
        with pytest.raises(LinkRefusedError):
            links.open(link.token, WRONG, f"198.51.100.{number}")
    with pytest.raises(LinkRefusedError):
        links.open(link.token, link.passcode, "192.0.2.1")
    assert links.links_of(STUDY)[0].locked


def test_the_right_passcode_on_the_last_attempt_still_opens(
    links: SharedLinks, link: NewLink
) -> None:
    fail(links, link.token, 9)
    assert links.open(link.token, link.passcode, PHONE)
    assert not links.links_of(STUDY)[0].locked


def test_a_success_forgives_earlier_mistakes(links: SharedLinks, link: NewLink) -> None:
    for _ in range(3):
        fail(links, link.token, 9)
        assert links.open(link.token, link.passcode, PHONE)


def test_wrong_passcodes_between_honest_openings_lock_a_link_in_the_end(
    links: SharedLinks, link: NewLink
) -> None:
    for _ in range(5):
        fail(links, link.token, 6)
        if not links.links_of(STUDY)[0].locked:
            assert links.open(link.token, link.passcode, PHONE)
    assert links.links_of(STUDY)[0].locked
    fail(links, link.token, 1, link.passcode)


def test_a_refusal_knows_what_a_living_link_still_takes(
    links: SharedLinks, link: NewLink, request_: ShareRequest
) -> None:
    for left in range(9, -1, -1):
        with pytest.raises(LinkRefusedError) as refused:
            links.open(link.token, WRONG, PHONE)
        assert refused.value.remaining == left
    for token, passcode in ((link.token, link.passcode), ("g" * 43, WRONG)):
        with pytest.raises(LinkRefusedError) as refused:
            links.open(token, passcode, PHONE)
        assert refused.value.remaining is None
    other = links.create(request_)
    for _ in range(4):
        fail(links, other.token, 7)
        links.open(other.token, other.passcode, PHONE)
    with pytest.raises(LinkRefusedError) as refused:
        links.open(other.token, WRONG, PHONE)
    assert refused.value.remaining == 1, "29 of 30 in all, whatever the row"


def test_a_locked_link_stays_locked(links: SharedLinks, link: NewLink, clock: FixedClock) -> None:
    fail(links, link.token, 10)
    clock.advance(days=6)
    fail(links, link.token, 1, link.passcode)


def test_guessing_one_link_locks_no_other(
    links: SharedLinks, link: NewLink, request_: ShareRequest
) -> None:
    other = links.create(request_)
    fail(links, link.token, 11)
    fail(links, "C" * 43, 11)
    assert links.open(other.token, other.passcode, PHONE)


def test_the_passcode_of_one_link_does_not_open_another(
    links: SharedLinks, request_: ShareRequest
) -> None:
    one = links.create(replace(request_, passcode="482913"))
    other = links.create(replace(request_, passcode="771920"))
    fail(links, one.token, 1, other.passcode)


def test_of_many_parallel_guesses_only_so_many_are_judged(
    database: Database, clock: FixedClock, request_: ShareRequest
) -> None:
    class Judging(SecretHasher):
        """Counts comparisons with a passcode that is stored."""

        judged: list[str]

        def matches(self, stored: str | None, secret: str) -> bool:
            if stored is not None:
                self.judged.append(stored)
            return super().matches(stored, secret)

    hasher = Judging(HashingCost(1, 8))
    hasher.judged = []
    links = SharedLinks(database, clock, KEY, hasher=hasher)
    link = links.create(request_)

    def guess(number: int) -> None:
        with pytest.raises(LinkRefusedError):
            links.open(link.token, f"00000{number % 10}x", PHONE)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(guess, range(60)))
    assert len(hasher.judged) == 10
    assert links.links_of(STUDY)[0].locked
