"""The other communities this one federates with, as the region's settings name them (ITI TF-1 18).

Nothing that arrives in a message ever adds an address to this list, and no other address is called.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hub_kernel.errors import ConfigurationError

_HOME = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_LONGEST_HOME = 72  # "urn:oid:" and an OID of 64 characters (ITI TF-2 3.38.4.1.2.1)


@dataclass(frozen=True)
class Community:
    """One other community: where its responding gateways answer, and how it names people.

    `patient_domain` is the OID of the identifiers it knows patients by: nobody without a linked
    identifier of that domain is ever asked about. `token` proves this hub to it. The files are PEM:
    whom to trust instead of the system's authorities, and who this hub is towards it.
    """

    home_community_id: str
    name: str
    query_url: str
    retrieve_url: str
    imaging_url: str
    patient_domain: str
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


class Communities:
    """Every configured community by its homeCommunityId; `ours` is this hub's own."""

    def __init__(self, ours: str, others: Iterable[Community] = ()) -> None:
        """Check the list.

        Raises:
            ConfigurationError: an ID, address or OID is malformed, or an ID is used twice.
        """
        self.ours = ours
        self._others: dict[str, Community] = {}
        for community in others:
            _check(community)
            home = community.home_community_id
            if home in self._others or home == ours:
                raise ConfigurationError(f"communities: {home} is used twice")
            self._others[home] = community
        if self._others and not is_home_community_id(ours):
            raise ConfigurationError("communities: this hub needs a home_community_id of its own")

    def __iter__(self) -> Iterator[Community]:
        return iter(self._others.values())

    def __len__(self) -> int:
        return len(self._others)

    def find(self, home_community_id: str) -> Community | None:
        """Return the community of that ID, or None where none is configured."""
        return self._others.get(home_community_id)


def is_home_community_id(text: str) -> bool:
    """Tell whether `text` is an OID as a URN, as homeCommunityIds are written."""
    return len(text) <= _LONGEST_HOME and bool(_HOME.fullmatch(text))


def _check(community: Community) -> None:
    home = community.home_community_id
    if not is_home_community_id(home):
        raise ConfigurationError("communities: home_community_id is written urn:oid:1.2.3")
    if not _OID.fullmatch(community.patient_domain):
        raise ConfigurationError(f"communities: {home}: patient_domain is an OID, as 1.2.3")
    for name in ("query_url", "retrieve_url", "imaging_url"):
        parts = urlsplit(getattr(community, name))
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ConfigurationError(f"communities: {home}: {name} is an http or https address")
