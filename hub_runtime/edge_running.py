"""A hub run as a township gateway: receive, hand over, one page. The same program, other wiring."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from edge_gateway.errors import EdgeError
from hub_kernel.errors import ConfigurationError
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import Settings
from hub_kernel.tasks import TaskEngine, ThreadTaskEngine
from hub_runtime.archive_room import ArchiveRoom
from hub_runtime.bootstrap import build_hub
from hub_runtime.certificate_watch import certificate_watch
from hub_runtime.edge import EdgeSpan, edge_span
from hub_runtime.hub import Hub, Wsgi
from hub_runtime.serving import Listening, running
from viewer_api.app import create_edge_app
from viewer_api.edge_services import EdgeServices

ROLES = ("router", "web", "worker")


@dataclass(frozen=True)
class Edge(Hub):
    """Every part of a hub; what follows receipt is the hand-over alone."""

    def open(self) -> None:
        """Open as a hub does, and finish what an end in the middle of making room left.

        Raises:
            ConfigurationError: the database belongs to a newer version.
        """
        super().open()
        self.span().spool.finish()

    def span(self) -> EdgeSpan:
        """Return what is between this edge and its hub."""
        return edge_span(self.settings, self.database, self.archive)

    def wsgi(self) -> Wsgi:
        """Return the gateway's own page; nothing else of a hub answers here."""
        span = self.span()
        own = EdgeServices(
            ledger=span.ledger,
            marks=span.marks,
            figures=span.reporter.figures,
            deliveries=span.queue.deliveries,
            unfinished=span.queue.unfinished,
        )
        return create_edge_app(self.viewer_services(), own)


def running_edge(made: Edge) -> AbstractContextManager[Listening]:
    """Run a gateway until the block ends; raises as `running`."""
    return running(made, ROLES, engine_of=lambda _: _engine(made))


def _engine(made: Edge) -> TaskEngine:
    """Return what speaks to the hub, keeps room, and makes the queue."""
    jobs = (
        *made.span().jobs(made.settings.edge),
        *made.forwarding.jobs(),
        PeriodicJob("outbox-purge", 60.0, lambda: made.base.outbox.purge(made.database)),
        PeriodicJob("session-purge", 600.0, made.access.sessions.purge),
        PeriodicJob("audit-head", 3600.0, made.access.audit.keep_head),
        PeriodicJob("archive-room", 10.0, ArchiveRoom(made.base.backend).watch),
        certificate_watch(made).job(),
        *made.trust.jobs,
    )
    engine = ThreadTaskEngine(made.database, made.base.outbox, jobs, workers=1)
    made.database.on_published = engine.wake
    return engine


def build_edge(settings: Settings) -> Edge:
    """Return the edge that `settings` describe.

    Raises:
        ConfigurationError: `edge.hub_url` or `edge.site_id` is missing, or what they need.
    """
    if not settings.edge.hub_url or not settings.edge.site_id:
        raise ConfigurationError(
            "edge.hub_url and edge.site_id are needed: the hub's address, as "
            "https://hub.example:8443, and the site this gateway stands at"
        )
    return Edge(**vars(build_hub(settings)))


def reach(edge: Edge) -> EdgeError | None:
    """Speak to the hub once; return what went wrong, None when it answered."""
    reporter = edge.span().reporter
    try:
        reporter.client.report(reporter.figures(), ())
    except EdgeError as error:
        return error
    return None
