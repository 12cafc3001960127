"""A pool of child processes that decode untrusted pixels within limits of memory and time.

A hostile instance costs a child and gives `UnrenderableInstanceError`; the hub does not notice.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from eir_versions import reasons
from eir_versions.cine import MovieSegment, segment_of
from eir_versions.errors import (
    DecoderPoolStoppedError,
    FrameNotFoundError,
    UnrenderableInstanceError,
)
from eir_versions.jobs import Picture, PictureJob
from eir_versions.on_disk import on_disk
from eir_versions.reports.model import ReportText
from eir_versions.reports.wire import KeyObject, key_object_of, report_of, steps_of
from eir_versions.wire import (
    FrameLayout,
    InstanceFacts,
    NativeFrame,
    PresentedImages,
    StoredFrame,
    Surroundings,
    WireError,
    facts_of,
    job_to_json,
    layout_of,
    picture_of,
    presented_images_of,
    receive_message,
    send_message,
    surroundings_of,
)

_START_TIMEOUT_S = 60.0
_TRIES = 3
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "XDG_DATA_DIRS", "XDG_DATA_HOME")
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)
# Memory of a picture is used again for the next one: given back to the kernel and asked for anew,
# page by page, it costs more than the work on a large picture. Up to 64 MB stay with an idle child.
_KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


@dataclass(frozen=True)
class PoolLimits:
    """How many children, and what each job may cost.

    `memory_mb` counts above what an idle child needs. `timeout_s` bounds the wall time of a job,
    and the processor time as well. A child is replaced after `jobs_per_child` jobs.
    """

    processes: int = 2
    memory_mb: int = 2048
    timeout_s: float = 60.0
    jobs_per_child: int = 1000


class DecoderPool:
    """Children start with their first job and are reused; `stop` ends them all.

    Safe to use from many threads: a caller waits while all children are busy.
    """

    def __init__(
        self, limits: PoolLimits | None = None, *, child: str = "eir_versions.decoding_child"
    ) -> None:
        self._limits = limits or PoolLimits()
        self._module = child
        self._slots = threading.BoundedSemaphore(self._limits.processes)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._stopped = False
        self._spawner: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Start one child ahead of the first job, so that the first reader need not wait for it."""
        with self._child():
            pass

    def stop(self) -> None:
        """End every child, at work or not; further jobs raise `DecoderPoolStoppedError`."""
        with self._lock:
            self._stopped = True
            children = [*self._idle, *self._busy]
            self._idle.clear()
            spawner, self._spawner = self._spawner, None
        for child in children:
            child.kill()
        if spawner is not None:
            spawner.shutdown(wait=True)

    def process_ids(self) -> tuple[int, ...]:
        """Return the process identifiers of the living children."""
        with self._lock:
            return tuple(child.process_id for child in (*self._idle, *self._busy))

    def picture(
        self, source: BinaryIO, job: PictureJob, presentation: BinaryIO | None = None
    ) -> Picture:
        """Return the picture of a job on the Part 10 file `source`.

        `presentation` is the file of a softcopy presentation state to be applied.

        Raises:
            UnrenderableInstanceError: with the reason, the child's death and its limits included.
            FrameNotFoundError: there is no such frame.
            DecoderPoolStoppedError: `stop` was called.
        """
        request = {"operation": "picture", "job": job_to_json(job)}
        head, body = self._run(source, request, presentation)
        with _answers_checked():
            return picture_of(head, body)

    def presented_images(self, source: BinaryIO) -> PresentedImages:
        """Return what the presentation state in `source` is for; raises as `picture` does."""
        head, body = self._run(source, {"operation": "presented_images"})
        with _answers_checked():
            return presented_images_of(head, body)

    def frame(self, source: BinaryIO, frame_number: int) -> StoredFrame:
        """Return the stored bytes of one frame; raises as `picture` does."""
        head, body = self._run(source, {"operation": "frame", "frame_number": frame_number})
        return StoredFrame(body, str(head.get("transfer_syntax_uid", ""))[:64])

    def native_frame(self, source: BinaryIO, frame_number: int) -> NativeFrame:
        """Return one frame decoded to native samples; raises as `picture` does."""
        head, body = self._run(source, {"operation": "native", "frame_number": frame_number})
        return NativeFrame(body, str(head.get("photometric", ""))[:16])

    def layout(self, source: BinaryIO) -> FrameLayout:
        """Return how the frames of an instance are made; raises as `picture` does."""
        head, _ = self._run(source, {"operation": "layout"})
        with _answers_checked():
            return layout_of(head)

    def encoded_frame(
        self, source: BinaryIO, frame_number: int, transfer_syntax_uid: str
    ) -> NativeFrame:
        """Return one frame compressed without loss, and proved so; raises as `picture` does."""
        request = {
            "operation": "encoded",
            "frame_number": frame_number,
            "transfer_syntax_uid": transfer_syntax_uid,
        }
        head, body = self._run(source, request)
        return NativeFrame(body, str(head.get("photometric", ""))[:16])

    def surroundings(
        self, source: BinaryIO, changes: Mapping[int, tuple[str, bytes]], *, implicit: bool
    ) -> Surroundings:
        """Return all but the pixels in little endian, with `changes` of top-level elements made.

        Raises as `picture` does.
        """
        written = [(tag, vr, value.hex()) for tag, (vr, value) in changes.items()]
        request = {"operation": "surroundings", "changes": written, "implicit": implicit}
        head, body = self._run(source, request)
        with _answers_checked():
            return surroundings_of(head, body)

    def movie_segment(self, source: BinaryIO, first_frame: int) -> MovieSegment:
        """Return the frames of one segment of a movie, encoded; raises as `picture` does."""
        head, body = self._run(source, {"operation": "movie", "first_frame": first_frame})
        try:
            return segment_of(head, body)
        except (KeyError, TypeError, ValueError) as error:
            raise UnrenderableInstanceError(reasons.DECODER_CRASHED) from error

    def facts(self, source: BinaryIO) -> InstanceFacts:
        """Return what selection rules need to know of the instance; raises as `picture` does."""
        head, _ = self._run(source, {"operation": "facts"})
        with _answers_checked():
            return facts_of(head)

    def answer(self, source: BinaryIO, request: dict[str, Any]) -> dict[str, Any]:
        """Return the head of what a child of another kind answers; raises as `picture` does."""
        return self._run(source, request)[0]

    def steps(
        self, source: BinaryIO, job: PictureJob, presentation: BinaryIO | None = None
    ) -> tuple[str, ...]:
        """Return what `picture` does with the same arguments, step by step; raises as it does."""
        request = {"operation": "steps", "job": job_to_json(job)}
        head, _ = self._run(source, request, presentation)
        with _answers_checked():
            return steps_of(head)

    def report(self, source: BinaryIO) -> ReportText:
        """Return what a DICOM document says; raises as `picture` does."""
        head, body = self._run(source, {"operation": "report"})
        with _answers_checked():
            return report_of(head, body)

    def key_object(self, source: BinaryIO) -> KeyObject:
        """Return what a key object selection selects; raises as `picture` does."""
        head, body = self._run(source, {"operation": "key_object"})
        with _answers_checked():
            return key_object_of(head, body)

    def _run(
        self, source: BinaryIO, request: dict[str, Any], second: BinaryIO | None = None
    ) -> tuple[dict[str, Any], bytes]:
        with contextlib.ExitStack() as stack:
            sources = (source,) if second is None else (source, second)
            descriptors = [stack.enter_context(on_disk(item)).fileno() for item in sources]
            head, body = self._ask(request, descriptors)
        error = head.get("error")
        if error == reasons.NO_SUCH_FRAME:
            raise FrameNotFoundError("there is no such frame")
        if error is not None:
            known = error if error in reasons.ALL_REASONS else reasons.UNREADABLE
            raise UnrenderableInstanceError(known)
        return head, body

    def _ask(self, request: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], bytes]:
        for _ in range(_TRIES):
            with self._child() as child:
                try:
                    return child.ask(request, descriptors, self._limits.timeout_s)
                except _NotAcceptedError:  # it was dead before it saw the job: not the job's fault
                    continue
        raise UnrenderableInstanceError(reasons.DECODER_CRASHED)

    @contextlib.contextmanager
    def _child(self) -> Iterator["_Child"]:
        with self._slots:
            child = self._take()
            try:
                yield child
            finally:
                self._give_back(child)

    def _take(self) -> "_Child":
        with self._lock:
            if self._stopped:
                raise DecoderPoolStoppedError("the decoder pool is stopped")
            while self._idle:
                child = self._idle.pop()
                if child.is_alive:
                    self._busy.add(child)
                    return child
                child.kill()
            if self._spawner is None:
                self._spawner = ThreadPoolExecutor(1, thread_name_prefix="decoder-spawner")
            spawned = self._spawner.submit(_Child.spawn, self._limits, self._module)
        child = spawned.result()
        with self._lock:
            self._busy.add(child)
            if not self._stopped:
                return child
        self._give_back(child)
        raise DecoderPoolStoppedError("the decoder pool is stopped")

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            self._busy.discard(child)
            tired = child.jobs_done >= self._limits.jobs_per_child
            if child.is_alive and not tired and not self._stopped:
                self._idle.append(child)
                return
        child.kill()


class _NotAcceptedError(Exception):
    """The child was gone before it took the job."""


class _Child:
    """One process and its end of the socket. Used by one thread at a time, but for `kill`."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self.jobs_done = 0

    @classmethod
    def spawn(cls, limits: PoolLimits, module: str) -> "_Child":
        """Start a child that runs `module`.

        Must run in a thread that outlives it: the kernel ends the child with it.

        Raises:
            UnrenderableInstanceError: it did not come up.
        """
        ours, theirs = socket.socketpair()
        # Any library may have given this process a default timeout, which the child would inherit
        # as a socket that never waits.
        theirs.settimeout(None)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-P",
                    "-m",
                    module,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    str(limits.memory_mb),
                ],
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        child = cls(process, ours)
        try:
            ours.settimeout(_START_TIMEOUT_S)
            receive_message(ours)
        except (WireError, OSError) as error:
            child.kill()
            raise UnrenderableInstanceError(reasons.DECODER_CRASHED) from error
        return child

    @property
    def is_alive(self) -> bool:
        """False once the process has ended, for whatever reason."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The process identifier."""
        return self._process.pid

    def ask(
        self, request: dict[str, Any], descriptors: list[int], timeout_s: float
    ) -> tuple[dict[str, Any], bytes]:
        """Have one job done; a child that fails is ended.

        Raises:
            UnrenderableInstanceError: decoder_crashed or decoder_timeout.
            _NotAcceptedError: the child had ended before.
        """
        deadline = time.monotonic() + timeout_s
        self.jobs_done += 1
        accepted = False
        try:
            self._connection.settimeout(timeout_s)
            send_message(self._connection, {**request, "cpu_s": timeout_s}, fds=descriptors)
            receive_message(self._connection)
            accepted = True
            head, body, _ = receive_message(self._connection)
        except TimeoutError as error:
            self.kill()
            raise UnrenderableInstanceError(reasons.DECODER_TIMEOUT) from error
        except (WireError, OSError) as error:
            self.kill()
            if not accepted:
                raise _NotAcceptedError from error
            late = time.monotonic() >= deadline  # the processor's time limit struck first
            reason = reasons.DECODER_TIMEOUT if late else reasons.DECODER_CRASHED
            raise UnrenderableInstanceError(reason) from error
        if head.get("error") == reasons.DECODER_OUT_OF_MEMORY:
            self.kill()  # a heap that has hit its ceiling is not used again
        return head, body

    def kill(self) -> None:
        """End the process and reap it; may be called twice and from any thread."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


@contextlib.contextmanager
def _answers_checked() -> Iterator[None]:
    try:
        yield
    except WireError as error:
        raise UnrenderableInstanceError(reasons.DECODER_CRASHED) from error


def _environment() -> dict[str, str]:
    """Nothing of the hub's own environment: a setting given there may be a secret."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    root = str(Path(__file__).resolve().parent.parent)
    return {**kept, **_ONE_THREAD, **_KEPT_MEMORY, "PYTHONPATH": root}
