"""Whether the time of a refusal tells why a shared link was refused (row 86 of the bad inputs).

python -m benchmarks.passcodes [--samples 10000] [--full-cost]

Four kinds of refusal, in random order on one link each: a token that was never given out, a wrong
passcode, a link that is over, one that was withdrawn. With argon2 at its least cost, the default,
what is not hashing shows best; `--full-cost` is what an attacker meets. For each kind, by the clock
and by the processor: the median, the 5th and 95th percentile, and how often it took longer than a
refusal of a token never given out: one half is no signal.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from access_control.credentials import HashingCost, SecretHasher, new_token
from access_control.errors import LinkRefusedError
from access_control.shared_links import LinkPolicy, NewLink, SharedLinks, ShareRequest
from hub_kernel.clock import Clock, SystemClock
from hub_kernel.database import Database

_KEY, _ADDRESS, _WRONG, _STUDY = b"k" * 32, "203.0.113.7", "000000", "1.2.840.1"
_NEVER_LOCKED = LinkPolicy(failures=1 << 30, failures_in_all=1 << 30)
_WARMING = 200
_MEASURES = ("clock", "processor")
GUESSED = "never given out"


class _Yesterday(SystemClock):
    def now(self) -> datetime:
        """Return the moment one day ago, to make links that are over today."""
        return datetime.now(UTC) - timedelta(days=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--full-cost", action="store_true")
    asked = parser.parse_args()
    hasher = SecretHasher(None if asked.full_cost else HashingCost(1, 8))
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'hub.sqlite'}")
        database.create_all()
        found = measured(database, hasher, asked.samples)
        database.dispose()
    for kind, times in found.items():
        told = []
        for name, seconds, guessed in zip(_MEASURES, times, found[GUESSED], strict=True):
            low, middle, high = np.percentile(seconds * 1e6, (5, 50, 95))
            longer = share_longer(seconds, guessed)
            told.append(f"{name} {middle:.0f} us ({low:.0f} to {high:.0f}), longer {longer:.3f}")
        print(f"{kind:16}", "; ".join(told))


def measured(
    database: Database, hasher: SecretHasher, samples: int
) -> dict[str, NDArray[np.float64]]:
    """Return the seconds of so many refusals of each kind, a row for each measure."""

    def made(clock: Clock) -> NewLink:
        links = SharedLinks(database, clock, _KEY, hasher=hasher)
        return links.create(ShareRequest(_STUDY, "P1", "u", clock.now() + timedelta(hours=1)))

    today = SystemClock()
    links = SharedLinks(database, today, _KEY, policy=_NEVER_LOCKED, hasher=hasher)
    withdrawn, over, living = made(today), made(_Yesterday()), made(today)
    links.revoke(withdrawn.link_id)
    kinds: dict[str, Callable[[], tuple[str, str]]] = {
        GUESSED: lambda: (new_token(), _WRONG),
        "wrong passcode": lambda: (living.token, _WRONG),
        "over": lambda: (over.token, over.passcode),
        "withdrawn": lambda: (withdrawn.token, withdrawn.passcode),
    }
    order = list(kinds) * samples
    Random(86).shuffle(order)  # noqa: S311 - an order, no secret
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    gc.disable()
    for number, kind in enumerate([*order[:_WARMING], *order]):
        token, passcode = kinds[kind]()
        began, worked = time.perf_counter(), time.thread_time()
        with suppress(LinkRefusedError):
            links.open(token, passcode, _ADDRESS)
        took = (time.perf_counter() - began, time.thread_time() - worked)
        if number >= _WARMING:
            found[kind].append(took)
        if number % 1000 == 0:
            gc.collect()
    gc.enable()
    return {kind: np.array(took).T for kind, took in found.items()}


def share_longer(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return how often a value of `one` is above one of `other`, ties counting half."""
    below = np.searchsorted(np.sort(other), one, "left")
    upto = np.searchsorted(np.sort(other), one, "right")
    return float((below + upto).mean() / (2 * len(other)))


if __name__ == "__main__":
    main()
