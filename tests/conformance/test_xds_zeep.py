"""An independent SOAP client, zeep, that knows the hub by its served WSDL alone."""

from io import BytesIO
from typing import Any

import pytest
import requests
from pydicom import dcmread

from hub_kernel.tasks import deliver_all_due
from tests.xds_registry import studies, wire
from tests.xds_registry.hub import Hub, Web, hub, web  # noqa: F401 (fixtures)
from tests.xds_registry.samples import REPOSITORY_UID

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:zeep")
STUDY = "1.2.3.4"


def client(url: str, token: str) -> Any:
    zeep = pytest.importorskip("zeep")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    return zeep.Client(f"{url}?wsdl", transport=zeep.Transport(session=session))


@pytest.fixture
def registered(hub: Hub) -> str:  # noqa: F811
    """The CX of the patient of a registered study of three instances."""
    cx = hub.global_cx(hub.know())
    for number in (1, 2, 3):
        hub.archive.store_file(studies.instance(STUDY, 1, number), studies.ORIGIN)
    hub.clock.advance(seconds=61)
    hub.archive.complete_quiet_studies()
    deliver_all_due(hub.database, hub.outbox)
    return cx


def find(registry: Any, cx: str) -> Any:
    slots = [
        {"name": "$XDSDocumentEntryPatientId", "ValueList": {"Value": [f"'{cx}'"]}},
        {"name": "$XDSDocumentEntryStatus", "ValueList": {"Value": [wire.APPROVED]}},
    ]
    return registry.service.DocumentRegistry_RegistryStoredQuery(
        ResponseOption={"returnType": "LeafClass", "returnComposedObjects": True},
        AdhocQuery={"id": wire.FIND_DOCUMENTS, "Slot": slots},
    )


def test_a_manifest_is_found_and_retrieved(hub: Hub, web: Web, registered: str) -> None:  # noqa: F811
    token = hub.token("zeep", None)
    registry, repository = client(web.registry, token), client(web.repository, token)
    answer = find(registry, registered)
    assert answer.status.endswith(":Success")
    (choice,) = answer.RegistryObjectList._value_1
    found = choice["ExtrinsicObject"]
    slots = {slot.name: slot.ValueList.Value for slot in found.Slot}
    unique_id = next(
        one.value
        for one in found.ExternalIdentifier
        if one.Name.LocalizedString[0].value == "XDSDocumentEntry.uniqueId"
    )
    assert slots["repositoryUniqueId"] == [REPOSITORY_UID]
    assert found.mimeType == "application/dicom"

    request = {"RepositoryUniqueId": REPOSITORY_UID, "DocumentUniqueId": unique_id}
    got = repository.service.DocumentRepository_RetrieveDocumentSet(DocumentRequest=[request])
    got = getattr(got, "root", got)
    assert got.RegistryResponse.status.endswith(":Success")
    (document,) = got.DocumentResponse
    assert str(len(document.Document)) == slots["size"][0]
    dataset = dcmread(BytesIO(document.Document))
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 3


def test_a_fault_is_understood(hub: Hub, web: Web) -> None:  # noqa: F811
    zeep = pytest.importorskip("zeep")
    registry = client(web.registry, hub.token("zeep", None))
    operation = registry.service.DocumentRegistry_RegistryStoredQuery
    with pytest.raises(zeep.exceptions.Fault, match="must be understood"):
        operation(
            ResponseOption={"returnType": "LeafClass"},
            AdhocQuery={"id": wire.FIND_DOCUMENTS},
            _soapheaders=[_security()],
        )


def _security() -> Any:
    from lxml import etree

    header = etree.Element("{urn:security}Security")
    header.set(f"{{{wire.SOAP}}}mustUnderstand", "1")
    return header
