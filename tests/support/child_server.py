"""A server of the tests' own as a child process: killed, frozen, and gone when the tests are."""

import ctypes
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1


@dataclass
class ChildServer:
    """What every such server can be made to suffer; `process` is None while it is not running."""

    process: "subprocess.Popen[bytes] | None" = None

    def kill(self) -> None:
        """End it at once; what it had stored is there when it starts again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and never answers, for as long as the block runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process when the tests are killed and cannot."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)
