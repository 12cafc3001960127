"""Pictures that were drawn lately, by everything that decides about their pixels.

Whoever asks has been let in before: nothing here knows of readers. Losing one costs a drawing.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from eir_versions.jobs import Picture, PictureJob

_SHARE = 8


@dataclass(frozen=True)
class Drawn:
    """What a picture was drawn of: digests of the image and of the presentation state, the job.

    Who draws stays the same as long as the process lives, so it need not be named.
    """

    dataset_sha256: str
    state_sha256: str
    job: PictureJob


@dataclass
class PictureMemory:
    """At most so many bytes of pictures, those least asked for forgotten first.

    A picture of more than an eighth of that is not kept. What was drawn of damaged bytes must not
    outlive their repair: all are forgotten when `repairs` gives another number, and none is kept
    for longer than `longest_s`, as the repair may have been made on another machine.
    """

    most_bytes: int
    longest_s: float = 600.0
    now: Callable[[], float] = time.monotonic
    repairs: Callable[[], int] = lambda: 0
    _pictures: OrderedDict[Drawn, tuple[Picture, float]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _repairs: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, drawn: Drawn) -> Picture | None:
        """Return the picture, None where it is not kept."""
        with self._lock:
            self._forget_after_repairs()
            picture, since = self._pictures.get(drawn, (None, 0.0))
            if picture is None or self.now() - since > self.longest_s:
                return None
            self._pictures.move_to_end(drawn)
            return picture

    def put(self, drawn: Drawn, picture: Picture) -> None:
        """Keep a picture; one of a dataset without a digest is not told apart, and not kept."""
        if not drawn.dataset_sha256 or len(picture.data) > self.most_bytes // _SHARE:
            return
        with self._lock:
            self._forget_after_repairs()
            before, _ = self._pictures.pop(drawn, (None, 0.0))
            self._bytes += len(picture.data) - (len(before.data) if before else 0)
            self._pictures[drawn] = picture, self.now()
            while self._bytes > self.most_bytes:
                self._bytes -= len(self._pictures.popitem(last=False)[1][0].data)

    def _forget_after_repairs(self) -> None:
        repairs = self.repairs()
        if repairs != self._repairs:
            self._pictures.clear()
            self._bytes, self._repairs = 0, repairs
