"""An independent SOAP client, zeep, that knows the hub by its served WSDL alone."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread

from access_control.model import Role
from hub_kernel.tasks import deliver_all_due
from tests.xds_registry import provided, studies, wire
from tests.xds_registry.districts import Named, running_district
from tests.xds_registry.hub import Hub, Web, hub, web  # noqa: F401 (fixtures)
from tests.xds_registry.samples import REPOSITORY_UID, submission
from xds_registry.model import Submission

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


def test_a_document_is_provided_found_and_retrieved(hub: Hub, web: Web) -> None:  # noqa: F811
    """ITI-41 as zeep writes it: base64 inside the message."""
    cx = hub.global_cx(hub.know())
    entry = provided.described(cx)
    repository = client(web.repository, hub.token("source", None, Role.DOCUMENT_SOURCE))
    answer = repository.service["DocumentRepository_ProvideAndRegisterDocumentSet-b"](
        SubmitObjectsRequest=_objects(repository, submission(entry)),
        Document=[{"_value_1": b"a report", "id": entry.entry_uuid}],
    )
    assert answer.status.endswith(":Success")
    reader = hub.token("reader", None)
    (choice,) = find(client(web.registry, reader), cx).RegistryObjectList._value_1
    assert choice["ExtrinsicObject"].mimeType == entry.mime_type
    got = client(web.repository, reader).service.DocumentRepository_RetrieveDocumentSet(
        DocumentRequest=[
            {"RepositoryUniqueId": REPOSITORY_UID, "DocumentUniqueId": entry.unique_id}
        ]
    )
    (document,) = getattr(got, "root", got).DocumentResponse
    assert document.Document == b"a report"


def test_metadata_alone_are_registered(hub: Hub, web: Web) -> None:  # noqa: F811
    """ITI-42, and a refusal with its code."""
    cx = hub.global_cx(hub.know())
    token = hub.token("source", None, Role.DOCUMENT_SOURCE)
    registry = client(web.registry, token)
    register = registry.service["DocumentRegistry_RegisterDocumentSet-b"]
    entry = provided.described(cx, sha1="0" * 40, size=1, repository_unique_id="1.2.3")
    objects = _objects(registry, submission(entry))
    assert register(RegistryObjectList=objects.RegistryObjectList).status.endswith(":Success")
    again = register(RegistryObjectList=objects.RegistryObjectList)
    assert again.status.endswith(":Failure")
    codes = [one.errorCode for one in again.RegistryErrorList.RegistryError]
    assert "XDSDuplicateUniqueIdInRegistry" in codes


@pytest.mark.parametrize("path", ["registry", "repository"])
def test_every_transaction_is_in_the_wsdl_of_its_endpoint(hub: Hub, web: Web, path: str) -> None:  # noqa: F811
    (service,) = client(f"{web.base}/xds/{path}", "").wsdl.services.values()
    (port,) = service.ports.values()
    described = {one.soapaction for one in port.binding._operations.values()}
    endpoint = getattr(hub.registry, f"{path}_app")
    assert described == {one.action for one in endpoint._transactions}


def _objects(zeep_client: Any, what: Submission) -> Any:
    """Return a SubmitObjectsRequest as zeep's own value, read from XML by the served schema."""
    element = zeep_client.get_element(f"{{{provided.LCM}}}SubmitObjectsRequest")
    return element.parse(provided.objects(what), zeep_client.wsdl.types)


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


def test_images_are_retrieved_by_the_served_wsdl_alone(tmp_path: Path) -> None:
    with running_district(tmp_path, Named(1)) as district:
        district.know("L-1")
        district.store(studies.instance(STUDY))
        imaging = client(f"{district.url}/xds/imaging", district.token)
        wanted = {
            "RepositoryUniqueId": district.named.repository_id,
            "DocumentUniqueId": f"{STUDY}.1.1",
        }
        series = {"seriesInstanceUID": f"{STUDY}.1", "DocumentRequest": [wanted]}
        got = imaging.service.ImagingDocumentSource_RetrieveImagingDocumentSet(
            StudyRequest=[{"studyInstanceUID": STUDY, "SeriesRequest": [series]}],
            TransferSyntaxUIDList={"TransferSyntaxUID": ["1.2.840.10008.1.2.1"]},
        )
        got = getattr(got, "root", got)
        assert got.RegistryResponse.status.endswith(":Success")
        (document,) = got.DocumentResponse
        assert dcmread(BytesIO(document.Document)).SOPInstanceUID == f"{STUDY}.1.1"


def test_the_gateway_is_asked_by_its_served_wsdl_alone(tmp_path: Path) -> None:
    with running_district(tmp_path, Named(1)) as district:
        person = district.know("L-1")
        district.store(studies.instance(STUDY))
        district.settle()
        gateway = client(f"{district.url}/xds/gateway", district.token)
        slots = [
            {
                "name": "$XDSDocumentEntryPatientId",
                "ValueList": {"Value": [f"'{district.global_identifier(person).cx}'"]},
            },
            {"name": "$XDSDocumentEntryStatus", "ValueList": {"Value": [wire.APPROVED]}},
        ]
        answer = gateway.service.RespondingGateway_CrossGatewayQuery(
            ResponseOption={"returnType": "LeafClass", "returnComposedObjects": True},
            AdhocQuery={"id": wire.FIND_DOCUMENTS, "Slot": slots},
        )
        (choice,) = answer.RegistryObjectList._value_1
        assert choice["ExtrinsicObject"].home == district.named.home_id
