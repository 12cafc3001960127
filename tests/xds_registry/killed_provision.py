"""Run as a program: provide and register, each killed one step later; look at what is left.

Prints, as numbers: children killed; of those, submissions with nothing registered; with everything;
and objects whose bytes were reclaimed afterwards. With `torn` the program registers without the
repository's order (bytes last), as a control: it must be found out.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import func, select  # noqa: E402

from hub_kernel.errors import NotFoundError  # noqa: E402
from image_archive.backends import filesystem  # noqa: E402
from tests.support.kill_steps import in_child  # noqa: E402
from tests.support.statements import listen, writes  # noqa: E402
from tests.xds_registry import provided  # noqa: E402
from tests.xds_registry.provided import Sent, described  # noqa: E402
from tests.xds_registry.trial import Trial, trial  # noqa: E402
from xds_registry.received_parts import ReceivedPart  # noqa: E402
from xds_registry.repository_intake import DocumentIntake  # noqa: E402
from xds_registry.tables import (  # noqa: E402
    DocumentEntryRow,
    RepositoryDocumentRow,
    SubmissionSetRow,
)

ROOT = Path(sys.argv[1])
TORN = "torn" in sys.argv
MOST_STEPS = 200
PATIENT = "P-1"


@dataclass(frozen=True)
class State:
    """What is registered, and how many of the documents named have all their bytes."""

    entries: int
    sets: int
    documents: int
    whole: int


def request(number: int) -> bytes:
    cx = f"{PATIENT}^^^&1.3.6.1.4.1.21367.2005.13.20.1000&ISO"
    sent = [
        Sent(described(cx, f"{number}-{one}"), f"document {number} {one}".encode() * 1000)
        for one in (1, 2)
    ]
    return provided.provide(*sent)


def count_steps(here: Trial, kill_at: int | None) -> Callable[[], None]:
    """Die at the write statement, commit, write, flush or rename number `kill_at`.

    Returns one more step to take.
    """
    steps = iter(range(1, 100_000))

    def step(*_arguments: Any) -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(statement: str) -> None:
        if writes(statement):
            step()

    listen(here.database.engine, heard)
    for name in ("write", "publish"):
        original = getattr(filesystem.PendingFile, name)
        setattr(filesystem.PendingFile, name, _stepping(original, step))
    together = filesystem.FilesystemBackend.publish_together
    filesystem.FilesystemBackend.publish_together = _stepping(together, step)  # type: ignore[method-assign]
    return step


def _stepping(original: Any, step: Any) -> Any:
    def stepping(*arguments: Any) -> Any:
        step()
        result = original(*arguments)
        step()
        return result

    return stepping


def tear() -> None:
    """Publish nothing before the transaction, and believe that the bytes are there."""
    late: list[ReceivedPart] = []
    DocumentIntake.make_durable = lambda _self, parts: late.extend(parts)  # type: ignore[assignment,method-assign]
    DocumentIntake.claim = lambda _self, _session, _keys: None  # type: ignore[assignment,method-assign]


def provide(number: int, kill_at: int | None) -> None:
    with trial(ROOT, create=False) as here:
        step = count_steps(here, kill_at)
        if TORN:
            tear()
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": provided.CONTENT_TYPE,
            "wsgi.input": BytesIO(body := request(number)),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        }
        answer = b"".join(
            here.registry.repository_app(environ, lambda status, _headers: statuses.append(status))
        )
        if b"ResponseStatusType:Success" not in answer:
            print(answer.decode(), file=sys.stderr)  # noqa: T201
            os._exit(1)
        step()  # the last kill point: committed, and not answered


def run(number: int, kill_at: int | None) -> bool:
    """Return whether the child was killed."""
    return in_child(lambda: provide(number, kill_at))


def state(here: Trial) -> State:
    with here.database.read() as session:
        entries, sets, documents = (
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (DocumentEntryRow, SubmissionSetRow, RepositoryDocumentRow)
        )
        rows = session.execute(
            select(RepositoryDocumentRow.storage_key, RepositoryDocumentRow.size)
        ).all()
    whole = sum(_size(here, key) == size for key, size in rows)
    return State(entries, sets, documents, whole)


def _size(here: Trial, key: str) -> int:
    try:
        return here.backend.size(key)
    except NotFoundError:
        return -1


def main() -> None:
    with trial(ROOT) as here:
        here.know(PATIENT)
    killed = untouched = registered = reclaimed = 0
    for number in range(1, MOST_STEPS):
        with trial(ROOT, create=False) as here:
            before = state(here)
        cut_off = run(number, number)
        with trial(ROOT, create=False) as here:
            after = state(here)
            added = (after.entries - before.entries, after.sets - before.sets)
            added += (after.documents - before.documents,)
            if added not in ((0, 0, 0), (2, 1, 2)) or after.whole != after.documents:
                sys.exit(f"kill point {number} tore the submission: {before} {after}")
            if not cut_off:
                break
            killed += 1
            untouched += added == (0, 0, 0)
            registered += added == (2, 1, 2)
            reclaimed += sweep(here)
            if len(list(here.backend.keys("documents"))) != after.documents:
                sys.exit(f"kill point {number} left bytes without a name")
            if state(here) != after:
                sys.exit(f"kill point {number}: the sweep took a document")
        if added == (0, 0, 0):
            run(number, None)  # the source sends it again
    print(killed, untouched, registered, reclaimed)  # noqa: T201


def sweep(here: Trial) -> int:
    """Reclaim as a hub does much later."""
    here.backend.discard_abandoned()
    return DocumentIntake(here.database, here.backend, grace_s=0).sweep()


if __name__ == "__main__":
    main()
