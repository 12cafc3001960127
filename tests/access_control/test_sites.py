from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event

from access_control.errors import (
    InvalidSiteError,
    SiteExistsError,
    SiteRefusedError,
    UnknownCallingAeTitleError,
    WrongAddressError,
)
from access_control.model import Site, SubjectKind
from access_control.sites import SiteDirectory
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from hub_kernel.identifiers import AssigningAuthority
from tests.support.clock import FixedClock

MakeSite = Callable[..., Site]


@pytest.fixture
def directory(database: Database, clock: FixedClock) -> SiteDirectory:
    return SiteDirectory(database, clock)


def _jiuting(make_site: MakeSite, **changes: object) -> Site:
    given = {
        "site_id": "jiuting",
        "ae_titles": ("JIUTING_CT",),
        "assigning_authority": AssigningAuthority("JIUTING", "1.2.156.1.22"),
    }
    return make_site(**{**given, **changes})


def test_a_site_comes_back_as_it_was_added(directory: SiteDirectory, make_site: MakeSite) -> None:
    directory.add(make_site())
    directory.add(_jiuting(make_site, query_scope="region"))
    assert directory.get("sijing") == make_site()
    assert directory.all() == (_jiuting(make_site, query_scope="region"), make_site())


@pytest.mark.parametrize("site_id", ["", "nowhere", "../sijing", "\ud800", "x" * 1000])
def test_an_unknown_site_is_not_found(directory: SiteDirectory, site_id: str) -> None:
    with pytest.raises(NotFoundError):
        directory.get(site_id)


def test_a_site_is_checked_before_it_is_kept(directory: SiteDirectory, make_site: MakeSite) -> None:
    with pytest.raises(InvalidSiteError):
        directory.add(make_site(ae_titles=("A\\B",)))
    assert directory.all() == ()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.21.255.254", "::ffff:10.21.0.1"])
@pytest.mark.parametrize("title", ["SIJING_CT", "SIJING_DR", " SIJING_CT  "])
def test_a_known_title_from_a_known_address_is_admitted(
    directory: SiteDirectory, make_site: MakeSite, title: str, address: str
) -> None:
    directory.add(make_site())
    assert directory.admit(title, address) == make_site()


@pytest.mark.parametrize("title", ["sijing_ct", "OTHER", "", "SIJING_C*", "$(id)", "A\r\nB", "泗"])
def test_an_unknown_title_is_refused_from_any_address(
    directory: SiteDirectory, make_site: MakeSite, title: str
) -> None:
    directory.add(make_site())
    with pytest.raises(UnknownCallingAeTitleError):
        directory.admit(title, "127.0.0.1")


@pytest.mark.parametrize(
    "address", ["10.22.0.1", "127.0.0.2", "::1", "::ffff:10.22.0.1", "", "localhost", "10.21.0.1%0"]
)
def test_a_known_title_from_a_wrong_address_is_refused(
    directory: SiteDirectory, make_site: MakeSite, address: str
) -> None:
    directory.add(make_site())
    with pytest.raises(WrongAddressError) as refusal:
        directory.admit("SIJING_CT", address)
    assert isinstance(refusal.value, SiteRefusedError)


def test_the_address_must_be_in_a_network_of_the_site_with_that_title(
    directory: SiteDirectory, make_site: MakeSite
) -> None:
    directory.add(make_site(networks=("10.21.0.0/16",)))
    directory.add(_jiuting(make_site, networks=("10.22.0.0/16",)))
    with pytest.raises(WrongAddressError):
        directory.admit("SIJING_CT", "10.22.0.1")
    assert directory.admit("JIUTING_CT", "10.22.0.1").site_id == "jiuting"


def test_an_ipv6_network_admits_ipv6_callers(directory: SiteDirectory, make_site: MakeSite) -> None:
    directory.add(make_site(networks=("fd00:21::/64",)))
    assert directory.admit("SIJING_CT", "fd00:21::7").site_id == "sijing"
    with pytest.raises(WrongAddressError):
        directory.admit("SIJING_CT", "fd00:22::7")


def test_adding_the_same_site_again_changes_nothing(
    directory: SiteDirectory, make_site: MakeSite
) -> None:
    directory.add(make_site())
    directory.add(make_site())
    assert directory.all() == (make_site(),)


def test_a_differing_site_of_the_same_id_is_refused_unless_it_replaces(
    directory: SiteDirectory, make_site: MakeSite
) -> None:
    directory.add(make_site())
    changed = make_site(name="泗泾医院", ae_titles=("SIJING_DR", "SIJING_US"))
    with pytest.raises(SiteExistsError):
        directory.add(changed)
    assert directory.get("sijing") == make_site()
    directory.add(changed, replace=True)
    assert directory.get("sijing") == changed
    assert directory.admit("SIJING_US", "127.0.0.1") == changed
    with pytest.raises(UnknownCallingAeTitleError):
        directory.admit("SIJING_CT", "127.0.0.1")


@pytest.mark.parametrize(
    "changes",
    [
        {"ae_titles": ("JIUTING_CT", "SIJING_CT ")},
        {"assigning_authority": AssigningAuthority("SIJING", "1.2.3")},
        {"assigning_authority": AssigningAuthority("OTHER", "1.2.156.1.21")},
    ],
    ids=str,
)
@pytest.mark.parametrize("replace", [False, True])
def test_two_sites_share_no_title_and_do_not_contradict_each_other_on_an_authority(
    directory: SiteDirectory, make_site: MakeSite, changes: dict[str, object], *, replace: bool
) -> None:
    directory.add(make_site())
    with pytest.raises(SiteExistsError, match="sijing"):
        directory.add(_jiuting(make_site, **changes), replace=replace)
    assert directory.all() == (make_site(),)


def test_two_sites_of_one_institution_may_share_its_assigning_authority(
    directory: SiteDirectory, make_site: MakeSite
) -> None:
    directory.add(make_site())
    shared = AssigningAuthority("SIJING", "1.2.156.1.21")
    directory.add(_jiuting(make_site, assigning_authority=shared))
    assert len(directory.all()) == 2


def test_a_site_added_by_another_process_is_admitted_within_a_second(
    database: Database, clock: FixedClock, directory: SiteDirectory, make_site: MakeSite
) -> None:
    with pytest.raises(UnknownCallingAeTitleError):
        directory.admit("SIJING_CT", "127.0.0.1")
    SiteDirectory(database, clock).add(make_site())
    clock.advance(seconds=1)
    assert directory.admit("SIJING_CT", "127.0.0.1") == make_site()


def test_a_site_added_here_is_admitted_at_once(
    directory: SiteDirectory, make_site: MakeSite
) -> None:
    with pytest.raises(UnknownCallingAeTitleError):
        directory.admit("SIJING_CT", "127.0.0.1")
    directory.add(make_site())
    assert directory.admit("SIJING_CT", "127.0.0.1") == make_site()


def test_a_clock_set_back_does_not_freeze_what_is_known(
    database: Database, clock: FixedClock, directory: SiteDirectory, make_site: MakeSite
) -> None:
    assert directory.all() == ()
    SiteDirectory(database, clock).add(make_site())
    clock.advance(hours=-3)
    assert directory.admit("SIJING_CT", "127.0.0.1") == make_site()


def test_admission_does_not_ask_the_database_every_time(
    database: Database, directory: SiteDirectory, make_site: MakeSite
) -> None:
    directory.add(make_site())
    directory.admit("SIJING_CT", "127.0.0.1")
    statements: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def count(_c: object, _cur: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    for _ in range(100):
        directory.admit("SIJING_CT", "127.0.0.1")
    assert statements == []


def test_of_many_sites_that_claim_one_title_at_once_one_gets_it(
    directory: SiteDirectory, make_site: MakeSite
) -> None:
    def claim(number: int) -> bool:
        authority = AssigningAuthority(f"SITE{number}", f"1.2.156.{number}")
        site = make_site(
            site_id=f"site{number}", ae_titles=("SHARED",), assigning_authority=authority
        )
        try:
            directory.add(site)
        except SiteExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(claim, range(8)))
    assert won.count(True) == 1
    assert len(directory.all()) == 1


@pytest.mark.parametrize(("scope", "sites"), [("site", frozenset({"sijing"})), ("region", None)])
def test_a_site_asks_with_the_reach_of_its_query_scope(
    make_site: MakeSite, scope: str, sites: frozenset[str] | None
) -> None:
    subject = make_site(query_scope=scope).as_subject()
    assert (subject.kind, subject.subject_id, subject.sites) == (SubjectKind.SITE, "sijing", sites)
    assert subject.roles == frozenset()
