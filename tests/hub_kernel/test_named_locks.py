"""Locks by name, on both databases: one holder at a time, freed by whoever ends."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_kernel.database import Database
from hub_kernel.named_locks import held_alone
from tests.support.postgresql import PostgresqlServer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
HOLDER = """
import sys
from hub_kernel.database import Database
from hub_kernel.named_locks import held_alone

with held_alone(Database(sys.argv[1]), "job") as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.sqlite'}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    with server.bare_database() as url:
        yield url


def test_one_holds_a_name_and_others_do_without(url: str) -> None:
    one, other = Database(url), Database(url)
    with held_alone(one, "job") as held:
        assert held
        with held_alone(other, "job") as second, held_alone(other, "another job") as third:
            assert (second, third) == (False, True)
        with held_alone(one, "job") as again:
            assert not again, "the same process is somebody else, too"
    with held_alone(other, "job") as freed:
        assert freed
    one.dispose()
    other.dispose()


def test_a_holder_that_is_killed_lets_go(url: str) -> None:
    database = Database(url)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"True\n"
        with held_alone(database, "job") as held:
            assert not held
        holder.kill()
        with held_alone(database, "job", patience_s=PATIENCE_S) as held:
            assert held
    database.dispose()
