"""`eirhub registry verify` as an operator runs it: exit code, words, JSON."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub_kernel.database import Database
from tests.support.serving_hub import eirhub
from xds_registry.tables_subscriptions import PARKED, NotificationRow, SubscriptionRow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    added = eirhub(
        "site", "add", "sijing", "--name", "泗泾", "--ae-title", "SIJING_CR",
        "--namespace", "SIJING", "--oid", "1.2.3", data=tmp_path / "data",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    return tmp_path / "data"


def test_a_sound_registry_ends_with_0(data: Path) -> None:
    said = eirhub("registry", "verify", data=data)
    assert said.returncode == 0, said.stderr
    assert "0 studies, 0 entries, 0 documents and 0 pictures compared, 0 drifts" in said.stdout


def test_a_drift_ends_with_1_and_says_what_to_do(data: Path) -> None:
    lost = data / "archive" / "documents" / "ab" / "abcd"
    lost.parent.mkdir(parents=True, exist_ok=True)
    lost.write_bytes(b"nobody's")
    said = eirhub("registry", "verify", data=data)
    assert said.returncode == 1
    (line,) = [one for one in said.stdout.splitlines() if "documents/ab/abcd" in one]
    assert line.startswith("  no document has the bytes stored as documents/ab/abcd: ")
    told = json.loads(eirhub("registry", "verify", "--json", "--repair", data=data).stdout)
    assert [one["kind"] for one in told["drifts"]] == ["bytes_unnamed"]
    assert told["registered_again"] == 0


def test_a_mistyped_folder_is_not_verified_as_whole(tmp_path: Path) -> None:
    said = eirhub("registry", "verify", data=tmp_path / "typo")
    assert said.returncode == 1
    assert "no hub in" in said.stderr


def test_notifications_that_wait_are_named_and_sent_again(data: Path) -> None:
    nobody = eirhub("registry", "notifications", "list", data=data)
    assert (nobody.returncode, nobody.stdout) == (0, "nobody waits for a notification\n")
    _owe(data, "http://consumer.example/box")
    told = eirhub("registry", "notifications", "list", "--json", data=data)
    (consumer,) = json.loads(told.stdout)["consumers"]
    assert (consumer["address"], consumer["parked"]) == ("http://consumer.example/box", 1)
    assert eirhub("registry", "notifications", "retry", data=data).returncode == 2
    again = eirhub("registry", "notifications", "retry", "--all", data=data)
    assert again.stdout == "1 notifications are owed again\n"
    told = eirhub("registry", "notifications", "list", data=data)
    assert told.stdout.startswith("http://consumer.example/box: 0 parked, 1 waiting since ")


def _owe(data: Path, consumer: str) -> None:
    """Leave a parked notification behind, as a consumer does that did not answer for days."""
    now = datetime.now(UTC)
    database = Database(f"sqlite:///{data / 'eirhub.sqlite'}")
    with database.unit_of_work() as work:
        work.session.add(
            SubscriptionRow(
                subscription_id="s1", subscriber_id="m", consumer=consumer, reference="r",
                topic="t", query_id="q", patient_id="", filters="[]", created_at=now,
                terminates_at=now + timedelta(days=1),
            )
        )  # fmt: skip
        work.session.flush()
        work.session.add(
            NotificationRow(
                subscription_id="s1", submission_set_uuid="urn:one", consumer=consumer, items="[]",
                state=PARKED, occurred_at=now,
            )
        )  # fmt: skip
    database.dispose()
