"""Compaction as a hub does it: who makes masters, and what it does by itself from time to time."""

from contextlib import suppress

from eir_versions.errors import DecoderPoolStoppedError
from eir_versions.master_making import HtMasterMaker
from eir_versions.master_reading import HtMasterReader
from hub_kernel.errors import ConfigurationError
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub
from hub_runtime.steady import EVERY_S, Steady
from image_archive.compaction import Compaction, CompactionParts, CompactionPolicy
from image_archive.errors import CompactionRunningError


def compaction(hub: Hub) -> Compaction:
    """Return what compacts the archive of `hub`.

    Raises:
        ConfigurationError: its originals are Orthanc's.
    """
    if hub.settings.archive.backend == "orthanc":
        raise ConfigurationError("archive.backend: what Orthanc holds is not compacted")
    maker = HtMasterMaker(hub.pool)
    return Compaction(CompactionParts(hub.database, hub.base.backend, HtMasterReader(), maker))


def compaction_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return the job that compacts by policy; none where `archive.compact_after_days` is 0."""
    wanted = hub.settings.archive
    if not wanted.compact_after_days:
        return []
    steady = Steady(wanted.compact_per_minute)

    def run() -> None:
        policy = CompactionPolicy(
            wanted.compact_modalities, wanted.compact_after_days, steady.part()
        )
        with suppress(CompactionRunningError, DecoderPoolStoppedError):
            steady.came_to(compaction(hub).run(policy, lambda _done, _total: None).through)

    return [PeriodicJob("compaction", EVERY_S, run)]
