"""People as sites describe them, ready for comparison."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import parse_person_name
from patient_index.matching import MatchRecord, Weights, load_weights, prepare
from patient_index.model import Address, Demographics, IdentifierKind, TypedIdentifier

RESIDENT = AssigningAuthority("RESIDENT", "1.2.826.0.1.3680043.10.1717.1")
EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.901")
HOME = "上海市松江区泗泾镇文荣路12弄3号501室"
ZHANG = Demographics(
    name=parse_person_name("=张^文涛"),
    birth_date=date(1985, 3, 12),
    sex="M",
    address=Address(text=HOME),
    phones=("13812345679",),
)


@pytest.fixture(scope="session")
def weights() -> Weights:
    return load_weights()


@pytest.fixture(scope="session")
def person() -> Callable[..., MatchRecord]:
    """Zhang Wentao, with what is said to differ; `numbers` are (kind, value)."""

    def make(*, numbers: tuple[tuple[IdentifierKind, str], ...] = (), **said: Any) -> MatchRecord:
        for key in ("name", "mother_name"):
            if isinstance(said.get(key), str):
                said[key] = parse_person_name(said[key])
        if isinstance(said.get("address"), str):
            said["address"] = Address(text=said["address"])
        typed = [
            TypedIdentifier(
                PatientIdentifier(value, EAST if kind is IdentifierKind.LOCAL else RESIDENT), kind
            )
            for kind, value in numbers
        ]
        return prepare(replace(ZHANG, **said), typed)

    return make
