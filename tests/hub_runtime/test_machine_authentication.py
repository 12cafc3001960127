"""Every combination of what a machine may show; what does not hold spoils what does."""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from lxml import etree

from access_control.certificates import PEER_CERTIFICATE, MachineCertificates
from access_control.model import Role
from access_control.saml.assertions import Assertions
from access_control.tokens import MachineTokens
from hub_kernel.database import Database
from hub_runtime.machine_authentication import (
    AUTHENTICATIONS,
    Authenticate,
    by_credentials,
)
from tests.support.assertions import Provider, Wanted, assertion, envelope, header_of, signed
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock

ROLES = frozenset({Role.CLINICIAN})


@dataclass
class Shown:
    """What a request can carry, by a word for each."""

    tokens: dict[str, dict[str, Any]]
    certificates: dict[str, dict[str, Any]]
    provider: Provider
    wanted: Wanted
    count: int = 0

    def header(self, word: str) -> etree._Element | None:
        self.count += 1
        wanted = replace(self.wanted, assertion_id=f"_n{self.count}")
        if word == "none":
            return None
        if word == "without security":
            return etree.fromstring(
                b"<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Header/>"
                b"<s:Body/></s:Envelope>"
            )[0]
        if word == "bad":
            return header_of(envelope(assertion(wanted)))
        return header_of(envelope(signed(assertion(wanted), self.provider.certified)))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def idp(authority: Authority) -> Certified:
    return authority.issue("idp", rsa_bits=2048, days=(-9000, 9000))


@pytest.fixture
def certificates(database: Database, clock: FixedClock) -> MachineCertificates:
    return MachineCertificates(database, clock)


@pytest.fixture
def tokens(database: Database, clock: FixedClock) -> MachineTokens:
    return MachineTokens(database, clock)


@pytest.fixture
def shown(
    tokens: MachineTokens,
    certificates: MachineCertificates,
    authority: Authority,
    idp: Certified,
    clock: FixedClock,
) -> Shown:
    end = clock.now() + timedelta(days=1)
    machine, unbound, revoked = (
        authority.issue(name, days=(-9000, 9000)) for name in ("machine", "unbound", "revoked")
    )
    certificates.bind("by certificate", machine.pem, ROLES, None)
    withdrawn = certificates.bind("revoked", revoked.pem, ROLES, None)
    certificates.revoke(withdrawn.certificate_id)
    good = tokens.create("by token", ROLES, None, end)
    return Shown(
        tokens={
            "none": {},
            "good": {"HTTP_AUTHORIZATION": f"Bearer {good}"},
            "bad": {"HTTP_AUTHORIZATION": "Bearer eirhub_guessed"},
            "basic": {"HTTP_AUTHORIZATION": "Basic eDp5"},
        },
        certificates={
            "none": {},
            "good": {PEER_CERTIFICATE: machine.der},
            "unbound": {PEER_CERTIFICATE: unbound.der},
            "revoked": {PEER_CERTIFICATE: revoked.der},
            "in a header": {
                "HTTP_X_SSL_CLIENT_CERT": machine.pem.decode(),
                "HTTP_EIRHUB_PEER_CERTIFICATE": machine.pem.decode(),
            },
        },
        provider=Provider(idp),
        wanted=Wanted(clock.now()),
    )


@pytest.fixture
def authenticate(
    database: Database,
    clock: FixedClock,
    tokens: MachineTokens,
    certificates: MachineCertificates,
    shown: Shown,
) -> Authenticate:
    assertions = Assertions(database, clock, shown.provider.trust)
    return by_credentials(tokens, certificates, assertions)


def expected(token: str, certificate: str, header: str) -> str | None:
    """Who it should be, written down apart from how the code finds it out."""
    if token in {"bad", "basic"} or certificate == "revoked" or header == "bad":
        return None
    if header == "good":
        return "Li Ming"
    if token == "good":
        return "by token"
    return "by certificate" if certificate == "good" else None


def test_who_it_is_for_every_combination_of_proofs(
    authenticate: Authenticate, shown: Shown
) -> None:
    headers = ("none", "without security", "good", "bad")
    seen = set()
    for token, certificate, header in product(shown.tokens, shown.certificates, headers):
        environ = {**shown.tokens[token], **shown.certificates[certificate]}
        subject = authenticate(environ, shown.header(header))
        who = subject.display if subject else None
        assert who == expected(token, certificate, header), (token, certificate, header)
        seen.add(who)
    assert seen == {None, "Li Ming", "by token", "by certificate"}  # the control


def test_a_request_refused_for_its_token_does_not_use_up_its_assertion(
    authenticate: Authenticate, shown: Shown
) -> None:
    header = shown.header("good")
    assert authenticate(shown.tokens["bad"], header) is None
    assert authenticate({}, header) is not None
    assert authenticate({}, header) is None


def test_where_nobody_is_trusted_an_assertion_is_refused_and_not_passed_over(
    tokens: MachineTokens, shown: Shown
) -> None:
    tokens_only = by_credentials(tokens)
    assert tokens_only(shown.tokens["good"]) is not None
    assert tokens_only(shown.tokens["good"], shown.header("good")) is None
    assert tokens_only(shown.certificates["good"]) is None


def test_in_trials_who_shows_nothing_is_let_in_and_who_shows_something_bad_is_not(
    tokens: MachineTokens, shown: Shown
) -> None:
    trial = AUTHENTICATIONS["none"](tokens)
    nobody = trial({})
    assert nobody is not None
    assert nobody.subject_id == "trial"
    known = trial(shown.tokens["good"])
    assert known is not None
    assert known.display == "by token"
    assert trial(shown.tokens["bad"]) is None
