"""Run as a program: register document after document, each killed one step later on its way.

The steps are the write statements and commits from the registration to the record of what was sent,
and the sending itself. After each kill a new process does what is due. Prints how many children
were killed, and the entryUUIDs that are registered; the test compares them with what was told.
"""

import os
import signal
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import select  # noqa: E402

from access_control.audit import AuditTrail  # noqa: E402
from access_control.model import NO_REFUSALS, Role  # noqa: E402
from access_control.sites import SiteDirectory  # noqa: E402
from access_control.tokens import MachineTokens  # noqa: E402
from hub_kernel.clock import SystemClock  # noqa: E402
from hub_kernel.database import Database  # noqa: E402
from hub_kernel.events import ObservedPatient  # noqa: E402
from hub_kernel.outbox import Outbox  # noqa: E402
from hub_kernel.person_names import PersonName  # noqa: E402
from hub_kernel.settings import IdentitySettings  # noqa: E402
from hub_kernel.tasks import deliver_all_due  # noqa: E402
from image_archive.backends.filesystem import FilesystemBackend  # noqa: E402
from image_archive.index import ArchiveIndex  # noqa: E402
from patient_index.service import PatientIndex  # noqa: E402
from tests.support.kill_steps import in_child  # noqa: E402
from tests.support.statements import listen, writes  # noqa: E402
from tests.xds_registry.samples import LOCAL  # noqa: E402
from tests.xds_registry.submitted import of  # noqa: E402
from xds_registry import store  # noqa: E402
from xds_registry.affinity_domain import load_affinity_domain  # noqa: E402
from xds_registry.service import Registry, RegistryNames, RegistryParts  # noqa: E402
from xds_registry.subscriptions_consumers import Consumers, NotificationSettings  # noqa: E402
from xds_registry.subscriptions_events import documents_registered  # noqa: E402
from xds_registry.tables import DocumentEntryRow  # noqa: E402
from xds_registry.tables_subscriptions import SubscriptionRow  # noqa: E402

ROOT, CONSUMER = Path(sys.argv[1]), sys.argv[2]
DOMAIN = Path(__file__).parents[2] / "config" / "affinity_domain" / "region.toml"
MOST_STEPS = 80


def open_hub() -> tuple[Database, Outbox, Registry, PatientIndex]:
    outbox = Outbox()
    database, clock = Database(f"sqlite:///{ROOT / 'hub.sqlite'}", outbox=outbox), SystemClock()
    patients = PatientIndex(database, clock, IdentitySettings())
    parts = RegistryParts(
        database,
        FilesystemBackend(ROOT / "archive"),
        ArchiveIndex(database),
        patients,
        SiteDirectory(database, clock),
        AuditTrail(database, clock, b"k" * 32),
        lambda _environ: None,
        lambda _global_id: frozenset({"t1"}),
        lambda _global_id: NO_REFUSALS,
    )
    settings = NotificationSettings(allowed_consumers=(CONSUMER,))
    names = RegistryNames("1.2.3", "", "EIRHUB", lambda: "", notifications=settings)
    registry = Registry(parts, names, load_affinity_domain(DOMAIN))
    for subscriber in registry.subscribers():
        outbox.subscribe(subscriber)
    return database, outbox, registry, patients


def work(number: int, cx: str, kill_at: int | None) -> None:
    """In a child: register and tell, and die at step number `kill_at`."""
    database, outbox, registry, _ = open_hub()
    outbox.release_dead(database, lambda _worker: True)
    steps = iter(range(1, 10_000))

    def step(*_arguments: Any) -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(statement: str) -> None:
        if writes(statement):
            step()

    send = Consumers.send

    def sending(*arguments: Any) -> None:
        step()
        send(*arguments)
        step()  # it has been taken, and nothing says so yet

    listen(database.engine, heard)
    Consumers.send = sending  # type: ignore[method-assign]
    if kill_at is not None:
        sent = of(cx, f"document-{number}")
        with database.unit_of_work() as unit:
            store.register(unit.session, sent)
            unit.publish(documents_registered(sent, unit.clock))
    deliver_all_due(database, outbox)
    registry.broker.notify()


def run(number: int, cx: str, kill_at: int | None) -> bool:
    """Return whether the child was killed."""
    return in_child(lambda: work(number, cx, kill_at))


def prepare() -> str:
    """Make the tables, a person and a subscription; return the person's CX."""
    database, _, _, patients = open_hub()
    database.create_all()
    name = PersonName(alphabetic="Wang^XiaoDong")
    person = patients.observe(
        ObservedPatient(identifier=LOCAL, name=name, birth_date=date(1960, 5, 6), sex="M")
    )
    cx = patients.global_identifier(person).cx
    now = database.clock.now()
    tokens = MachineTokens(database, database.clock)
    tokens.create("subscriber", {Role.CLINICIAN}, None, now + timedelta(days=1))
    (token,) = tokens.all()
    row = SubscriptionRow(
        subscription_id="s-1",
        subscriber_id=token.token_id,
        consumer=CONSUMER,
        reference="https://hub.test/xds/subscriptions/s-1",
        topic="ihe:MinimalDocumentEntry",
        query_id="urn:uuid:aa2332d0-f8fe-11e0-be50-0800200c9a66",
        patient_id=cx,
        filters=f'[["$XDSDocumentEntryPatientId", ["\'{cx}\'"]]]',
        created_at=now,
        terminates_at=now + timedelta(days=1),
    )
    with database.unit_of_work() as unit:
        unit.session.add(row)
    database.dispose()
    return cx


def main() -> None:
    cx = prepare()
    killed = 0
    for kill_at in range(1, MOST_STEPS):
        cut_off = run(kill_at, cx, kill_at)
        run(kill_at, cx, None)  # the next start
        if not cut_off:
            break
        killed += 1
    database = open_hub()[0]
    with database.read() as session:
        registered = session.scalars(select(DocumentEntryRow.entry_uuid)).all()
    database.dispose()
    print(killed, *registered)  # noqa: T201


if __name__ == "__main__":
    main()
