"""The layout that the owner fixed, and what may not creep in."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXED = ("xds_registry", "dicom_router", "eir_versions", "viewer_api", "config", "tests")


def test_what_the_owner_fixed_is_there() -> None:
    assert (ROOT / "setup.cfg").is_file()
    for name in FIXED:
        assert (ROOT / name).is_dir()


def test_config_holds_files_and_is_no_package(tmp_path: Path) -> None:
    # What Orthanc loads into its own process is a file like any other here.
    loaded_by_others = [ROOT / "config" / "orthanc" / "eirhub_shim.py"]
    assert list((ROOT / "config").rglob("*.py")) == loaded_by_others
    imported = subprocess.run(
        [sys.executable, "-c", "import config"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert "ModuleNotFoundError" in imported.stderr


def test_every_package_opens_with_its_sentence() -> None:
    for path in ROOT.glob("[a-z]*/__init__.py"):
        if path.parent.name != "tests":
            assert path.read_text(encoding="utf-8").startswith('"""'), path


def test_nothing_is_left_for_later_inside_the_code() -> None:
    pattern = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError")
    for path in ROOT.glob("[a-z]*/**/*.py"):
        if path.parts[len(ROOT.parts)] in {"tests", "build"}:
            continue
        assert not pattern.search(path.read_text(encoding="utf-8")), path
