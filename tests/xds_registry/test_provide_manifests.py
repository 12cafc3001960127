"""RAD-68 from outside: a manifest that another archive submits by ITI-41 is checked and kept."""

import io
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree
from pydicom import dcmread

from access_control.model import Role
from tests.support.tools import require_conformance
from tests.xds_registry import provided, studies, wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.provided import Sent, described
from tests.xds_registry.samples import entry
from xds_registry import store
from xds_registry.model import DocumentEntry, ReferenceId

THEIRS = "1.3.6.1.4.1.21367.201599.1.201604021011014"
OURS = "1.3.6.1.4.1.21367.201599.1.201604020954048"


@pytest.fixture
def kos() -> bytes:
    """A manifest of two studies that another archive holds."""
    return require_conformance("xdsi", "IDS-DEPT099-a", "kos", "kos.dcm").read_bytes()


def manifest_entry(hub: Hub, kos: bytes, **changes: Any) -> DocumentEntry:
    uid = str(dcmread(io.BytesIO(kos)).SOPInstanceUID)
    cx = hub.global_cx(hub.know())
    return described(cx, "kos", **{"unique_id": uid, "format_code": entry().format_code, **changes})


@pytest.fixture
def source(hub: Hub) -> str:
    return hub.token("source", None, Role.DOCUMENT_SOURCE)


def post(web: Web, source: str, *sent: Sent) -> etree._Element:
    data = provided.provide(*sent)
    return wire.payload(web.post(web.repository, data, source, provided.CONTENT_TYPE))


def test_its_studies_are_known_until_the_archive_holds_them(
    hub: Hub, web: Web, source: str, kos: bytes
) -> None:
    document = manifest_entry(hub, kos, reference_ids=(ReferenceId.study(THEIRS),))
    assert wire.status(post(web, source, Sent(document, kos))) == "Success"
    person = hub.know()
    found = hub.registry.studies_elsewhere(person)
    assert {one.study_instance_uid for one in found} == {THEIRS, OURS}
    assert {one.repository_unique_id for one in found} == {"1.1.4567332.1.2"}
    hub.archive.store_file(studies.instance(OURS), studies.ORIGIN)
    found = hub.registry.studies_elsewhere(person)
    assert {one.study_instance_uid for one in found} == {THEIRS}
    assert hub.registry.studies_elsewhere(hub.know("L-7")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"unique_id": "1.2.9"},
        {"mime_type": "application/pdf"},
        {"reference_ids": (ReferenceId.study("1.2.9"),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_one_whose_metadata_do_not_agree_is_refused_with_everything_beside_it(
    hub: Hub, web: Web, source: str, kos: bytes, changes: dict[str, Any]
) -> None:
    document = manifest_entry(hub, kos, **changes)
    report = Sent(replace(described(document.patient_id, "report")), b"report")
    answer = post(web, source, Sent(document, kos), report)
    assert wire.status(answer) == "Failure"
    assert "XDSRepositoryMetadataError" in wire.errors(answer)
    with hub.database.read() as session:
        assert store.documents_by_unique_id(session, [report.entry.unique_id]) == []


def test_one_that_cannot_be_read_is_refused(hub: Hub, web: Web, source: str, kos: bytes) -> None:
    document = manifest_entry(hub, kos)
    for data in (b"%PDF-1.7", kos[:300], bytes(5_000)):
        answer = post(web, source, Sent(document, data))
        assert wire.status(answer) == "Failure"
        assert "XDSRepositoryMetadataError" in wire.errors(answer)
    assert hub.registry.studies_elsewhere(hub.know()) == []
