"""Entries of matches with their grades (PDQm 2:3.119.4.2.2.4)."""

from hub_kernel.fhir.bundles import found_entry
from hub_kernel.fhir.outcome import Resource
from patient_index.model import Grade

MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


def scored_entry(base: str, patient: Resource, score: float, grade: Grade) -> Resource:
    """Return the entry of a Patient with its score and match grade (PDQm 2:3.119.4.2.2.4)."""
    entry = found_entry(base, patient)
    entry["search"] = {
        "extension": [{"url": MATCH_GRADE, "valueCode": grade.value}],
        "mode": "match",
        "score": round(min(max(score, 0.0), 1.0), 4),
    }
    return entry
