import json
import signal
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from dicom_router.commitment_ledger import CommitmentLedger
from dicom_router.commitment_messages import CommitmentRequest, SopReference
from dicom_router.model import Caller
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import read_settings
from tests.dicom_router.conftest import TOWNSHIP
from tests.support.serving_hub import eirhub, running_hub


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_site_added_by_hand_is_listed_and_shown(data: Path) -> None:
    added = eirhub(
        "site", "add", "sijing", "--name", "泗泾", "--ae-title", "SIJING_CR",
        "--namespace", "SIJING", "--oid", "1.2.3", data=data,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    listed = json.loads(eirhub("site", "list", "--json", data=data).stdout)
    assert [site["site_id"] for site in listed] == ["sijing"]
    shown = json.loads(eirhub("site", "show", "sijing", "--json", data=data).stdout)
    assert (shown["name"], shown["oid"]) == ("泗泾", "1.2.3")


def test_a_site_with_a_wrong_ae_title_is_refused_in_words(data: Path) -> None:
    refused = eirhub(
        "site", "add", "x", "--name", "X", "--ae-title", "MUCH_TOO_LONG_AE_TITLE",
        "--namespace", "X", "--oid", "1.2.3", data=data,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "16" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_new_account_gets_a_password_that_is_printed_once(data: Path) -> None:
    args = ("user", "add", "chen", "--role", "radiologist", "--json")
    added = json.loads(eirhub(*args, data=data).stdout)
    assert added["username"] == "chen"
    assert len(added["password"]) >= 12
    again = eirhub(*args, data=data)
    assert again.returncode == 1
    assert "chen" in again.stderr


def test_a_token_is_made_for_a_machine(data: Path) -> None:
    made = eirhub("token", "create", "pacs", "--role", "radiologist", data=data)
    assert made.stdout.startswith("eirhub_")


def test_an_unknown_setting_stops_the_start(data: Path) -> None:
    refused = eirhub("serve", "--set", "router.prot=1", data=data)
    assert refused.returncode == 1
    assert "router.prot (--set router.prot): unknown key" in refused.stderr


def test_a_port_that_is_taken_stops_the_start_in_words(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = eirhub(
            "serve",
            "--set",
            f"web.port={port}",
            "--set",
            "viewer.port=0",
            "--set",
            "router.port=0",
            "--set",
            "hl7.port=0",
            data=data,
        )
    assert refused.returncode == 1
    assert f"the HTTP port {port} cannot be opened" in refused.stderr


@pytest.mark.parametrize(
    "open_door", ["router.accept_unknown_ae=true", "access.machine_authentication=none"]
)
def test_an_open_door_is_refused_beyond_loopback(data: Path, open_door: str) -> None:
    args = (
        "--set",
        open_door,
        "--set",
        "web.bind=0.0.0.0",
        "--set",
        "web.port=0",
        "--set",
        "viewer.port=0",
        "--set",
        "hl7.port=0",
    )
    refused = eirhub("serve", *args, "--set", "router.port=0", data=data)
    assert refused.returncode == 1
    assert open_door.split("=", maxsplit=1)[0] in refused.stderr
    assert "loopback" in refused.stderr


def test_serve_answers_on_every_port_and_ends_in_order(data: Path) -> None:
    with running_hub(data) as hub:
        for path in ("/healthz", "/readyz"):
            with urllib.request.urlopen(hub.http + path, timeout=60) as answer:
                assert answer.status == 200
        socket.create_connection(("127.0.0.1", hub.dicom_port), timeout=60).close()
        hub.process.send_signal(signal.SIGTERM)
        assert hub.process.wait(60) == 0
    log = (data.parent / "data.log").read_text()
    assert "Traceback" not in log, log


def test_verify_commands_say_that_an_empty_hub_is_whole(data: Path) -> None:
    assert eirhub("db", "upgrade", data=data).returncode == 0
    for subject in ("archive", "audit"):
        verified = eirhub(subject, "verify", "--json", data=data)
        assert verified.returncode == 0, verified.stderr
        assert json.loads(verified.stdout)


@pytest.mark.parametrize(
    "command", [("archive", "verify"), ("audit", "verify"), ("site", "list"), ("site", "show", "a")]
)
def test_a_mistyped_folder_is_no_hub_and_none_is_made(data: Path, command: tuple[str, ...]) -> None:
    refused = eirhub(*command, data=data)
    assert refused.returncode == 1
    assert f"no hub in {data}" in refused.stderr
    assert not data.exists()


def test_an_address_of_no_database_is_refused_in_words(data: Path) -> None:
    refused = eirhub("serve", "--set", "database.url=foo://user:secret@host/x", data=data)
    assert refused.returncode == 1
    assert "database.url" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "secret" not in refused.stderr


def test_what_the_hub_writes_is_for_its_own_account_alone(data: Path) -> None:
    assert eirhub("db", "upgrade", data=data).returncode == 0
    for path in (data, *data.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "command",
    [
        ("user", "add", "chen", "--role", "technician"),
        ("token", "create", "pacs", "--role", "radiologist"),
    ],
)
def test_a_right_at_an_unknown_site_is_refused_with_the_known_ones(
    data: Path, command: tuple[str, ...]
) -> None:
    empty = eirhub(*command, "--site", "nope", data=data)
    assert (empty.returncode, "add one with eirhub site add" in empty.stderr) == (1, True)
    site = ("site", "add", "sijing", "--name", "S", "--ae-title", "S")
    assert eirhub(*site, "--namespace", "S", "--oid", "1.2.3", data=data).returncode == 0
    refused = eirhub(*command, "--site", "sijing", "--site", "nope", data=data)
    assert refused.returncode == 1
    assert "nope: no such site; known sites: sijing" in refused.stderr
    assert eirhub(*command, "--site", "sijing", data=data).returncode == 0


def test_a_trail_emptied_while_the_hub_stood_still_is_not_whole(data: Path) -> None:
    with running_hub(data) as hub:
        request = urllib.request.Request(
            hub.http + "/dicom-web/studies", headers={"Authorization": "Bearer guessed"}
        )
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60)
    assert eirhub("audit", "verify", data=data).returncode == 0
    with closing(sqlite3.connect(data / "eirhub.sqlite")) as database, database:
        database.execute("DROP TRIGGER audit_record_no_delete")
        database.execute("DELETE FROM audit_record")
        database.execute("DELETE FROM audit_head")
    for _ in range(2):  # looking must not mend it
        verified = eirhub("audit", "verify", data=data)
        assert verified.returncode == 1
        assert "breaks at record 1" in verified.stdout


def test_a_site_is_edited_and_the_doctor_says_what_needs_a_person(data: Path) -> None:
    added = eirhub(
        "site", "add", "sijing", "--name", "泗泾", "--ae-title", "SIJING_CR",
        "--namespace", "SIJING", "--oid", "1.2.3", data=data,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert eirhub("doctor", data=data).returncode == 0
    edited = eirhub("site", "edit", "sijing", "--tls-only", "--priority", "high", data=data)
    assert edited.returncode == 0, edited.stderr
    shown = json.loads(eirhub("site", "show", "sijing", "--json", data=data).stdout)
    assert (shown["tls_only"], shown["priority"], shown["name"]) == (True, "high", "泗泾")
    said = eirhub("doctor", data=data)
    assert said.returncode == 1
    assert "site sijing: is TLS only and has no certificate" in said.stdout
    issued = eirhub(
        "site", "certificate", "issue", "sijing", "--days", "10", "--out", data / "pair", data=data
    )
    assert issued.returncode == 0, issued.stderr
    said = eirhub("doctor", data=data)
    assert "ends in" in said.stdout
    assert "eirhub site certificate renew sijing" in said.stdout
    again = eirhub("site", "certificate", "issue", "sijing", "--out", data / "pair", data=data)
    assert again.returncode == 1
    assert "there already" in again.stderr
    trail = eirhub("audit", "verify", data=data)
    assert trail.returncode == 0


def test_compacting_says_what_was_saved_and_what_stayed(data: Path) -> None:
    assert eirhub("user", "add", "chen", "--role", "radiologist", data=data).returncode == 0
    told = eirhub("archive", "compact", "--modality", "CT", "--dry-run", "--json", data=data)
    assert json.loads(told.stdout) == {
        "dry_run": True,
        "examined": 0,
        "converted": 0,
        "original_bytes": 0,
        "master_bytes": 0,
        "saved_bytes": 0,
        "kept": {},
    }
    words = eirhub("archive", "compact", "--limit", "5", data=data)
    assert words.stdout.startswith("0 instances looked at, 0 compacted: 0 B are 0 B, 0 B saved")


def test_reports_on_storage_commitment_that_are_owed_are_shown_with_their_reason(
    data: Path,
) -> None:
    assert eirhub("token", "create", "pacs", "--role", "radiologist", data=data).returncode == 0
    asked = CommitmentRequest("1.2.9", (SopReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3"),))
    with opened_hub(read_settings(data=data)) as hub:
        assert "no report is owed" in eirhub("router", "commitments", data=data).stdout
        ledger = CommitmentLedger(hub.database, "here:1")
        ledger.begin(Caller(TOWNSHIP, "CT1", "EIRHUB", "127.0.0.1"), asked)
        claimed = ledger.claim(without=())
        assert claimed
        ledger.postpone(claimed, "no connection to CT1")
    (owed,) = json.loads(eirhub("router", "commitments", "--json", data=data).stdout)["owed"]
    assert (owed["transaction_uid"], owed["attempts"], owed["examined"]) == ("1.2.9", 1, 0)
    said = eirhub("router", "commitments", data=data).stdout
    assert "0 of 1 instances examined" in said
    assert "no connection to CT1" in said
