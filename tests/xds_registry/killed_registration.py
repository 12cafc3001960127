"""Run as a program: register generation after generation, each killed one statement later.

Prints how many children were killed, how many of those had left nothing, and how many everything.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import func, select  # noqa: E402

from access_control.audit import AuditTrail  # noqa: E402
from access_control.model import NO_REFUSALS  # noqa: E402
from access_control.sites import SiteDirectory  # noqa: E402
from hub_kernel.clock import SystemClock  # noqa: E402
from hub_kernel.database import Database  # noqa: E402
from hub_kernel.events import StudyCompleted, StudyRegistered  # noqa: E402
from hub_kernel.outbox import Outbox, OutboxEvent, Subscriber  # noqa: E402
from hub_kernel.settings import IdentitySettings  # noqa: E402
from image_archive.backends.filesystem import FilesystemBackend  # noqa: E402
from image_archive.index import ArchiveIndex  # noqa: E402
from patient_index.service import PatientIndex  # noqa: E402
from tests.support.kill_steps import in_child  # noqa: E402
from tests.support.statements import listen, writes  # noqa: E402
from xds_registry.affinity_domain import load_affinity_domain  # noqa: E402
from xds_registry.service import Registry, RegistryNames, RegistryParts  # noqa: E402
from xds_registry.tables import (  # noqa: E402
    DocumentEntryRow,
    RepositoryDocumentRow,
    StudyManifestRow,
    SubmissionSetRow,
)

ROOT = Path(sys.argv[1])
DOMAIN = Path(__file__).parents[2] / "config" / "affinity_domain" / "region.toml"
STUDY = "1.2.3.4"
MOST_STATEMENTS = 60


def open_database() -> Database:
    nobody = Subscriber("test", StudyRegistered, lambda _event: None)
    return Database(f"sqlite:///{ROOT / 'hub.sqlite'}", outbox=Outbox([nobody]))


def register(generation: int, kill_at: int | None) -> None:
    """In a child: register, and die at the write statement or commit number `kill_at`."""
    database, clock = open_database(), SystemClock()
    parts = RegistryParts(
        database,
        FilesystemBackend(ROOT / "archive"),
        ArchiveIndex(database),
        PatientIndex(database, clock, IdentitySettings()),
        SiteDirectory(database, clock),
        AuditTrail(database, clock, b"k" * 32),
        lambda _environ: None,
        lambda _global_id: frozenset(),
        lambda _global_id: NO_REFUSALS,
    )
    names = RegistryNames("1.2.3", "", "EIRHUB", lambda: "")
    registry = Registry(parts, names, load_affinity_domain(DOMAIN))
    steps = iter(range(1, 10_000))

    def step(*_arguments: Any) -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(statement: str) -> None:
        if writes(statement):
            step()

    listen(database.engine, heard)
    subscriber = registry.subscribers()[0]
    subscriber.handle(
        StudyCompleted(
            event_id=f"e-{generation}",
            occurred_at=datetime.now(UTC),
            study_instance_uid=STUDY,
            site_id="t1",
            generation=generation,
        )
    )
    step()  # the last kill point: after the commit


def run(generation: int, kill_at: int | None) -> bool:
    """Return whether the child was killed."""
    return in_child(lambda: register(generation, kill_at))


def state() -> tuple[int, ...]:
    database = open_database()
    with database.read() as session:
        counts = tuple(
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (
                StudyManifestRow,
                DocumentEntryRow,
                SubmissionSetRow,
                RepositoryDocumentRow,
            )
        )
        published = session.scalar(
            select(func.count()).where(OutboxEvent.kind == "StudyRegistered")
        )
    database.dispose()
    return (*counts, published or 0)


def main() -> None:
    killed = untouched = registered = 0
    for kill_at in range(1, MOST_STATEMENTS):
        generation = kill_at
        before = state()
        cut_off = run(generation, kill_at)
        after = state()
        added = {now - then for now, then in zip(after, before, strict=True)}
        if added not in ({0}, {1}):
            sys.exit(f"kill point {kill_at} tore the registration: {before} {after}")
        if not cut_off:
            break
        killed += 1
        untouched += added == {0}
        registered += added == {1}
        run(generation, None)  # delivered again
        if set(state()) != {generation}:
            sys.exit(f"kill point {kill_at} was not made good: {state()}")
    print(killed, untouched, registered)  # noqa: T201


if __name__ == "__main__":
    main()
