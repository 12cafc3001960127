"""Take HL7 messages out of a byte stream (MLLP release 1: VT, message, FS, CR), within bounds."""

import threading
from collections.abc import Iterator

from patient_index.hl7v2.problems import Location, RefusedMessageError

START, END = b"\x0b", b"\x1c"
_BETWEEN = b"\r\n \0"
_UNBUDGETED = 64 * 1024
_STEP = 64 * 1024
_BEGINNING = 4096


class NotMllpError(Exception):
    """Bytes outside any frame: whoever sends them does not speak MLLP."""


class MemoryBudget:
    """How many bytes of unfinished messages all connections may hold together."""

    def __init__(self, total: int) -> None:
        self._lock = threading.Lock()
        self._left = total

    def take(self, count: int) -> bool:
        """Take `count` bytes; False when they are not there."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        """Return bytes taken before."""
        with self._lock:
            self._left += count


class FrameReader:
    """The unfinished message of one connection; not for several threads.

    A message up to 64 KiB needs nothing from the budget, so that honest messages are taken however
    many large ones are under way.
    """

    def __init__(self, max_bytes: int, budget: MemoryBudget) -> None:
        self._max_bytes = max_bytes
        self._budget = budget
        self._buffer = bytearray()
        self._taken = 0
        self.inside = False
        self.timed = False

    def take(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield every message that `data` finishes, without its frame.

        Raises:
            NotMllpError: bytes outside a frame that are no white space.
            RefusedMessageError: the message is too long, there is no memory for it, or another
                begins inside it.
        """
        rest = bytes(data)
        while rest:
            if not self.inside:
                rest = rest.lstrip(_BETWEEN)
                if not rest:
                    return
                if not rest.startswith(START):
                    raise NotMllpError
                self.inside, rest = True, rest[1:]
            piece, end, rest = rest.partition(END)
            self._add(piece)
            if end:
                message = bytes(self._buffer)
                self.clear()
                yield message

    @property
    def begun(self) -> bytes:
        """What has come of an unfinished message, at most its first 4096 bytes."""
        return bytes(self._buffer[:_BEGINNING])

    def clear(self) -> None:
        """Forget an unfinished message."""
        self._buffer = bytearray()
        self._budget.give_back(self._taken)
        self._taken = 0
        self.inside = False
        self.timed = False

    def _add(self, piece: bytes) -> None:
        size = len(self._buffer) + len(piece)
        if size > self._max_bytes:
            self._buffer += piece[:_BEGINNING]  # the answer names the message that it refuses
            allowed = f"<= {self._max_bytes} bytes"
            raise RefusedMessageError("too-long", Location("MSH"), allowed=allowed)
        if START in piece:
            raise RefusedMessageError("frame-in-frame", Location("MSH"), allowed="VT … FS CR")
        missing = size - _UNBUDGETED - self._taken
        if missing > 0:
            step = -(-missing // _STEP) * _STEP
            if not self._budget.take(step):
                raise RefusedMessageError("busy", Location("MSH"))
            self._taken += step
        self._buffer += piece


def framed(message: bytes) -> bytes:
    """Return a message in its frame."""
    return START + message + END + b"\r"
