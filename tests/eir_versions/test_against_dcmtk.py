"""Every grayscale picture that DCMTK can draw is drawn alike, pixel for pixel."""

from pathlib import Path

import numpy as np
import pytest

from tests.eir_versions.builders import image_dataset, part10, rendered
from tests.eir_versions.real_pictures import EQUAL, SECOND, dcmtk_picture, every_file, outcome
from tests.support.tools import require_tool

# Old files break rules of the standard and pydicom says so; the pictures are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TABLE = Path("docs/conformance/pictures.md")
# What DCMTK cannot read is compared by a second decoder.
LEAST_FILES_EQUAL = 140
MANY = "…"  # one row for a folder of files that are all alike


@pytest.fixture(scope="session")
def dcmj2pnm() -> None:
    require_tool("dcmj2pnm")


def rows_of_the_table() -> dict[str, tuple[str, str]]:
    """Result and reason of every file, as the documentation has them."""
    lines = TABLE.read_text(encoding="utf-8").split("## Real files")[1].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    return {name: (result, reason) for name, result, reason in cells[2:]}


def row_of(name: str) -> str:
    """The row of the table that a file belongs to."""
    folders = [row.removesuffix(MANY) for row in rows_of_the_table() if row.endswith(MANY)]
    return next((start + MANY for start in folders if name.startswith(start)), name)


def rows_as_they_are(every: int) -> dict[str, str]:
    """What becomes of every so many files, by row of the table."""
    found: dict[str, str] = {}
    for name, path in sorted(every_file().items())[::every]:
        row, result = row_of(name), outcome(path)
        assert found.get(row, result) == result, f"{row}: not all alike"
        found[row] = result
    return found


@pytest.mark.usefixtures("dcmj2pnm")
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_what_becomes_of_every_real_file_is_what_the_table_says(every: int) -> None:
    documented = {name: result for name, (result, _) in rows_of_the_table().items()}
    found = rows_as_they_are(every)
    assert {row: result for row, result in found.items() if documented.get(row) != result} == {}
    assert documented.keys() == {row_of(name) for name in every_file()}
    equal = sum(result.startswith(EQUAL) for result in found.values())
    assert equal >= LEAST_FILES_EQUAL // every


def test_whatever_is_not_equal_has_its_reason() -> None:
    for name, (result, reason) in rows_of_the_table().items():
        assert bool(reason) != (result.startswith(EQUAL) or result == SECOND), name


@pytest.mark.usefixtures("dcmj2pnm")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["", "IDENTITY", "INVERSE"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (0.37, 11.5), (2.5, 0)])
def test_made_objects_agree_with_dcmtk(
    tmp_path: Path, photometric: str, shape: str, slope: float, intercept: float
) -> None:
    pixels = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    dataset = image_dataset(
        pixels,
        PhotometricInterpretation=photometric,
        BitsStored=12,
        HighBit=11,
        RescaleSlope=str(slope),
        RescaleIntercept=str(intercept),
        WindowCenter="37",
        WindowWidth="811",
    )
    if shape:
        dataset.PresentationLUTShape = shape
    path = tmp_path / "made.dcm"
    path.write_bytes(part10(dataset))
    theirs = dcmtk_picture(path, ("+Wi", "1"))
    assert theirs is not None
    ours = rendered(path)
    assert int((ours != theirs).sum()) == 0
