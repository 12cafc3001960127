"""Assigning authorities: one name fills in the other, nobody issues for another."""

import pytest

from hub_kernel.errors import ConfigurationError
from hub_kernel.identifiers import AssigningAuthority
from patient_index.domains import Domain, DomainDirectory, domains_from_tables
from patient_index.errors import ForeignDomainError, UnknownDomainError

A = Domain("A", "1.2.3.1", ("HIS|A",))
B = Domain("B", "1.2.3.2", ("HIS|B",))
CLOSED = Domain("CLOSED", "1.2.3.3", ("HIS|A",), may_assign=False)
OWN = AssigningAuthority("EIR", "1.2.3.9")


@pytest.fixture
def known() -> DomainDirectory:
    return DomainDirectory((A, B, CLOSED), own=OWN)


@pytest.mark.parametrize(
    ("namespace", "oid", "found"),
    [
        ("A", "", A),
        ("", "1.2.3.1", A),
        ("A", "1.2.3.1", A),
        ("renamed", "1.2.3.1", A),
        (" B ", " ", B),
    ],
)
def test_one_name_fills_in_the_other(
    known: DomainDirectory, namespace: str, oid: str, found: Domain
) -> None:
    assert known.complete(namespace, oid) == found


@pytest.mark.parametrize(
    ("namespace", "oid"), [("", ""), ("C", ""), ("", "1.2.3.8"), ("A", "1.2.3.8"), ("B", "1.2.3.1")]
)
def test_what_is_missing_unknown_or_contradicts_is_refused(
    known: DomainDirectory, namespace: str, oid: str
) -> None:
    with pytest.raises(UnknownDomainError):
        known.complete(namespace, oid)


def test_the_hub_alone_issues_global_ids(known: DomainDirectory) -> None:
    own = known.complete("EIR", "")
    assert own.authority == OWN
    with pytest.raises(ForeignDomainError):
        known.require_may_assign("HIS|A", own)


def test_a_sender_issues_in_its_own_domain_alone(known: DomainDirectory) -> None:
    known.require_may_assign("HIS|A", A)
    for foreign in (B, CLOSED):
        with pytest.raises(ForeignDomainError):
            known.require_may_assign("HIS|A", foreign)
    assert known.of_sender("HIS|A") == (A,)
    assert known.of_sender("nobody") == ()


def test_sites_are_domains_and_join_those_configured() -> None:
    sites = [Domain("SITE-A", A.oid, ("a",)), Domain("S", "1.2.3.5", ("s",))]
    now = [0.0]
    directory = DomainDirectory((A,), lambda: tuple(sites), monotonic=lambda: now[0])
    assert directory.complete("", A.oid) == Domain("A", A.oid, ("HIS|A", "a"))
    assert directory.of_sender("s") == (sites[1],)
    sites.append(Domain("T", "1.2.3.6", ("t",)))
    now[0] = 1.5
    assert directory.complete("T").oid == "1.2.3.6"


def test_a_name_of_two_authorities_names_neither() -> None:
    directory = DomainDirectory((A, Domain("A", "1.2.3.7")))
    with pytest.raises(UnknownDomainError):
        directory.complete("A")
    assert directory.complete("A", "1.2.3.7").oid == "1.2.3.7"


def test_tables_of_the_settings_become_domains() -> None:
    [read] = domains_from_tables([{"namespace": "A", "oid": "1.2.3.1", "senders": ["HIS|A"]}])
    assert read == A


@pytest.mark.parametrize(
    "table",
    [
        {"namespace": "A"},
        {"namespace": "A", "oid": "abc"},
        {"namespace": "", "oid": "1.2.3"},
        {"namespace": "A", "oid": "1.2.3", "sender": ["X"]},
        {"namespace": "A", "oid": "1.2.3", "senders": "X|Y"},
        {"namespace": "A", "oid": "1.2.3", "may_assign": "yes"},
    ],
)
def test_a_wrong_table_stops_the_start(table: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"identity\.domains, table 1"):
        domains_from_tables([table])


def test_two_tables_may_not_share_a_name() -> None:
    for other in ({"namespace": "B", "oid": "1.2.3.1"}, {"namespace": "A", "oid": "1.2.3.2"}):
        with pytest.raises(ConfigurationError, match="two tables"):
            domains_from_tables([{"namespace": "A", "oid": "1.2.3.1"}, other])
