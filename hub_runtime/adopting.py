"""Orthanc as a second door, wired: the job that follows it."""

import logging
import threading

from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.hub import Hub
from hub_runtime.orthanc_door import OrthancDoor
from image_archive.adoption import Adoption
from image_archive.backends.orthanc import OrthancBackend
from image_archive.errors import ArchiveError
from image_archive.tiers import TieredBackend

log = logging.getLogger(__name__)

_PAUSE_S = 0.05


def adoption(hub: Hub) -> Adoption | None:
    """Return what follows the hub's Orthanc; None where it has none, or is not to."""
    backend = hub.base.backend.originals
    if isinstance(backend, TieredBackend):
        backend = backend.near
    if not isinstance(backend, OrthancBackend) or not hub.settings.orthanc.adopt:
        return None
    door = OrthancDoor(hub.access.sites, hub.settings)
    return Adoption(hub.database, hub.archive, backend.client, door.admit)


def adoption_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what follows Orthanc by itself: every `orthanc.poll_s`, and when it says so."""
    following = adoption(hub)
    if following is None:
        return []
    arrivals, stopping = hub.base.arrivals, threading.Event()

    failing = threading.Event()

    def run() -> None:
        arrivals.wait(0.0 if stopping.is_set() else hub.settings.orthanc.poll_s)
        arrivals.clear()
        try:
            following.run()
        except ArchiveError as error:
            if not failing.is_set():
                log.warning("Orthanc cannot be followed now", extra={"error": str(error)})
            failing.set()
        else:
            if failing.is_set():
                log.warning("Orthanc is followed again")
            failing.clear()

    def interrupt() -> None:
        stopping.set()
        arrivals.set()

    return [PeriodicJob("orthanc-adoption", _PAUSE_S, run, interrupt)]
