"""A township on line: modality, edge, line and hub as processes of their own, killed and cut.

Whatever happens on the way, what the edge acknowledged arrives bit for bit, once, and both ledgers
come to zero difference.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.chaos_proxy import ChaosProxy, Fault, FaultKind
from tests.support.edge_region import EdgeRegion, slices
from tests.support.ports import free_port
from tests.support.tools import require_tool
from tests.support.waiting import eventually

PASSWORD = "Correct-horse-7-battery"


@pytest.fixture
def region(tmp_path: Path) -> Iterator[EdgeRegion]:
    require_tool("storescu")
    made = EdgeRegion(tmp_path, free_port())
    made.prepare()
    yield made
    made.close()


def held(data: Path) -> dict[str, str]:
    """UID → digest of what an archive's index holds."""
    with sqlite3.connect(f"file:{data / 'eirhub.sqlite'}?mode=ro", uri=True) as database:
        return dict(database.execute("SELECT sop_instance_uid, dataset_sha256 FROM instance"))


def contacts(data: Path) -> list[str]:
    """The sites whose gateways have reported to a hub."""
    with sqlite3.connect(f"file:{data / 'eirhub.sqlite'}?mode=ro", uri=True) as database:
        return [site_id for (site_id,) in database.execute("SELECT site_id FROM edge_contact")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.long)])
def test_what_a_modality_sends_arrives_while_edge_and_hub_are_killed_again_and_again(
    region: EdgeRegion, tmp_path: Path, kills: int
) -> None:
    region.start_hub()
    edge = region.start_edge()
    files = slices(tmp_path / "ct", 12, kib=400)
    assert region.send(files).returncode == 0
    for number in range(kills):
        # Each time a little later, so that it is hit at another step.
        time.sleep(0.15 * number)
        if number % 2:
            assert region.hub
            region.hub.kill()
            region.start_hub()
        else:
            edge.kill()
            edge = region.start_edge()
    told = region.until_zero(12)
    assert told["counts"] == dict.fromkeys(told["counts"], 0)
    assert held(region.edge_data) == held(region.hub_data)
    assert len(held(region.hub_data)) == 12
    # The hub may be about to register and render what is complete by now.
    at_hub = eventually(lambda: region.reconcile("hub"), lambda told: told["exit"] == 0)
    assert at_hub["instances"] == 12
    # What was on its way a second time is let go.
    eventually(lambda: not list((region.hub_data / "uploads").glob("*/*.part")))


@pytest.mark.timeout(900)
def test_the_reconciliation_can_fail(region: EdgeRegion, tmp_path: Path) -> None:
    """Control: what one side lost, or holds otherwise, is named; what can be is sent again."""
    region.start_hub()
    region.start_edge()
    assert region.send(slices(tmp_path / "ct", 4, kib=50)).returncode == 0
    region.until_zero(4)
    assert region.hub
    region.hub.stop()
    with sqlite3.connect(region.hub_data / "eirhub.sqlite") as database:
        lost, changed = [
            row[0]
            for row in database.execute("SELECT sop_instance_uid FROM instance ORDER BY id LIMIT 2")
        ]
        database.execute("DELETE FROM instance WHERE sop_instance_uid = ?", (lost,))
        database.execute(
            "UPDATE instance SET dataset_sha256 = ? WHERE sop_instance_uid = ?", ("0" * 64, changed)
        )
    shutil.rmtree(region.hub_data / "archive" / "instances")  # or the start would adopt them again
    region.start_hub()
    told = region.reconcile("edge")
    assert told["exit"] == 1
    kinds = {one["sop_instance_uid"]: one["kind"] for one in told["differences"]}
    assert kinds[lost] == "missing_at_hub"
    assert kinds[changed] == "other_bytes"
    assert told["counts"]["damaged_at_hub"] == 2
    by_hub = region.reconcile("hub")["counts"]
    # Registering and rendering go on between the two questions.
    under_way = {"unregistered", "not_rendered"}
    assert {key: by_hub[key] for key in by_hub.keys() - under_way} == {
        key: told["counts"][key] for key in told["counts"].keys() - under_way
    }
    resent = region.reconcile("edge", "--resend")
    assert resent["resent"] == 3
    mended = eventually(
        lambda: region.reconcile("edge"),
        lambda found: found["counts"]["missing_at_hub"] + found["counts"]["damaged_at_hub"] == 0,
    )
    assert mended["counts"]["other_bytes"] == 1  # that one is for a person


FAULTS: tuple[tuple[str, Fault], ...] = (
    ("cut", Fault(FaultKind.CUT, after_bytes=150_000)),
    ("reset", Fault(FaultKind.RESET, after_bytes=90_000)),
    ("refused", Fault(FaultKind.REFUSE)),
    ("corrupt", Fault(FaultKind.CORRUPT, after_bytes=70_000)),
    ("cut in the answer", Fault(FaultKind.CUT, after_bytes=300, towards="client")),
    ("corrupt answer", Fault(FaultKind.CORRUPT, after_bytes=40, towards="client")),
)


@pytest.mark.long  # its short form, fault by fault: tests/edge_gateway/test_bad_line.py
@pytest.mark.timeout(900)
def test_a_bad_line_delays_and_changes_nothing(region: EdgeRegion, tmp_path: Path) -> None:
    region.start_hub()
    with ChaosProxy(("127.0.0.1", region.hub_port)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        # Good connections in between, or the pauses between tries would grow.
        proxy.plan([one for _, fault in FAULTS for one in (fault, None)])
        region.start_edge(url)
        files = slices(tmp_path / "ct", 6, kib=400)
        assert region.send(files).returncode == 0
        eventually(
            lambda: held(region.hub_data), lambda found: len(found) == len(files), within_s=300
        )
        # Control: the line was bad while pictures were on their way. Which connections the faults
        # meet depends on timing; tests/edge_gateway/test_bad_line.py lets each meet an upload.
        assert proxy.injected >= 2
    assert held(region.hub_data) == held(region.edge_data)
    told = region.until_zero(6)
    assert told["exit"] == 0


@pytest.mark.timeout(900)
def test_days_without_a_line_cost_the_modality_nothing_and_the_page_says_so(
    region: EdgeRegion, tmp_path: Path
) -> None:
    edge = region.start_edge()  # the hub has never been there
    assert region.send(slices(tmp_path / "ct", 3, kib=20)).returncode == 0
    page = _signed_in(region, edge.http)
    eventually(
        lambda: page("/arrived?lang=en"),
        lambda text: "cannot be reached" in text and "0 of 3" in text,
    )
    edge.kill()
    edge = region.start_edge()
    region.start_hub()
    region.until_zero(3)
    page = _signed_in(region, edge.http)
    eventually(lambda: page("/arrived?lang=en"), lambda text: "cannot be reached" not in text)
    # It has spoken to the hub of itself, and is on its ledger.
    eventually(lambda: contacts(region.hub_data), lambda found: found == ["sijing"])


@pytest.mark.timeout(900)
def test_a_full_disk_at_the_edge_is_told_to_the_modality_and_on_the_page(
    region: EdgeRegion, tmp_path: Path
) -> None:
    region.edge_settings = (f"archive.min_free_bytes={1 << 60}",)
    edge = region.start_edge()
    files = slices(tmp_path / "ct", 1, kib=20)
    refused = region.send(files)
    assert "A700" in refused.stdout + refused.stderr or "OutOfResources" in (
        refused.stdout + refused.stderr
    )
    page = _signed_in(region, edge.http)
    eventually(lambda: "disk of this gateway is full" in page("/arrived?lang=en"))
    # Control: with room the same file is taken.
    edge.stop()
    region.edge_settings = ()
    region.start_edge()
    assert region.send(files).returncode == 0


def _signed_in(region: EdgeRegion, http: str) -> Callable[[str], str]:
    """Return what fetches pages of the edge for its technician."""
    import subprocess
    import sys

    from bs4 import BeautifulSoup

    from tests.support.serving_hub import ROOT

    subprocess.run(
        [sys.executable, "-m", "hub_runtime.cli", "user", "add", "tech", "--role", "technician"]
        + ["--site", "sijing", "--password-stdin", "--data", str(region.edge_data)],
        cwd=ROOT,
        input=PASSWORD,
        text=True,
        capture_output=True,
        check=False,
    )
    session = requests.Session()
    base = http.replace("127.0.0.1", "localhost")
    form = BeautifulSoup(session.get(f"{base}/sign-in", timeout=60).text, "html.parser")
    token = form.select_one("[name=csrf_token]")
    assert token
    entered = session.post(
        f"{base}/sign-in",
        {"username": "tech", "password": PASSWORD, "csrf_token": token["value"]},
        timeout=60,
    )
    assert entered.ok, entered.text
    return lambda path: session.get(f"{base}{path}", timeout=60).text
