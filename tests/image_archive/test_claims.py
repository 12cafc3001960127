"""Claims: one holder at a time, in one process and between processes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from image_archive.claims import Claims

DEADLINE_S = 20
HOLDER = """
import os, sys
from image_archive.claims import Claims
Claims(int(sys.argv[1])).hold("1.2.3")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims.at(tmp_path / "claims")


def test_a_name_is_held_by_one_thread_at_a_time(claims: Claims) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            claims.hold("1.2.3")
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)
            claims.release("1.2.3")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(most) == 400
    assert max(most) == 1


def test_other_names_do_not_wait(claims: Claims) -> None:
    claims.hold("a")
    claims.hold("b")
    claims.release("a")
    claims.hold("a")


def test_those_who_mean_the_same_share_a_name_and_others_wait_for_the_last(
    claims: Claims, tmp_path: Path
) -> None:
    claims.hold("study", "patient")
    claims.hold("study", "patient")
    elsewhere = Claims.at(tmp_path / "claims")
    held = threading.Event()

    def hold(there: Claims, meaning: str) -> None:
        there.hold("study", meaning)
        held.set()
        there.release("study")

    waiting = [
        threading.Thread(target=hold, args=(claims, "another patient")),
        threading.Thread(target=hold, args=(elsewhere, "patient")),
    ]
    for thread in waiting:
        thread.start()
    claims.release("study")
    assert not held.wait(0.1)
    claims.release("study")
    for thread in waiting:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_a_claim_ends_with_the_last_process_that_has_its_file_open(tmp_path: Path) -> None:
    """A parent keeps the claims of a child that was killed until it has finished its work."""
    inherited = (tmp_path / "claims").open("w+b")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(inherited.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[inherited.fileno()],
    )
    assert child.stdout
    assert child.stdout.readline() == b"held\n"
    child.kill()
    child.communicate()
    held = threading.Event()

    def hold() -> None:
        Claims.at(tmp_path / "claims").hold("1.2.3")
        held.set()

    waiting = threading.Thread(target=hold)
    waiting.start()
    assert not held.wait(0.1)
    inherited.close()
    assert held.wait(DEADLINE_S)
    waiting.join(DEADLINE_S)
