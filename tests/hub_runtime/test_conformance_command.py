"""`eirhub conformance run` against a served hub, with a driver that speaks as the kit's does."""

import json
from pathlib import Path

import pytest

from tests.support.serving_hub import eirhub, running_hub
from viewer_api.conformance_results import last_result

DRIVER = """
import sys, urllib.error, urllib.request
assert sys.argv[1] == "run" and "secret" not in " ".join(sys.argv)
tests = sys.argv[3 : next(n for n, one in enumerate(sys.argv) if one.startswith("--"))]
registry = sys.argv[sys.argv.index("--registry") + 1]
for test in tests:
    try:
        code = urllib.request.urlopen(registry, b"no soap", timeout=30).status
    except urllib.error.HTTPError as error:
        code = error.code
    print("PASS" if code not in (401, 403) else "FAIL", f"{test}/one/s1", f"HTTP {code}")
    print("SKIP", f"{test}/one/s2", "not understood: Nonsense")
print("summary")
"""


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = tmp_path / "kit"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "nist2soap.py").write_text(DRIVER)
    for test in ("10001", "10002"):
        (folder / "nist" / "tests" / test).mkdir(parents=True)
    return folder


def test_a_run_is_counted_written_and_kept(tmp_path: Path, kit: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "result.json"
    with running_hub(data) as hub:
        token = eirhub("token", "create", "kit", "--role", "radiologist", data=data)
        arguments = ("conformance", "run", "--kit", kit, "--hub", hub.http, "--out", out)
        refused = eirhub(*arguments, data=data)
        assert refused.returncode == 1, refused.stderr
        assert "0 steps passed, 2 failed, 2 skipped" in refused.stdout
        assert "  fail 10001/one/s1: HTTP 401" in refused.stdout
        said = eirhub(*arguments, "--token", token.stdout.split()[0], "10002", data=data)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "1 steps passed, 0 failed, 1 skipped" in said.stdout
    written = json.loads(out.read_text())
    assert [one["test"] for one in written["tests"]] == ["10002"]
    kept = last_result(data)
    assert kept is not None
    assert (kept.suite, kept.passed, kept.skipped) == ("kit", 1, 1)


def test_a_folder_that_is_no_kit_is_refused(tmp_path: Path) -> None:
    said = eirhub("conformance", "run", "--kit", tmp_path, data=tmp_path / "data")
    assert said.returncode == 1
    assert "tools/nist2soap.py" in said.stderr
