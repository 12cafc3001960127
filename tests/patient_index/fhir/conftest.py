"""The fixtures of `hub` and `town`, for every test beside them."""

from tests.patient_index.fhir.hub import asked_hub, hub
from tests.patient_index.fhir.town import crowd, people, town

__all__ = ["asked_hub", "crowd", "hub", "people", "town"]
