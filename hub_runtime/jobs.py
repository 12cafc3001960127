"""What a hub does by itself: its periodic jobs, and the engine that runs them and its outbox."""

from collections.abc import Callable, Mapping

from hub_kernel.errors import ConfigurationError
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.tasks import TaskEngine, ThreadTaskEngine
from hub_runtime.adopting import adoption_jobs
from hub_runtime.archive_room import ArchiveRoom
from hub_runtime.atna_shipping import ShippingParts, shipping_jobs
from hub_runtime.break_glass_watch import break_glass_jobs
from hub_runtime.compacting import compaction_jobs
from hub_runtime.conflict_room import site_jobs
from hub_runtime.hub import Hub
from hub_runtime.retention.deleting import StudyDeletion
from hub_runtime.sharing import registry_jobs
from hub_runtime.tiers import tier_jobs

_BROKERS = ("amqp://", "amqps://", "redis://", "rediss://")


def task_engine(hub: Hub) -> TaskEngine:
    """Return the configured engine over the hub's outbox and periodic jobs.

    Raises:
        ConfigurationError: what the engine needs is not named, or not installed.
    """
    return TASK_ENGINES[hub.settings.tasks.engine](hub)


def periodic_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what a hub does by itself from time to time."""
    completion_s = min(5.0, hub.settings.study.quiet_period_s / 4)
    return [
        PeriodicJob("study-completion", completion_s, hub.archive.complete_quiet_studies),
        PeriodicJob("outbox-purge", 60.0, lambda: hub.base.outbox.purge(hub.database)),
        PeriodicJob("outbox-status", 5.0, lambda: _measure_outbox(hub), everywhere=True),
        PeriodicJob("session-purge", 600.0, hub.access.sessions.purge),
        PeriodicJob("link-purge", 600.0, hub.access.links.purge),
        *machine_jobs(hub),
        *break_glass_jobs(hub),
        *site_jobs(hub),
        StudyDeletion(hub).job(),
        *compaction_jobs(hub),
        *tier_jobs(hub),
        *adoption_jobs(hub),
        *hub.trust.jobs,
        *registry_jobs(hub.registry),
        *hub.edges.jobs(),
        *hub.forwarding.jobs(),
        *shipping_jobs(hub.settings, ShippingParts(hub.database, hub.base.clock, hub.base.metrics)),
    ]


def machine_jobs(hub: Hub) -> list[PeriodicJob]:
    """Return what every machine does for itself, whether it has a worker or not."""
    return [
        PeriodicJob("audit-head", 3600.0, hub.access.audit.keep_head, everywhere=True),
        PeriodicJob("archive-room", 10.0, ArchiveRoom(hub.base.backend).watch, everywhere=True),
        *hub.edges.machine_jobs(),
    ]


def _measure_outbox(hub: Hub) -> None:
    with hub.database.read() as session:
        status = hub.base.outbox.status(session)
    hub.base.metrics.outbox.labels("pending").set(status.pending)
    hub.base.metrics.outbox.labels("parked").set(status.parked)


def _threads(hub: Hub) -> TaskEngine:
    engine = ThreadTaskEngine(
        hub.database, hub.base.outbox, periodic_jobs(hub), workers=hub.settings.tasks.workers
    )
    hub.database.on_published = engine.wake
    return engine


def _celery(hub: Hub) -> TaskEngine:
    wanted = hub.settings.tasks
    if not wanted.broker_url.startswith(_BROKERS):
        raise ConfigurationError(
            'tasks.broker_url: tasks.engine = "celery" needs the address of a broker, as '
            "amqp://user:password@host/name or redis://host/0"
        )
    try:
        # Optional, and slow to load.
        from hub_runtime.celery_engine import CeleryTaskEngine  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            'tasks.engine = "celery" needs Celery: pip install "eirhub[celery]"'
        ) from error
    engine = CeleryTaskEngine(
        hub.database,
        hub.base.outbox,
        periodic_jobs(hub),
        broker_url=wanted.broker_url,
        workers=wanted.workers,
    )
    hub.database.on_published = engine.wake
    return engine


# The seam: a new engine is its module and one row here.
TASK_ENGINES: Mapping[str, Callable[[Hub], TaskEngine]] = {"threads": _threads, "celery": _celery}
