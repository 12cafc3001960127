"""The fixtures of `tests.patient_index.fhir.hub`, for every test beside it."""

from tests.patient_index.fhir.hub import asked_hub, hub

__all__ = ["asked_hub", "hub"]
