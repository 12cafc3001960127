"""The table of structures has what R4 has, as an independent implementation knows it."""

import re
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from hub_kernel.fhir.structures import STRUCTURES, elements_of

# Written by the hub or read by it with fewer elements than R4 has; what is there must be right.
_IN_PART = frozenset(
    {"CapabilityStatement", "Extension", "Patient", "Identifier", "Parameters", "Bundle"}
)
# Same elements under another class in the model library.
_ELSEWHERE = re.compile(r"CapabilityStatement\.|Parameters\.|Bundle\.")


def _model(name: str) -> Any:
    parts = name.split(".")
    return get_fhir_model_class("".join(part[0].upper() + part[1:] for part in parts))


COMPARED = sorted(name for name in STRUCTURES if not _ELSEWHERE.match(name) and name != "Extension")


@pytest.mark.parametrize("name", COMPARED)
def test_a_structure_has_the_elements_of_r4_in_their_order(name: str) -> None:
    known = _model(name).elements_sequence()
    ours = [one for one in elements_of(name) if one != "modifierExtension"]
    # The library's narrative leaves out its own text, which is XHTML.
    assert set(ours) - set(known) <= ({"div"} if name == "Narrative" else set())
    assert [one for one in ours if one in known] == [one for one in known if one in ours]
    if name not in _IN_PART:
        assert set(known) - set(ours) - {"modifierExtension"} == set()
