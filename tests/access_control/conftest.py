"""What the tests of access control share: a cheap hasher and a way to describe sites."""

from collections.abc import Callable
from typing import Any

import pytest

from access_control.credentials import HashingCost, SecretHasher
from access_control.model import Site
from hub_kernel.identifiers import AssigningAuthority

_SIJING = {
    "site_id": "sijing",
    "name": "泗泾社区卫生服务中心",
    "name_en": "Sijing Community Health Centre",
    "institution": "泗泾社区卫生服务中心",
    "level": "community",
    "ae_titles": ("SIJING_CT", "SIJING_DR"),
    "networks": ("10.21.0.0/16", "127.0.0.1/32"),
    "assigning_authority": AssigningAuthority("SIJING", "1.2.156.1.21"),
    "claimed_charset": "ISO_IR 100",
    "used_charset": "GB18030",
}


@pytest.fixture
def make_site() -> Callable[..., Site]:
    def make(**changes: Any) -> Site:
        return Site(**{**_SIJING, **changes})

    return make


@pytest.fixture(scope="session")
def hasher() -> SecretHasher:
    """argon2 at its lowest cost: these tests are about what is done, not about how slowly."""
    return SecretHasher(HashingCost(time_cost=1, memory_kib=8))
