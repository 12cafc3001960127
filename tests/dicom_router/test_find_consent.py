"""C-FIND leaves out who refuses to be shown to the caller, as if they were not here."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind as PatientRoot,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRoot,
)

from access_control.consent import EVERYONE, SHARING, ConsentKind, site_scope
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_kernel.settings import IdentitySettings
from patient_index.model import Decided
from patient_index.service import PatientIndex
from tests.dicom_router.conftest import OTHER_TOWNSHIP, TOWNSHIP, Hub, running_node
from tests.dicom_router.instances import ct
from tests.dicom_router.wire import CT, EXPLICIT, IMPLICIT

REFUSER, ELSEWHERE, OTHER = "1.2.3.91", "1.2.3.92", "1.2.3.93"


class Region:
    """A node with three studies: two of one person at two sites, one of somebody else."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.patients = PatientIndex(
            hub.parts.database, hub.parts.database.clock, IdentitySettings()
        )
        self._store("CT1", REFUSER, "R1")
        self._store("CT2", ELSEWHERE, "R2")
        self._store("CT1", OTHER, "O1")
        self.person = self._known("R1", TOWNSHIP)
        self._known("R2", OTHER_TOWNSHIP)
        self._known("O1", TOWNSHIP)
        second = PatientIdentifier("R2", OTHER_TOWNSHIP.assigning_authority)
        self.patients.link(second, self.person, Decided("registrar", "same card shown"))

    def _store(self, calling: str, study: str, patient_id: str) -> None:
        with self.hub.association({CT: [EXPLICIT]}, calling) as association:
            dataset = ct(study=study, PatientID=patient_id, PatientName="Wang^XiaoDong")
            assert association.send_c_store(dataset).Status == 0

    def _known(self, value: str, site: object) -> str:
        identifier = PatientIdentifier(value, site.assigning_authority)  # type: ignore[attr-defined]
        name = PersonName(alphabetic="Wang^XiaoDong")
        return self.patients.observe(
            ObservedPatient(identifier=identifier, name=name, birth_date=date(1970, 4, 27), sex="M")
        )

    def says(self, kind: ConsentKind, scope: str) -> None:
        self.hub.parts.consents.record(self.person, kind, scope, by="clerk", reason="at the desk")

    def studies(self, calling: str, level: str = "STUDY") -> set[str]:
        query = Dataset()
        query.QueryRetrieveLevel = level
        query.StudyInstanceUID = ""
        query.PatientID = ""
        model = PatientRoot if level == "PATIENT" else StudyRoot
        with self.hub.association({model: [IMPLICIT]}, calling) as association:
            answers = list(association.send_c_find(query, model))
        assert answers[-1][0].Status == 0
        key = "PatientID" if level == "PATIENT" else "StudyInstanceUID"
        return {str(answer.get(key)) for _, answer in answers[:-1] if answer is not None}


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with running_node(tmp_path) as hub:
        yield Region(hub)


def test_who_refuses_everyone_is_found_by_no_peer_and_the_others_still_are(region: Region) -> None:
    assert region.studies("PACS") == {REFUSER, ELSEWHERE, OTHER}
    region.says(ConsentKind.REFUSE, EVERYONE)
    assert region.studies("PACS") == {OTHER}
    assert region.studies("WS1") == {OTHER}
    assert region.studies("PACS", "PATIENT") == {"O1"}
    region.says(ConsentKind.GRANT, EVERYONE)
    assert region.studies("PACS") == {REFUSER, ELSEWHERE, OTHER}


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        ("county", {"PACS": {OTHER}, "WS1": {REFUSER, OTHER}}),
        ("chengguan", {"PACS": {REFUSER, ELSEWHERE, OTHER}, "WS1": {OTHER}}),
    ],
)
def test_who_refuses_a_site_is_not_found_by_its_peers_alone(
    region: Region, refused: str, found: dict[str, set[str]]
) -> None:
    region.says(ConsentKind.REFUSE, site_scope(refused))
    assert {calling: region.studies(calling) for calling in found} == found


def test_refusing_shared_links_changes_nothing_for_peers(region: Region) -> None:
    region.says(ConsentKind.REFUSE, SHARING)
    assert region.studies("PACS") == {REFUSER, ELSEWHERE, OTHER}


@pytest.mark.parametrize("level", ["SERIES", "IMAGE"])
def test_no_level_of_a_query_shows_who_refuses(region: Region, level: str) -> None:
    region.says(ConsentKind.REFUSE, EVERYONE)
    assert region.studies("PACS", level) == {OTHER}


def test_who_refuses_is_still_stored(region: Region, tmp_path: Path) -> None:
    region.says(ConsentKind.REFUSE, EVERYONE)
    stored: Callable[..., None] = region._store
    stored("CT1", "1.2.3.94", "R1")
    assert region.hub.parts.index.study("1.2.3.94") is not None
