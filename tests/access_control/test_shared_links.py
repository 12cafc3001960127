import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from access_control.credentials import SecretHasher
from access_control.errors import InvalidLinkError, LinkRefusedError
from access_control.model import Action, Purpose, Resource
from access_control.policy import decide
from access_control.shared_links import LinkPolicy, NewLink, SharedLinks, ShareRequest
from hub_kernel.database import Base, Database
from hub_kernel.errors import InvalidUidError, NotFoundError
from tests.access_control.linking import KEY, PHONE, STUDY, fail
from tests.support.clock import FixedClock


def test_link_and_passcode_together_open_the_study(
    links: SharedLinks, link: NewLink, clock: FixedClock
) -> None:
    grant = links.open(link.token, link.passcode, PHONE)
    assert (grant.study_instance_uid, grant.global_id) == (STUDY, "EIR-0001")
    assert grant.link_id == link.link_id
    assert grant.ends_at == clock.now() + timedelta(minutes=30)


def test_a_passcode_is_made_of_six_digits_and_shown_only_on_purpose(link: NewLink) -> None:
    assert re.fullmatch(r"[0-9]{6}", link.passcode)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", link.token)
    assert link.passcode not in repr(link)
    assert link.token not in repr(link)


def test_a_passcode_of_the_senders_choice_works(links: SharedLinks, request_: ShareRequest) -> None:
    link = links.create(replace(request_, passcode="48291357"))
    assert link.passcode == "48291357"
    assert links.open(link.token, "48291357", PHONE)


@pytest.mark.parametrize("typed", ["482 913", " 482-913 ", "４８２９１３", "482\u3000913"])
def test_a_passcode_is_forgiven_how_it_was_typed(
    links: SharedLinks, request_: ShareRequest, typed: str
) -> None:
    link = links.create(replace(request_, passcode="482913"))
    assert links.open(link.token, typed, PHONE)


@pytest.mark.parametrize("typed", ["", "482914", "48291", "4829133", "\x00", "\ud800", "4" * 10**5])
def test_a_wrong_passcode_does_not_open(
    links: SharedLinks, request_: ShareRequest, typed: str
) -> None:
    link = links.create(replace(request_, passcode="482913"))
    fail(links, link.token, 1, typed)


@pytest.mark.parametrize(
    "changes",
    [
        {"passcode": "48291"},
        {"passcode": "482913570"},
        {"passcode": "abcdef"},
        {"passcode": ""},
        {"passcode": "111111"},
        {"passcode": "123456"},
        {"passcode": "８８８１１２"},
        {"max_views": 0},
        {"max_views": -1},
        {"days": 0},
        {"days": -1},
        {"days": 91},
    ],
    ids=str,
)
def test_a_link_that_makes_no_sense_is_refused(
    links: SharedLinks, request_: ShareRequest, clock: FixedClock, changes: dict[str, Any]
) -> None:
    if "days" in changes:
        changes = {"expires_at": clock.now() + timedelta(days=changes["days"])}
    with pytest.raises(InvalidLinkError):
        links.create(replace(request_, **changes))
    assert links.links_of(STUDY) == ()


def test_a_link_to_no_study_is_refused(links: SharedLinks, request_: ShareRequest) -> None:
    with pytest.raises(InvalidUidError):
        links.create(replace(request_, study_instance_uid="../../etc"))


def test_of_many_who_open_at_once_no_more_than_the_cap_get_in(
    database: Database, clock: FixedClock, hasher: SecretHasher, request_: ShareRequest
) -> None:
    links = SharedLinks(database, clock, KEY, policy=LinkPolicy(failures=1000), hasher=hasher)
    link = links.create(replace(request_, max_views=3))

    def try_to_open(_number: int) -> bool:
        try:
            links.open(link.token, link.passcode, PHONE)
        except LinkRefusedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(try_to_open, range(30)))
    assert opened.count(True) == 3
    assert links.links_of(STUDY)[0].views == 3
    assert len(links.visits(link.link_id)) == 3


def test_a_link_opens_until_its_last_second(
    links: SharedLinks, link: NewLink, clock: FixedClock
) -> None:
    clock.advance(days=7, seconds=-1)
    grant = links.open(link.token, link.passcode, PHONE)
    assert grant.ends_at == clock.now() + timedelta(seconds=1)
    clock.advance(seconds=1)
    assert links.grant(grant.grant_token) is None
    fail(links, link.token, 1, link.passcode)


def test_a_grant_opens_without_the_passcode_and_counts_no_further_view(
    links: SharedLinks, request_: ShareRequest
) -> None:
    link = links.create(replace(request_, max_views=1))
    opened = links.open(link.token, link.passcode, PHONE)
    for _ in range(3):
        assert links.grant(opened.grant_token) == replace(opened, grant_token="")
    assert links.links_of(STUDY)[0].views == 1


def test_a_grant_ends_after_half_an_hour(
    links: SharedLinks, link: NewLink, clock: FixedClock
) -> None:
    opened = links.open(link.token, link.passcode, PHONE)
    clock.advance(minutes=30, seconds=-1)
    assert links.grant(opened.grant_token)
    clock.advance(seconds=1)
    assert links.grant(opened.grant_token) is None


def test_a_grant_dies_with_its_link_at_once(links: SharedLinks, link: NewLink) -> None:
    opened = links.open(link.token, link.passcode, PHONE)
    assert links.grant(opened.grant_token)
    links.revoke(link.link_id)
    assert links.grant(opened.grant_token) is None


@pytest.mark.parametrize("guess", ["", "guess", "\ud800", "x" * 10**5])
def test_a_guessed_grant_opens_nothing(links: SharedLinks, link: NewLink, guess: str) -> None:
    links.open(link.token, link.passcode, PHONE)
    assert links.grant(guess) is None
    assert links.grant(link.token) is None


def test_who_holds_a_link_may_see_the_public_version_of_its_study_alone(
    links: SharedLinks, link: NewLink
) -> None:
    subject = links.open(link.token, link.passcode, PHONE).as_subject()
    assert subject.subject_id == link.link_id

    def may(action: Action, study: str) -> bool:
        return decide(subject, action, Resource("study", study), Purpose.PATIENT).allowed

    assert may(Action.VIEW_PUBLIC, STUDY)
    assert not may(Action.VIEW_PUBLIC, STUDY + ".1")
    assert not may(Action.VIEW_CLINICAL, STUDY)


def test_the_citizen_reads_who_opened_the_images_newest_first(
    links: SharedLinks, link: NewLink, request_: ShareRequest, clock: FixedClock
) -> None:
    second = links.create(request_)
    links.open(link.token, link.passcode, PHONE)
    clock.advance(hours=1)
    links.open(second.token, second.passcode, "192.0.2.9\r\nforged")
    assert [visit.link_id for visit in links.views_of(STUDY)] == [second.link_id, link.link_id]
    (visit,) = links.visits(link.link_id)
    assert (visit.address, visit.opened_at) == (PHONE, clock.now() - timedelta(hours=1))
    assert links.visits(second.link_id)[0].address.isprintable()
    assert links.views_of("1.2.3") == ()


def test_the_sender_reads_what_became_of_each_link(
    links: SharedLinks, link: NewLink, request_: ShareRequest, clock: FixedClock
) -> None:
    clock.advance(hours=1)
    second = links.create(replace(request_, max_views=5))
    links.open(second.token, second.passcode, PHONE)
    links.revoke(link.link_id)
    newest, oldest = links.links_of(STUDY)
    assert (newest.link_id, newest.views, newest.max_views) == (second.link_id, 1, 5)
    assert (newest.revoked_at, newest.locked, newest.created_by) == (None, False, "user-1")
    assert (oldest.link_id, oldest.revoked_at) == (link.link_id, clock.now())


def test_revoking_again_keeps_the_first_time_and_an_unknown_link_is_said(
    links: SharedLinks, link: NewLink, clock: FixedClock
) -> None:
    links.revoke(link.link_id)
    revoked_at = clock.now()
    clock.advance(hours=1)
    links.revoke(link.link_id)
    assert links.links_of(STUDY)[0].revoked_at == revoked_at
    for unknown in ("", "no such link", "\ud800", "x" * 1000):
        with pytest.raises(NotFoundError):
            links.revoke(unknown)
        assert links.visits(unknown) == ()
        assert links.links_of(unknown) == ()


def test_a_signed_in_reader_learns_where_a_living_link_leads(
    links: SharedLinks, link: NewLink
) -> None:
    found = links.behind(link.token)
    assert found
    assert found.study_instance_uid == STUDY
    assert links.behind("guess") is None
    links.revoke(link.link_id)
    assert links.behind(link.token) is None


def test_what_the_database_holds_opens_nothing(
    database: Database, links: SharedLinks, link: NewLink
) -> None:
    grant = links.open(link.token, link.passcode, PHONE)
    with database.read() as session:
        stored = repr(
            [
                tuple(row)
                for table in Base.metadata.sorted_tables
                if table.name.startswith("shared_link")
                for row in session.execute(select(table))
            ]
        )
    assert STUDY in stored  # the control: the link is there
    for secret in (link.token, link.passcode, grant.grant_token):
        assert f"'{secret}'" not in stored
        assert len(secret) < 10 or secret not in stored


def test_passcodes_cannot_be_tried_on_a_stolen_database_without_the_key(
    database: Database, clock: FixedClock, hasher: SecretHasher, link: NewLink
) -> None:
    thief = SharedLinks(database, clock, b"t" * 32, hasher=hasher)
    fail(thief, link.token, 1, link.passcode)


def test_purging_deletes_grants_that_are_over_and_nothing_else(
    links: SharedLinks, link: NewLink, clock: FixedClock
) -> None:
    links.open(link.token, link.passcode, PHONE)
    clock.advance(minutes=30)
    living = links.open(link.token, link.passcode, PHONE)
    assert (links.purge(), links.purge()) == (1, 0)
    assert links.grant(living.grant_token)
    assert len(links.visits(link.link_id)) == 2
