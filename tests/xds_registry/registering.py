"""A registry alone, whom it knows, and what a refused registration leaves behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import func, select

from tests.xds_registry import wire
from tests.xds_registry.submitted import (
    Registrar,
    refusals,
)
from tests.xds_registry.trial import Trial, served, trial
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow

METADATA = "XDSRegistryMetadataError"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path) as opened:
        yield opened


@pytest.fixture
def registrar(here: Trial) -> Iterator[Registrar]:
    with served(here.application) as address:
        yield Registrar(address)


@pytest.fixture
def patient(here: Trial) -> str:
    return here.know("P-1")


def rows(here: Trial) -> int:
    """Return how many registry objects there are."""
    tables = (DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow)
    with here.database.read() as session:
        return sum(session.scalar(select(func.count()).select_from(one)) or 0 for one in tables)


def refused(here: Trial, registrar: Registrar, body: etree._Element) -> list[tuple[str, str]]:
    """Send what must be refused; nothing may be kept of it."""
    before = rows(here)
    answer = registrar.send(body)
    assert wire.status(answer) == "Failure"
    for one in answer.iter("{*}RegistryError"):
        assert " / " in one.get("codeContext")
        assert one.get("severity").endswith("Error")
    assert rows(here) == before
    return refusals(answer)
