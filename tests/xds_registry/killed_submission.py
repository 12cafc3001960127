"""Run as a program: register by ITI-42 again and again, each killed one statement later.

Each submission replaces a document that is in a folder. Prints how many children were killed, how
many of those had left nothing, and how many everything.
"""

import os
import signal
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import func, select  # noqa: E402

from tests.support.statements import listen  # noqa: E402
from tests.xds_registry import wire  # noqa: E402
from tests.xds_registry.samples import entry  # noqa: E402
from tests.xds_registry.submitted import (  # noqa: E402
    ITI42,
    folder,
    of,
    related,
    request,
    with_folder,
)
from tests.xds_registry.trial import Trial, trial  # noqa: E402
from xds_registry.model import (  # noqa: E402
    AssociationType,
    AvailabilityStatus,
    Submission,
)
from xds_registry.tables import (  # noqa: E402
    DocumentEntryRow,
    SubmissionSetRow,
    XdsAssociationRow,
)
from xds_registry.tables_codes import CodeIndexRow  # noqa: E402

ROOT = Path(sys.argv[1])
MOST_STATEMENTS = 80
# What one replacement adds: the set; the entry; membership, relation, and in the folder, with the
# membership of that; the codes of the entry.
STEP = (1, 1, 4, 2)


def send(here: Trial, sent: Submission) -> None:
    """Register, in this process."""
    data = wire.envelope(request(sent), ITI42)
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/soap+xml",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": BytesIO(data),
        "REMOTE_ADDR": "127.0.0.1",
        "PATH_INFO": "/xds/registry",
        "SCRIPT_NAME": "",
    }
    answer = b"".join(here.application(environ, lambda *_: None))
    if b"ResponseStatusType:Success" not in answer:
        raise RuntimeError(answer.decode())


def replacing(patient: str, number: int) -> Submission:
    """Return what replaces document `number - 1` by document `number`."""
    sent = of(patient, f"d{number}", event_codes=())
    return related(AssociationType.REPLACES, sent, entry(f"d{number - 1}"))


def state(here: Trial) -> tuple[int, ...]:
    """Return how many rows of each kind there are."""
    tables = (SubmissionSetRow, DocumentEntryRow, XdsAssociationRow, CodeIndexRow)
    with here.database.read() as session:
        return tuple(session.scalar(select(func.count()).select_from(t)) or 0 for t in tables)


def approved(here: Trial) -> list[str]:
    """Return the documents that are in force."""
    in_force = DocumentEntryRow.status == AvailabilityStatus.APPROVED
    with here.database.read() as session:
        return list(session.scalars(select(DocumentEntryRow.entry_uuid).where(in_force)))


def killing(kill_at: int | None) -> Callable[..., None]:
    """Return what ends the process at its call number `kill_at`."""
    steps = iter(range(1, 10_000))

    def step(*_arguments: Any) -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def in_child(number: int, kill_at: int | None) -> bool:
    """Register document `number` in a child that may be killed; return whether it was."""
    child = os.fork()
    if child == 0:
        try:
            with trial(ROOT, create=False) as here:
                patient, step = here.know("P-1"), killing(kill_at)
                engine = here.database.engine
                listen(engine, lambda said: None if said.startswith("PRAGMA") else step())
                send(here, replacing(patient, number))
                step()  # the last kill point: after the commit
        except BaseException as error:  # noqa: BLE001 (a forked child must end here)
            print(repr(error), file=sys.stderr)  # noqa: T201
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        sys.exit("a child failed")
    return os.WIFSIGNALED(status)


def observed() -> tuple[tuple[int, ...], list[str]]:
    with trial(ROOT, create=False) as here:
        return state(here), approved(here)


def main() -> None:
    with trial(ROOT) as here:
        patient = here.know("P-1")
        send(here, with_folder(of(patient, "d0", event_codes=()), folder(patient)))
    killed = nothing = everything = 0
    for number in range(1, MOST_STATEMENTS):
        before, current = observed()
        was_killed = in_child(number, number)
        after, now = observed()
        added = tuple(new - old for new, old in zip(after, before, strict=True))
        if added not in ((0,) * len(STEP), STEP) or len(now) != 1:
            sys.exit(f"kill point {number} tore the submission: {added} {now}")
        if (added == STEP) != (now != current):
            sys.exit(f"kill point {number}: the replaced document does not follow the new one")
        killed += was_killed
        nothing += was_killed and added != STEP
        everything += was_killed and added == STEP
        if added != STEP:
            in_child(number, None)  # sent again
        if not was_killed:
            break
    else:
        sys.exit("there are more kill points than were tried")
    print(killed, nothing, everything)  # noqa: T201


if __name__ == "__main__":
    main()
