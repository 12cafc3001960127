"""`pip install .` alone gives a hub that runs: everything it needs is in the wheel."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--quiet", "--wheel-dir", folder, str(_copy(folder / "source"))],
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_every_module_and_every_data_file_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    tracked = _tracked()
    packages = {name.rstrip("*") for name in _packages()}
    for name in tracked:
        top = name.split("/")[0]
        if top in packages and not name.endswith((".po", ".pot", ".cfg")):
            assert name in names, f"{name} is not in the wheel"
        if top == "config" and name.endswith(".toml"):
            assert any(n.endswith(f"share/eirhub/{name}") for n in names), name


def test_tests_and_config_are_no_packages_of_the_wheel(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert not tops & {"tests", "config", "benchmarks", "docs"}


def _packages() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup["options.packages.find"]["include"].split()


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return listed.stdout.splitlines()


def _copy(target: Path) -> Path:
    """Copy what git tracks: building must not depend on, nor leave, anything else."""
    for name in _tracked():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    return target
