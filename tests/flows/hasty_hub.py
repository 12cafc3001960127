"""Controls for the durability tests: hubs that break the promise, each in one way.

`answers-early` answers a C-STORE before anything is durable or recorded; `never-flushes` leaves out
every flush of files and folders. A test of durability that they pass proves nothing.
"""

import os
import sys
import threading

from hub_runtime.cli import main
from image_archive.model import StoreOutcome
from image_archive.receiving import IncomingInstance

_LATER_S = 0.3


def answer_early() -> None:
    honest = IncomingInstance.commit

    def commit(self: IncomingInstance) -> StoreOutcome:
        threading.Timer(_LATER_S, honest, (self,)).start()
        return StoreOutcome.STORED

    IncomingInstance.commit = commit  # type: ignore[method-assign]


def never_flush() -> None:
    os.fsync = os.fdatasync = lambda _descriptor: None  # type: ignore[assignment]


if __name__ == "__main__":
    {"answers-early": answer_early, "never-flushes": never_flush}[sys.argv.pop(1)]()
    main()
