"""Bundles of search results (FHIR R4 bundle.html#searchset)."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_kernel.fhir.outcome import Issue, Resource, operation_outcome


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


def found_entry(base: str, resource: Resource, mode: str = "match") -> Resource:
    """Return the entry of a resource with an id; `mode` is match or include."""
    return {
        "fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}",
        "resource": resource,
        "search": {"mode": mode},
    }


def outcome_entry(issues: Sequence[Issue]) -> list[Resource]:
    """Return an entry with what is to be said beside the results, none when that is nothing."""
    if not issues:
        return []
    return [{"resource": operation_outcome(issues), "search": {"mode": "outcome"}}]


def ignored_parameters(names: Sequence[str], known: Sequence[str], *, severity: str) -> Issue:
    """Return what is said of parameters that were left out (search.html#errors)."""
    return Issue(
        "not-supported",
        "unknown-parameter",
        "these parameters were left out",
        "以下参数未被采用",
        where=f"http.{names[0]}",
        came=", ".join(names),
        allowed=", ".join(sorted(known)),
        severity=severity,
    )
