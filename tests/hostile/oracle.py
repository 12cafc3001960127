"""After every attack: the hub is as good as before, and nothing came back that should not."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.dicom_router.wire import ASSOCIATE_AC, RawPeer, RequestParts, echo_rq
from tests.hostile.arena import HONEST, Arena, Trial
from tests.hostile.datasets import SECRETS
from tests.support.waiting import WAIT_S, comes_about

HONEST_S = 1.0
# An honest peer that meets a busy moment of this machine asks again; one that is shut out for
# longer than a few seconds is shut out.
_TRIES = 5
GROWTH_BYTES = 64 << 20
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
# Every name in the store is one the hub made: dates, hashes and temporary numbers.
_IN_STORE = re.compile(
    r"data/archive/(incoming/[0-9]+-[0-9a-f]+-[0-9]+|shared/claims|[a-z]+(/[0-9a-f]+)*)"
)
# A decoder that is being started is a copy of the hub until it runs its own program.
_BEING_STARTED_S = 1.0


@dataclass
class Seen:
    """What one attack cost."""

    seconds: float = 0.0
    grown_bytes: int = 0
    complaints: list[str] = field(default_factory=list)


def processes(arena: Arena) -> list[psutil.Process]:
    """The hub's own processes; decoder children may die and come back."""
    main = psutil.Process(arena.hub.process.pid)
    return [one for one in (main, *main.children(recursive=True)) if _is_the_hubs_own(one)]


def _is_the_hubs_own(process: psutil.Process) -> bool:
    try:
        decoder = any("decoding_child" in word for word in process.cmdline())
        young = time.time() - process.create_time() < _BEING_STARTED_S
        return not (decoder or young) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def watched(arena: Arena, trial: Trial, *, patience_s: float = WAIT_S) -> Iterator[Seen]:
    """Watch the hub through one attack; every broken promise is one of the `complaints`.

    What follows the attack is waited for that long.
    """
    seen = Seen()
    alive = {one.pid for one in processes(arena)}
    growth = peak_growth(arena)
    audited = _audited(arena, "")
    read = arena.log.stat().st_size
    files = _files(arena)
    started = time.monotonic()
    yield seen
    seen.seconds = time.monotonic() - started
    complain = seen.complaints.append
    if not comes_about(lambda: {one.pid for one in processes(arena)} == alive, within_s=patience_s):
        complain("other processes run than before")
        return
    seen.grown_bytes = growth()
    if seen.grown_bytes > GROWTH_BYTES:
        complain(f"memory grew by {seen.grown_bytes >> 20} MiB")
    for what, answered in (("C-ECHO", echo_s(arena)), ("a page", page_s(arena))):
        if answered > HONEST_S:
            complain(f"an honest peer waited {answered:.1f} s for {what}")
    if not comes_about(lambda: _audited(arena, trial.address) > audited, within_s=patience_s):
        complain("no audit event was written")
    if not comes_about(lambda: not arena.half_received(), within_s=patience_s):
        complain("a temporary file is left")
    seen.complaints += _misplaced(_files(arena) - files)
    seen.complaints += _leaks(b"".join(trial.heard), "answer", heard=True)
    seen.complaints += _leaks(arena.log.read_bytes()[read:], "log", heard=False)


def peak_growth(arena: Arena) -> Callable[[], int]:
    """What tells by how many bytes the hub has grown at most since this call."""
    measured = processes(arena)
    before = sum(one.memory_info().rss for one in measured)
    for one in measured:
        Path(f"/proc/{one.pid}/clear_refs").write_text("5")  # forget the peak so far

    def growth() -> int:
        peaks = (Path(f"/proc/{one.pid}/status").read_text() for one in measured)
        kilobytes = sum(int(_PEAK.findall(status)[0]) for status in peaks)
        return max(0, kilobytes * 1024 - before)

    return growth


def echo_s(arena: Arena) -> float:
    """How long an honest peer waits for its C-ECHO, association included."""
    return _best(lambda: _asks_echo(RawPeer(arena.hub.dicom_port, HONEST_S)))


def tls_echo_s(arena: Arena) -> float:
    """The same over TLS, handshake included."""
    return _best(lambda: _asks_echo(Trial(arena, 0, patience_s=HONEST_S).tls_peer("honest")))


def page_s(arena: Arena) -> float:
    """How long an honest reader waits for a page."""
    return _best(lambda: arena.get("/sign-in", timeout_s=HONEST_S).status == 200)


def _asks_echo(calling: RawPeer) -> bool:
    with calling as peer:
        if peer.associate(RequestParts(calling=HONEST))[0] != ASSOCIATE_AC:
            return False
        peer.send(echo_rq())
        return peer.status() == 0


def _best(ask: Callable[[], bool]) -> float:
    best = float("inf")
    for _ in range(_TRIES):
        started = time.monotonic()
        try:
            answered = ask()
        except OSError:
            answered = False
        if answered:
            best = min(best, time.monotonic() - started)
        if best <= HONEST_S:
            break
    return best


def _audited(arena: Arena, address: str) -> int:
    """The newest audit record that names `address`; of them all when it is empty."""
    named = f'%"{address}"%' if address else "%"
    newest = arena.rows("SELECT max(sequence) FROM audit_record WHERE message LIKE ?", named)
    return int(newest[0][0] or 0)


def _files(arena: Arena) -> set[str]:
    """Everything below the hub's folder, where its process was started too."""
    return {path.relative_to(arena.base).as_posix() for path in arena.base.rglob("*")}


def _misplaced(new: set[str]) -> list[str]:
    """New files that do not lie where the store puts its own, under names it made itself."""
    return [
        f"written where nothing belongs: {path!r}"
        for path in sorted(new)
        if not _IN_STORE.fullmatch(path)
    ]


def _leaks(data: bytes, where: str, *, heard: bool) -> list[str]:
    found = [f"{secret.decode()} in the {where}" for secret in SECRETS if secret in data]
    if b"Traceback" in data or (not heard and b'"exception"' in data):
        found.append(f"a traceback in the {where}")
    return found
