"""Bundles of search results (FHIR R4 bundle.html#searchset)."""

from collections.abc import Sequence
from dataclasses import dataclass

from patient_index.fhir.outcome import Issue, Resource, operation_outcome
from patient_index.model import Grade

MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


@dataclass(frozen=True)
class Links:
    """The links of a bundle; `next` is empty on the last page."""

    self: str
    next: str = ""


def searchset(total: int, links: Links, entries: Sequence[Resource]) -> Resource:
    """Return a searchset; FHIR has no empty arrays, so without entries there is none."""
    relations = [("self", links.self), ("next", links.next)]
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "link": [{"relation": name, "url": url} for name, url in relations if url],
    }
    if entries:
        bundle["entry"] = list(entries)
    return bundle


def patient_entry(base: str, patient: Resource, mode: str = "match") -> Resource:
    """Return the entry of a Patient; `mode` is match or include."""
    return {
        "fullUrl": f"{base}/Patient/{patient['id']}",
        "resource": patient,
        "search": {"mode": mode},
    }


def scored_entry(base: str, patient: Resource, score: float, grade: Grade) -> Resource:
    """Return the entry of a Patient with its score and match grade (PDQm 2:3.119.4.2.2.4)."""
    entry = patient_entry(base, patient)
    entry["search"] = {
        "extension": [{"url": MATCH_GRADE, "valueCode": grade.value}],
        "mode": "match",
        "score": round(min(max(score, 0.0), 1.0), 4),
    }
    return entry


def outcome_entry(issues: Sequence[Issue]) -> list[Resource]:
    """Return an entry with what is to be said beside the results, none when that is nothing."""
    if not issues:
        return []
    return [{"resource": operation_outcome(issues), "search": {"mode": "outcome"}}]
