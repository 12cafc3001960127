"""What is read back of a stored row: an outline says the same as the whole, and less."""

from types import SimpleNamespace

import pytest

from tests.xds_registry.samples import HOME, entry, urn
from xds_registry.model import AvailabilityStatus, DocumentEntry, DocumentType
from xds_registry.store_content import altered, entry_of, outline_of
from xds_registry.store_rows import entry_row

NEEDED = (
    "entry_uuid",
    "unique_id",
    "patient_id",
    "linked_identifier",
    "creation_time",
    "home_community_id",
    "document_type",
    "logical_id",
    "version",
    "status",
)


@pytest.mark.parametrize(
    "kept",
    [
        entry(),
        entry(home_community_id=HOME, document_type=DocumentType.ON_DEMAND),
        entry(logical_id=urn("first"), version=3, status=AvailabilityStatus.DEPRECATED),
    ],
)
def test_an_outline_says_whose_an_entry_is_and_which_and_no_more(kept: DocumentEntry) -> None:
    row = SimpleNamespace(**{**entry_row(kept, 0), "status": AvailabilityStatus.DEPRECATED})
    whole, outline = entry_of(row), outline_of(row)
    assert whole == altered(kept, status=AvailabilityStatus.DEPRECATED)
    assert {name: getattr(outline, name) for name in NEEDED} == {
        name: getattr(whole, name) for name in NEEDED
    }
    assert (outline.title, outline.authors, outline.sha1) == ("", (), "")
