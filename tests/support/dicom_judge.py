"""An independent judge of DICOM objects: dciodvfy of dicom3tools."""

import subprocess
from pathlib import Path

from tests.support.tools import require_tool


def faults(path: Path, data: bytes) -> set[str]:
    """Return the errors dciodvfy finds in `data`, written to `path`; warnings do not count."""
    path.write_bytes(data)
    said = subprocess.run(
        [require_tool("dciodvfy"), path], capture_output=True, text=True, check=False
    ).stderr
    return {line for line in said.splitlines() if line.startswith("Error")}
