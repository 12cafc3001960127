"""The newcomer's first command: the whole path, verified by the demo itself from outside."""

import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_verifies_every_step_and_ends_with_zero(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hub_runtime.cli", "demo", "--exit"]
    demo = subprocess.run(
        [*command, "--data", str(tmp_path / "demo")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert demo.returncode == 0, demo.stderr
    assert demo.stdout.strip() == "every step was verified"
    assert demo.stderr.count("✓") == 6
    log = (tmp_path / "demo" / "demo.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    for name in ("XiaoDong", "小东", "310117"):
        assert name not in log, "patient data in the log"


def test_a_demo_that_is_told_to_end_takes_its_hub_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hub_runtime.cli", "demo", "--data", str(tmp_path / "demo")]
    demo = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert demo.stderr is not None
    assert demo.stderr.readline(), "the hub runs once the demo has named it"
    hubs = psutil.Process(demo.pid).children()
    demo.terminate()
    demo.communicate(timeout=120)
    assert hubs
    assert not any(hub.is_running() for hub in hubs)
