"""Two districts: A asks, B has a person's study; a third community is told of but never answers."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.xds_registry import studies
from tests.xds_registry.districts import District, Named, running_district
from xds_registry.gateways.communities import Community

STUDY = "1.2.3.4"
OWN_STUDY = "1.2.3.5"
SILENT_HOME = "urn:oid:1.2.826.0.1.3680043.10.1717.79.3"


@dataclass(frozen=True)
class Federated:
    """A, which knows B, and how B's person is called in both; `study` is B's, `own_study` A's."""

    a: District
    b: District
    patient_at_a: str
    patient_at_b: str
    person_at_a: str
    study: str = STUDY
    own_study: str = OWN_STUDY

    @property
    def manifest(self) -> str:
        """The uniqueId of the manifest of B's study."""
        entry = self.b.registry.manifest_of(self.study)
        assert entry is not None
        return entry.unique_id


def nobody_listens() -> str:
    """An address at which a connection is refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/xds/gateway"


def silent(patient_domain: str) -> Community:
    """A community that knows the same people and does not answer."""
    url = nobody_listens()
    return Community(SILENT_HOME, "silent", url, url, url, patient_domain)


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    folder = tmp_path_factory.mktemp("federation")
    with running_district(folder / "b", Named(2), version_documents=True) as b:
        person_b = b.know("B-1")
        for number in (1, 2):
            b.store(studies.instance(STUDY, 1, number, PatientID="B-1"))
        b.settle()
        with running_district(folder / "a", Named(1), (b.as_community(),)) as a:
            person_a = a.know("A-1", b.global_identifier(person_b))
            a.store(studies.instance(OWN_STUDY, PatientID="A-1"))
            a.settle()
            yield Federated(
                a, b, a.global_identifier(person_a).cx, b.global_identifier(person_b).cx, person_a
            )
