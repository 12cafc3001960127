"""The decoder pool: what hostile bytes cost, and that the limits are what protects."""

import contextlib
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from eir_versions import reasons
from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.errors import (
    DecoderPoolStoppedError,
    FrameNotFoundError,
    UnrenderableInstanceError,
)
from eir_versions.jobs import JPEG, PictureJob
from image_archive.file_meta import read_file_meta
from tests.eir_versions.builders import SAMPLES, TEST_FILES, image_dataset, part10
from tests.support.waiting import eventually

HONEST = part10(image_dataset(np.arange(4096, dtype=np.uint16).reshape(64, 64)))
DEFLATED = "1.2.840.10008.1.2.1.99"
ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running(limits: PoolLimits) -> Iterator[DecoderPool]:
    pool = DecoderPool(limits)
    try:
        yield pool
    finally:
        pool.stop()


def bomb(megabytes: int) -> bytes:
    """A deflated object of a few hundred kilobytes that unpacks to that size."""
    small = part10(image_dataset(np.zeros((64, 64), np.uint16)), DEFLATED)
    offset = read_file_meta(small).dataset_offset
    plain = zlib.decompress(small[offset:], -zlib.MAX_WBITS)
    head = plain[: plain.index(b"\xe0\x7f\x10\x00OW\0\0") + 8]
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(head + struct.pack("<L", megabytes << 20))
    packed += b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes))
    return small[:offset] + packed + packer.flush()


def draw(pool: DecoderPool, data: bytes = HONEST) -> str:
    """Media type of the picture, or the reason why there is none."""
    try:
        return pool.picture(io.BytesIO(data), PictureJob()).media_type
    except UnrenderableInstanceError as error:
        return error.reason


def test_a_picture_a_frame_and_facts_come_from_a_child(pool: DecoderPool) -> None:
    with (SAMPLES / "emri_small.dcm").open("rb") as source:
        picture = pool.picture(source, PictureJob(frame_number=3))
        frame = pool.frame(source, 10)
        facts = pool.facts(source)
    assert (picture.width, picture.height, picture.media_type) == (64, 64, JPEG)
    assert (len(frame.data), frame.transfer_syntax_uid) == (64 * 64 * 2, "1.2.840.10008.1.2.1")
    assert (facts.number_of_frames, facts.burned_in_annotation) == (10, "NO")
    assert facts.body_part == "HEAD"
    assert os.getpid() not in pool.process_ids()


def test_nothing_runs_before_the_first_job_and_nothing_after_stop() -> None:
    pool = DecoderPool(PoolLimits(processes=1))
    assert pool.process_ids() == ()
    assert draw(pool) == JPEG
    (child,) = pool.process_ids()
    pool.stop()
    assert not psutil.pid_exists(child)
    with pytest.raises(DecoderPoolStoppedError):
        pool.facts(io.BytesIO(HONEST))


def test_a_killed_idle_child_is_replaced_without_anyone_noticing() -> None:
    with running(PoolLimits(processes=1)) as pool:
        pool.start()
        (first,) = pool.process_ids()
        os.kill(first, signal.SIGKILL)
        assert draw(pool) == JPEG
        assert pool.process_ids() != (first,)


def test_a_child_killed_at_work_costs_its_job_and_nothing_else() -> None:
    with running(PoolLimits(processes=1)) as pool:
        pool.start()
        (child,) = pool.process_ids()
        process = psutil.Process(child)
        idle_s = process.cpu_times().user
        answers: list[str] = []
        slow = bomb(250)
        worker = threading.Thread(target=lambda: answers.append(draw(pool, slow)))
        worker.start()
        eventually(lambda: process.cpu_times().user > idle_s + 0.02)
        os.kill(child, signal.SIGKILL)
        worker.join()
        assert answers == [reasons.DECODER_CRASHED]
        assert draw(pool) == JPEG


def test_too_long_a_job_ends_its_child_and_a_longer_limit_would_not() -> None:
    slow = bomb(250)
    with running(PoolLimits(processes=1, timeout_s=0.05)) as pool:
        pool.start()
        (child,) = pool.process_ids()
        assert draw(pool, slow) == reasons.DECODER_TIMEOUT
        assert not psutil.pid_exists(child)
        pool._limits = PoolLimits(timeout_s=60.0)  # the control
        assert draw(pool, slow) == JPEG


def test_a_decompression_bomb_meets_the_memory_limit_and_only_that() -> None:
    hostile = bomb(200)
    assert len(hostile) < 2 << 20
    with running(PoolLimits(processes=1, memory_mb=96)) as pool:
        assert draw(pool, hostile) == reasons.DECODER_OUT_OF_MEMORY
        assert draw(pool) == JPEG
    with running(PoolLimits(processes=1, memory_mb=2048)) as pool:
        assert draw(pool, hostile) == JPEG  # the control: without the limit it would have grown


def test_processor_time_is_limited_too() -> None:
    with running(PoolLimits(processes=1, timeout_s=30.0)) as pool:
        assert draw(pool) == JPEG
        (child,) = pool.process_ids()
        soft, _ = psutil.Process(child).rlimit(psutil.RLIMIT_CPU)
        assert 30 <= soft <= 40


def test_a_child_can_write_no_file_and_open_few() -> None:
    with running(PoolLimits(processes=1)) as pool:
        pool.start()
        (child,) = pool.process_ids()
        process = psutil.Process(child)
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_NOFILE)[1] <= 64


def test_a_child_sees_no_setting_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EIRHUB_DATABASE__URL", "postgresql://user:secret@host/hub")
    with running(PoolLimits(processes=1)) as pool:
        pool.start()
        (child,) = pool.process_ids()
        assert not [name for name in psutil.Process(child).environ() if "EIRHUB" in name]


def test_children_die_with_the_hub_even_when_it_is_killed() -> None:
    script = (
        "from eir_versions.decoding import DecoderPool, PoolLimits\n"
        "pool = DecoderPool(PoolLimits(processes=1)); pool.start()\n"
        "print(*pool.process_ids(), flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as hub:
        assert hub.stdout is not None
        child = int(hub.stdout.readline())
        os.kill(child, signal.SIGSTOP)  # it cannot notice the closed socket by itself
        hub.kill()
    eventually(lambda: not psutil.pid_exists(child) or _is_zombie(child))


def _is_zombie(process_id: int) -> bool:
    try:
        return bool(psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_child_outlives_the_thread_that_first_asked() -> None:
    with running(PoolLimits(processes=1)) as pool:
        thread = threading.Thread(target=pool.start)
        thread.start()
        thread.join()
        (child,) = pool.process_ids()
        assert draw(pool) == JPEG
        assert pool.process_ids() == (child,)


def test_a_tired_child_is_replaced() -> None:
    with running(PoolLimits(processes=1, jobs_per_child=2)) as pool:
        assert [draw(pool) for _ in range(5)] == [JPEG] * 5
        assert len(pool.process_ids()) == 1


def test_many_threads_share_few_children() -> None:
    with running(PoolLimits(processes=2)) as pool:
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(draw(pool))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == [JPEG] * 12
        assert len(pool.process_ids()) <= 2


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"\0" * 200, b"\0" * 128 + b"DICM", b"MZ" + b"\0" * 126 + b"DICM" + b"\xff" * 50],
    ids=["empty", "zeros", "DICM only", "MZ"],
)
def test_rubbish_is_unreadable_and_the_child_lives_on(pool: DecoderPool, rubbish: bytes) -> None:
    assert draw(pool, rubbish) in reasons.ALL_REASONS
    assert draw(pool) == JPEG


def test_a_frame_that_does_not_exist_is_told_apart(pool: DecoderPool) -> None:
    with pytest.raises(FrameNotFoundError):
        pool.frame(io.BytesIO(HONEST), 2)
    with pytest.raises(FrameNotFoundError):
        pool.picture(io.BytesIO(HONEST), PictureJob(frame_number=0))


@pytest.mark.parametrize("name", ["rtdose_1frame.dcm", "rtdose.dcm"])
def test_a_file_that_aborts_other_servers_is_shown(pool: DecoderPool, name: str) -> None:
    assert draw(pool, (TEST_FILES / name).read_bytes()) == JPEG


def test_mutated_codestreams_never_take_the_pool_down(pool: DecoderPool) -> None:
    random = np.random.default_rng(20261121)
    names = ["JPEG-lossy.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"]
    for name in [*names, "MR_small_RLE.dcm", "SC_rgb_jpeg.dcm"]:
        original = (TEST_FILES / name).read_bytes()
        start = original.rindex(b"\xe0\x7f\x10\x00") + 12
        for _ in range(15):
            data = bytearray(original)
            for place in random.integers(start, len(data), size=8):
                data[place] = int(random.integers(256))
            assert draw(pool, bytes(data)) in {JPEG, *reasons.ALL_REASONS}
    assert draw(pool) == JPEG


def test_a_default_timeout_of_the_process_reaches_no_child() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5.0)  # as libraries do, for everybody in the process
    try:
        with running(PoolLimits(processes=1, jobs_per_child=1)) as pool:
            assert [draw(pool) for _ in range(4)] == [JPEG] * 4
    finally:
        socket.setdefaulttimeout(before)
