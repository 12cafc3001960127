"""Hubs with people in them, for tests that only ask."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from patient_index.model import Decided
from tests.patient_index.fhir.hub import (
    MOTHERS,
    SYSTEM_2,
    FhirHub,
    patient,
    running,
)

CROWD = 7


@dataclass(frozen=True)
class Town:
    """A hub, and the global IDs of those who live there."""

    hub: FhirHub
    people: dict[str, str]


DECIDED = Decided(by="registrar", reason="same person")


@pytest.fixture
def people(hub: FhirHub) -> dict[str, str]:
    return settle(hub)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The three people, for all tests that only ask."""
    with running(tmp_path_factory.mktemp("town")) as hub:
        yield Town(hub, settle(hub))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Seven namesakes, for all tests that only turn pages."""
    with running(tmp_path_factory.mktemp("crowd")) as hub:
        born = {str(n): f"19{60 + n}-01-01" for n in range(CROWD)}
        yield Town(hub, {n: hub.fed(patient(f"L-{n}", birthDate=day)) for n, day in born.items()})


def settle(hub: FhirHub) -> dict[str, str]:
    """Feed three people of two townships; return their global IDs by a word of ours."""
    wang = patient(
        "L-1",
        telecom=[{"system": "phone", "value": "138-1234-5678"}],
        address=[
            {"line": ["中关村大街1号"], "city": "北京", "state": "北京市", "postalCode": "100080"}
        ],
        extension=[{"url": MOTHERS, "valueString": "李梅"}],
    )  # fmt: skip
    zhao = patient(
        "M-1", SYSTEM_2, name=[{"text": "赵敏", "family": "赵", "given": ["敏"]}],
        gender="female", birthDate="1985-03-12",
    )  # fmt: skip
    smith = patient(
        "M-2", SYSTEM_2, name=[{"family": "Smith", "given": ["Ann", "Mary"]}], gender="female",
        birthDate="1971-12-31",
    )  # fmt: skip
    return {"wang": hub.fed(wang), "zhao": hub.fed(zhao), "smith": hub.fed(smith)}
