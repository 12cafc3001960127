"""Every row of the DICOMweb table names a test that there is."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS.parents[1] / "docs" / "conformance" / "dicomweb.md"


def test_every_clause_has_a_test_behind_it() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| `(\w+)` \|$", TABLE.read_text(), re.MULTILINE)
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(lines) - 1 >= 25, "a row has no test"
    files = sorted(TESTS.glob("test_*.py"))
    known = {path.stem for path in files}
    for path in files:
        known.update(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    missing = [(clause, test) for clause, test in rows if test not in known]
    assert not missing
