"""Run as a program: every change of links, killed one write later each time; argument: a folder.

Prints one JSON object: by change, how many children were killed, how many of those had left
nothing, how many everything, how many half a change, and after how many two readers disagreed. With
`torn` as second argument every statement commits by itself, so that changes are left half-made: the
control of the test.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import event, select, text  # noqa: E402

from hub_kernel.database import Database  # noqa: E402
from hub_kernel.events import LinkChanged  # noqa: E402
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier  # noqa: E402
from hub_kernel.outbox import Outbox, OutboxEvent, Subscriber  # noqa: E402
from hub_kernel.person_names import parse_person_name  # noqa: E402
from hub_kernel.settings import IdentitySettings  # noqa: E402
from patient_index.domains import Domain, DomainDirectory  # noqa: E402
from patient_index.errors import UnknownDecisionError, UnknownIdentifierError  # noqa: E402
from patient_index.feed import PatientFeed  # noqa: E402
from patient_index.global_ids import global_id_of  # noqa: E402
from patient_index.lookup import PatientLookup  # noqa: E402
from patient_index.model import (  # noqa: E402
    Decided,
    Demographics,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)
from patient_index.same_person import SamePerson  # noqa: E402
from patient_index.service import PatientIndex  # noqa: E402
from patient_index.tables import KnownIdentifier, LinkLog, ObservedDemographics  # noqa: E402
from patient_index.tables_feed import (  # noqa: E402
    ClaimedIdentifier,
    FeedMessage,
    LinkDecision,
    LinkStep,
    MatchKey,
    StatedPhone,
)
from tests.support.kill_steps import in_child  # noqa: E402

ROOT = Path(sys.argv[1])
TORN = "torn" in sys.argv[2:]
MOST_WRITES = 60
EAST, WEST = AssigningAuthority("EAST", "1.2.3.1"), AssigningAuthority("WEST", "1.2.3.2")
CARDS = AssigningAuthority("CARDS", "1.2.3.9")
OLD, NEW = PatientIdentifier("old", EAST), PatientIdentifier("new", EAST)
LINKED, COMING = PatientIdentifier("linked", WEST), PatientIdentifier("coming", WEST)
PATIENTS = (OLD, NEW, LINKED, COMING)
BY = Decided("clerk", "test")


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 21, 8, tzinfo=UTC)


class CountingFrom:
    def __init__(self, start: int) -> None:
        self._next = start

    def new_global_id(self) -> str:
        self._next += 1
        return global_id_of(f"{self._next:012d}")


@dataclass
class Opened:
    database: Database
    index: PatientIndex
    feed: PatientFeed
    lookup: PatientLookup


def opened(path: Path, first_id: int) -> Opened:
    told = Outbox([Subscriber("reader", LinkChanged, lambda _changed: None)])
    database = Database(f"sqlite:///{path}", outbox=told, clock=Clock())
    index = PatientIndex(database, Clock(), IdentitySettings(), global_ids=CountingFrom(first_id))
    domains = DomainDirectory(
        [Domain("EAST", EAST.oid), Domain("WEST", WEST.oid), Domain("CARDS", CARDS.oid)],
        own=index.issuer,
    )
    return Opened(database, index, PatientFeed(index, domains), PatientLookup(index, domains))


def said(identifier: PatientIdentifier) -> PatientStatement:
    card = TypedIdentifier(PatientIdentifier("K", CARDS), IdentifierKind.HEALTH_CARD)
    cards = () if identifier == NEW else (card,)
    name = parse_person_name("王^小东")
    born = datetime(1985, 3, 12, tzinfo=UTC).date()
    demographics = Demographics(name=name, birth_date=born, sex="M", phones=("13800138000",))
    return PatientStatement((TypedIdentifier(identifier), *cards), demographics, "HIS")


def feed(hub: Opened) -> None:
    hub.feed.register(said(COMING), "feed-1")


def merge(hub: Opened) -> None:
    hub.feed.merge(NEW, OLD, BY, "merge-1")


def unmerge(hub: Opened) -> None:
    try:
        hub.feed.unmerge(NEW, OLD, BY, "unmerge-1")
    except UnknownDecisionError:
        sys.exit("the merge to be undone was lost")


CHANGES: dict[str, tuple[list[Callable[[Opened], None]], Callable[[Opened], None]]] = {
    "feed": ([], feed),
    "merge": ([], merge),
    "unmerge": ([merge], unmerge),
}
_TABLES: dict[Any, tuple[str, ...]] = {
    KnownIdentifier: ("value", "issuer_oid"),
    ObservedDemographics: ("identifier_id", "fingerprint"),
    ClaimedIdentifier: ("identifier_id", "value"),
    StatedPhone: ("identifier_id", "digits"),
    MatchKey: ("identifier_id", "key"),
    LinkLog: ("identifier_id", "position", "global_id", "action"),
    LinkDecision: ("action", "survivor", "subsumed", "undoes"),
    LinkStep: ("link_id", "decision_id", "previous_global_id"),
    FeedMessage: ("message_key", "outcome"),
}


def snapshot(path: Path) -> str:
    """Everything that is stored and everything that readers answer, without random numbers."""
    hub = opened(path, 900)
    found: dict[str, Any] = {}
    with hub.database.read() as session:
        for table, columns in _TABLES.items():
            rows = session.execute(select(*(getattr(table, name) for name in columns)))
            found[table.__tablename__] = sorted([list(map(str, row)) for row in rows])
        payloads = [json.loads(one) for one in session.scalars(select(OutboxEvent.payload))]
        found["told"] = sorted([one["identifier"]["value"], one["global_id"]] for one in payloads)
    for one in PATIENTS:
        resolved = hub.index.resolve(one)
        found[one.value] = [resolved, [str(i) for i in hub.index.identifiers_of(resolved or "")]]
        try:
            found[one.value].append([str(i) for i in hub.lookup.cross_references(one)])
        except UnknownIdentifierError:
            found[one.value].append(None)
        found[one.value].append([line.action for line in hub.index.history(one)])
    hub.database.dispose()
    return json.dumps(found, sort_keys=True)


def disagreements(path: Path) -> list[str]:
    """Which reader says something else than the link log about whom an identifier belongs to."""
    hub = opened(path, 900)
    with hub.database.read() as session:
        payloads = [
            json.loads(payload)
            for payload in session.scalars(select(OutboxEvent.payload).order_by(text("rowid")))
        ]
    told = {one["identifier"]["value"]: one["global_id"] for one in payloads}
    found = []
    for one in PATIENTS:
        resolved = hub.index.resolve(one)
        if resolved is None:
            said = {"history": bool(hub.index.history(one)), "search": bool(_searched(hub, one))}
            found += [f"{one.value}: {reader}" for reader, says in said.items() if says]
            continue
        mine = set(hub.index.identifiers_of(resolved))
        person, looked_up = hub.index.person(resolved), hub.lookup.person_of(one)
        agree = {
            "identifiers": one in mine,
            "person": person is not None and set(person.identifiers) == mine,
            "search": _searched(hub, one) == [resolved],
            "lookup": looked_up is not None and looked_up.global_id == resolved,
            "consents": set(SamePerson(hub.database).of_holders([one])[one]) == mine,
            "history": hub.index.history(one)[-1].global_id == resolved,
            "successor": hub.index.successor(resolved) == resolved,
            "decisions": _decided_about(hub, one) in {None, resolved},
            "events": told.get(one.value, resolved) == resolved,
        }
        found += [f"{one.value}: {reader}" for reader, agrees in agree.items() if not agrees]
    hub.database.dispose()
    return found


def _searched(hub: Opened, identifier: PatientIdentifier) -> list[str]:
    people = hub.index.search(identifier.value, issuers=None, limit=5)
    return [person.global_id for person in people]


def _decided_about(hub: Opened, identifier: PatientIdentifier) -> str | None:
    """Where the newest decision in force has put the identifier, if one has moved it."""
    lines = [line for line in hub.index.history(identifier) if line.action != "REGISTER"]
    if not lines:
        return None
    last = lines[-1]
    made = hub.index.decision(last.decision_id) if last.decision_id is not None else None
    return last.global_id if made is not None and identifier in made.moved else "no decision"


def _dying(path: Path, change: Callable[[Opened], None], kill_at: int | None) -> None:
    hub = opened(path, 100)
    writes = iter(range(1, 10_000))

    def step(*_arguments: Any) -> None:
        if next(writes) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def writing(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("INSERT"):
            step()

    def commit_each(_connection: Any, cursor: Any, statement: str, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("INSERT") and "RETURNING" not in statement:
            cursor.connection.execute("COMMIT")
            cursor.connection.execute("BEGIN IMMEDIATE")

    event.listen(hub.database.engine, "before_cursor_execute", writing)
    if TORN:
        event.listen(hub.database.engine, "after_cursor_execute", commit_each)
    event.listen(hub.database.engine, "commit", step)
    change(hub)
    step()  # the last kill point: after the commit


def prepared(name: str) -> Path:
    path = ROOT / f"{name}.sqlite"
    hub = opened(path, 0)
    hub.database.create_all()
    for one in (OLD, NEW, LINKED):
        hub.feed.register(said(one))
    for earlier in CHANGES[name][0]:
        earlier(hub)
    with hub.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    hub.database.dispose()
    return path


def tried(name: str) -> tuple[int, ...]:
    base, change = prepared(name), CHANGES[name][1]
    whole = ROOT / f"{name}-whole.sqlite"
    shutil.copy(base, whole)
    in_child(partial(_dying, whole, change, None))
    before, after = snapshot(base), snapshot(whole)
    if before == after:
        sys.exit(f"{name} changed nothing")
    killed = untouched = complete = torn = disagreeing = 0
    for kill_at in range(1, MOST_WRITES):
        path = ROOT / f"{name}-{kill_at}.sqlite"
        shutil.copy(base, path)
        if not in_child(partial(_dying, path, change, kill_at)):
            break
        killed += 1
        left = snapshot(path)
        untouched += left == before
        complete += left == after
        torn += left not in (before, after)
        disagreeing += bool(disagreements(path))
        if not TORN:
            # The sender has no answer and sends it again.
            in_child(partial(_dying, path, change, None))
            if snapshot(path) != after:
                sys.exit(f"{name}: kill point {kill_at} was not made good")
    return killed, untouched, complete, torn, disagreeing


def main() -> None:
    print(json.dumps({name: tried(name) for name in CHANGES}))  # noqa: T201


if __name__ == "__main__":
    main()
