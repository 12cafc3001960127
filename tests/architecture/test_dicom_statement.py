"""The conformance statement of DICOM is the program's: classes, statuses, tests behind its rows."""

import re
from pathlib import Path

import pytest

from dicom_router import presentation, statuses
from dicom_router.answer import Answer
from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, RECEIPT_CREATOR_UID

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "conformance"
STATEMENT = (PAGES / "dicom.md").read_text(encoding="utf-8")
_UID = re.compile(r"\| ([012](?:\.[0-9]+)+) \|")
_NO_TESTS = {"test_files"}  # a folder of pydicom


def _known_tests() -> set[str]:
    known = set()
    for file in (ROOT / "tests").rglob("*.py"):
        known |= {file.stem, *re.findall(r"\bdef (test_\w+)", file.read_text(encoding="utf-8"))}
    return known


def test_every_test_that_the_statement_names_exists() -> None:
    known = _known_tests() | _NO_TESTS
    pages = [*PAGES.glob("*.md"), ROOT / "docs" / "conformance-statement.md"]
    named = {
        (page.name, name)
        for page in pages
        for name in re.findall(r"`(?:[\w/]*/)?(test_\w+)(?:\.py)?`", page.read_text("utf-8"))
    }
    assert len(named) > 200
    assert {(page, name) for page, name in named if name not in known} == set()


def test_the_services_are_those_that_associations_are_given() -> None:
    overview = STATEMENT.split("## 2 ")[0]
    assert set(_UID.findall(overview)) == presentation._SERVICE_SOP_CLASSES  # noqa: SLF001


def test_the_storage_sop_classes_are_those_that_are_taken() -> None:
    listed = _UID.findall((PAGES / "storage-sop-classes.md").read_text(encoding="utf-8"))
    assert len(set(listed)) == len(listed)
    assert set(listed) == presentation.standard_storage_sop_classes()


def _answers() -> set[Answer]:
    said = {one for one in vars(statuses).values() if isinstance(one, Answer)}
    return said | {answer for _, answer in statuses.STORE_FAILURES}


@pytest.mark.parametrize("status", sorted({answer.status for answer in _answers()}))
def test_every_status_has_its_row(status: int) -> None:
    assert f"0x{status:04X}" in STATEMENT


def test_the_uids_of_the_implementation_are_stated() -> None:
    assert IMPLEMENTATION_CLASS_UID in STATEMENT
    assert RECEIPT_CREATOR_UID in STATEMENT
