"""The quotas of a site, by day and in all, in bytes and in instances: how much of each is used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from access_control.model import Site


class Quota(StrEnum):
    """What a site may have a quota of; `Site.max_…` of the same name says how much."""

    BYTES_PER_DAY = "bytes_per_day"
    INSTANCES_PER_DAY = "instances_per_day"
    BYTES = "bytes"
    INSTANCES = "instances"

    @property
    def daily(self) -> bool:
        """Whether tomorrow it is unused again."""
        return self in {Quota.BYTES_PER_DAY, Quota.INSTANCES_PER_DAY}

    @property
    def of_bytes(self) -> bool:
        """Whether bytes are counted, and not instances."""
        return self in {Quota.BYTES_PER_DAY, Quota.BYTES}


@dataclass(frozen=True)
class Usage:
    """Bytes and instances of one site, of a day or in all; `refused` counts what was over quota."""

    received_bytes: int = 0
    instances: int = 0
    refused: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.received_bytes + other.received_bytes,
            self.instances + other.instances,
            self.refused + other.refused,
        )


@dataclass(frozen=True)
class QuotaUse:
    """How much of one of its quotas a site has used; `allowed` is never 0."""

    site_id: str
    quota: Quota
    used: int
    allowed: int

    @property
    def share(self) -> float:
        """Which part of the quota is used; 1 is all of it."""
        return self.used / self.allowed

    @property
    def used_up(self) -> bool:
        """Whether the next instance is refused, unless it is of an emergency."""
        return self.used >= self.allowed

    def mark(self, marks: Iterable[float]) -> float:
        """Return the highest of `marks` and 1 that is passed; 0 for none."""
        return max((one for one in (*marks, 1.0) if self.share >= one), default=0.0)


def quota_uses(site: Site, today: Usage, held: Usage) -> Sequence[QuotaUse]:
    """Return every quota the site has, with what it has used of it; none where it has none."""
    counted = (
        (Quota.BYTES_PER_DAY, today.received_bytes, site.max_bytes_per_day),
        (Quota.INSTANCES_PER_DAY, today.instances, site.max_instances_per_day),
        (Quota.BYTES, held.received_bytes, site.max_bytes),
        (Quota.INSTANCES, held.instances, site.max_instances),
    )
    return [
        QuotaUse(site.site_id, quota, used, allowed) for quota, used, allowed in counted if allowed
    ]
