from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from access_control.certificates import MachineCertificates, Standing, fingerprint_of
from access_control.errors import AccountExistsError, InvalidAccountError
from access_control.model import Role, Subject, SubjectKind
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock

ROLES = frozenset({Role.CLINICIAN})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pacs(authority: Authority) -> Certified:
    return authority.issue("pacs", days=(-9000, 9000))


@pytest.fixture
def certificates(database: Database, clock: FixedClock) -> MachineCertificates:
    return MachineCertificates(database, clock)


def test_a_bound_certificate_is_its_machine_with_its_rights(
    certificates: MachineCertificates, pacs: Certified
) -> None:
    bound = certificates.bind("pacs", pacs.pem, ROLES, {"sijing"})
    subject = certificates.subject(pacs.der)
    assert isinstance(subject, Subject)
    assert (subject.kind, subject.subject_id) == (SubjectKind.MACHINE, bound.certificate_id)
    assert (subject.display, subject.roles, subject.sites) == ("pacs", ROLES, {"sijing"})
    assert bound.fingerprint == fingerprint_of(pacs.der)
    assert bound.subject_name == "CN=pacs"


def test_another_certificate_of_the_same_name_is_nobodys(
    certificates: MachineCertificates, pacs: Certified, authority: Authority
) -> None:
    certificates.bind("pacs", pacs.pem, ROLES, None)
    namesake = authority.issue("pacs", days=(-9000, 9000))
    assert certificates.subject(namesake.der) is Standing.UNBOUND


def test_a_revoked_certificate_is_withdrawn_at_once(
    certificates: MachineCertificates, pacs: Certified
) -> None:
    bound = certificates.bind("pacs", pacs.pem, ROLES, None)
    certificates.revoke(bound.certificate_id)
    certificates.revoke(bound.certificate_id)
    assert certificates.subject(pacs.der) is Standing.WITHDRAWN
    assert certificates.all()[0].revoked_at is not None


def test_a_certificate_ends_when_it_says_also_on_an_open_connection(
    certificates: MachineCertificates, pacs: Certified, clock: FixedClock
) -> None:
    bound = certificates.bind("pacs", pacs.pem, ROLES, None)
    clock.advance(seconds=(bound.expires_at - clock.now()) / timedelta(seconds=1) - 1)
    assert isinstance(certificates.subject(pacs.der), Subject)
    clock.advance(seconds=1)
    assert certificates.subject(pacs.der) is Standing.WITHDRAWN


def test_use_is_written_down_once_a_minute(
    certificates: MachineCertificates, pacs: Certified, clock: FixedClock
) -> None:
    certificates.bind("pacs", pacs.pem, ROLES, None)
    certificates.subject(pacs.der)
    first = certificates.all()[0].last_used_at
    clock.advance(seconds=59)
    certificates.subject(pacs.der)
    assert certificates.all()[0].last_used_at == first
    clock.advance(seconds=1)
    certificates.subject(pacs.der)
    assert certificates.all()[0].last_used_at == clock.now()


def test_a_name_and_a_certificate_are_bound_once(
    certificates: MachineCertificates, pacs: Certified, authority: Authority
) -> None:
    certificates.bind("pacs", pacs.pem, ROLES, None)
    with pytest.raises(AccountExistsError):
        certificates.bind("another", pacs.pem, ROLES, None)
    with pytest.raises(AccountExistsError):
        certificates.bind("pacs", authority.issue("x", days=(-1, 9000)).pem, ROLES, None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pacs: {"name": " "},
        lambda pacs: {"name": "a\nb"},
        lambda pacs: {"pem": b"rubbish"},
        lambda pacs: {"pem": pacs.key_pem},
        lambda pacs: {"roles": frozenset()},
        lambda pacs: {"sites": frozenset()},
        lambda pacs: {"roles": {Role.AUDITOR}, "sites": {"sijing"}},
    ],
)
def test_a_binding_that_makes_no_sense_is_refused(
    certificates: MachineCertificates,
    pacs: Certified,
    spoil: Callable[[Certified], dict[str, object]],
) -> None:
    given = {"name": "pacs", "pem": pacs.pem, "roles": ROLES, "sites": None, **spoil(pacs)}
    with pytest.raises(InvalidAccountError):
        certificates.bind(**given)  # type: ignore[arg-type]
    assert certificates.all() == ()


def test_a_certificate_past_its_end_is_not_bound(
    certificates: MachineCertificates, tmp_path: Path
) -> None:
    old = Authority(tmp_path).issue("old", days=(-9000, -8000))
    with pytest.raises(InvalidAccountError):
        certificates.bind("old", old.pem, ROLES, None)


def test_what_is_not_there_cannot_be_revoked(certificates: MachineCertificates) -> None:
    with pytest.raises(NotFoundError):
        certificates.revoke("no such")
