"""Controls for the oracle: a hub that breaks one promise for each calling AE title nobody knows.

GROW takes memory, WRITE writes beside the store, STALL lets everybody wait, LEAK tells a patient's
name, TRACE lets an exception out, MUTE keeps no record, DIE ends. A table of bad inputs that
passes with it proves nothing.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dicom_router.association_audit import AssociationAudit
from dicom_router.door import Door
from hub_runtime.cli import main

_STALL_S = 8.0
_hoard: list[bytes] = []
_stalled_until = [0.0]


def _write() -> None:
    Path(sys.argv[sys.argv.index("--data") + 1]).with_name("elsewhere").write_text("x")


def _stall() -> None:
    _stalled_until[0] = time.monotonic() + _STALL_S


def _trace() -> None:
    try:
        int("broken")
    except ValueError:
        logging.getLogger(__name__).exception("a connection failed")


MISDEEDS: dict[str, Callable[[], object]] = {
    "GROW": lambda: _hoard.append(b"x" * (100 << 20)),
    "WRITE": _write,
    "STALL": _stall,
    "LEAK": lambda: logging.getLogger(__name__).warning("refused GEHEIMNAME^Person"),
    "TRACE": _trace,
    "DIE": lambda: os._exit(1),
}


def misbehave() -> None:
    honest_refused, honest_enter = AssociationAudit.refused, Door.enter

    def refused(self: AssociationAudit, address: str, title: str, reason: str) -> None:
        MISDEEDS.get(title, lambda: None)()
        if title != "MUTE":
            honest_refused(self, address, title, reason)

    def enter(self: Door, connection: object) -> None:
        time.sleep(max(0.0, _stalled_until[0] - time.monotonic()))
        honest_enter(self, connection)  # type: ignore[arg-type]

    AssociationAudit.refused = refused  # type: ignore[method-assign]
    Door.enter = enter  # type: ignore[method-assign]


if __name__ == "__main__":
    misbehave()
    main()
