"""An identity provider, and the hub's own judgement of what it says."""

import pytest

from access_control.saml.assertions import Assertions
from hub_kernel.database import Database
from tests.support.assertions import Provider, Wanted
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("saml"))


@pytest.fixture(scope="session")
def idp(authority: Authority) -> Certified:
    return authority.issue("idp", rsa_bits=2048, days=(-9000, 9000))


@pytest.fixture
def provider(idp: Certified) -> Provider:
    return Provider(idp)


@pytest.fixture
def assertions(database: Database, clock: FixedClock, provider: Provider) -> Assertions:
    return Assertions(database, clock, provider.trust)


@pytest.fixture
def wanted(clock: FixedClock) -> Wanted:
    return Wanted(clock.now())
