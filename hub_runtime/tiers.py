"""Tiers as a hub has them: a folder near, a bucket far, and what moves between them by itself."""

import logging
from contextlib import suppress

from hub_kernel.errors import ConfigurationError
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub
from hub_runtime.steady import EVERY_S, Steady
from image_archive.errors import ArchiveError, TieringRunningError
from image_archive.paging import ALL, Part
from image_archive.tiering import Tiering, TierPolicy
from image_archive.tiers import TieredBackend

log = logging.getLogger(__name__)

_RECALL_EVERY_S = 2.0


def tiering(hub: Hub) -> Tiering:
    """Return what moves instances between the tiers of `hub`.

    Raises:
        ConfigurationError: its archive has no tiers.
    """
    tiered = hub.base.backend.originals
    if not isinstance(tiered, TieredBackend):
        raise ConfigurationError(
            'this archive has no far tier: it needs archive.backend = "filesystem" and s3.bucket'
        )
    return Tiering(hub.database, tiered)


def tier_policy(hub: Hub, part: Part = ALL) -> TierPolicy:
    """Return what goes far by the settings."""
    wanted = hub.settings.archive
    return TierPolicy(wanted.tier_modalities, wanted.tier_after_days, wanted.tier_grace_days, part)


def tier_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return the jobs that move by policy and bring back what is read; none without tiers."""
    tiered = hub.base.backend.originals
    if not isinstance(tiered, TieredBackend):
        return []
    # What was read is known to the process that read it.
    recalling = PeriodicJob(
        "tier-recall", _RECALL_EVERY_S, lambda: _recall(hub, tiered), everywhere=True
    )
    if not hub.settings.archive.tier_after_days:
        return [recalling]
    steady = Steady(hub.settings.archive.tier_per_minute)
    return [recalling, PeriodicJob("tiering", EVERY_S, lambda: _move(hub, steady))]


def _move(hub: Hub, steady: Steady) -> None:
    policy = tier_policy(hub, steady.part())
    with suppress(TieringRunningError):
        steady.came_to(tiering(hub).run(policy, lambda _done, _total: None).through)


def _recall(hub: Hub, tiered: TieredBackend) -> None:
    """Bring the rest of every study near of which something was read far."""
    for study in tiered.wanted():
        try:
            tiering(hub).recall(study)
        except ArchiveError as error:
            log.warning("a study stays in the far tier", extra={"error": str(error)})
