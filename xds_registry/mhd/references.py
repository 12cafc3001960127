"""What references in a bundle lead to (FHIR R4 bundle.html#references, references.html)."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_kernel.fhir.outcome import Resource


@dataclass(frozen=True)
class Placed:
    """A resource that was sent, and where it stands (FHIRPath)."""

    resource: Resource
    path: str
    full_url: str = ""

    @property
    def kind(self) -> str:
        """The type of the resource."""
        return str(self.resource["resourceType"])

    def contained(self, reference: str) -> Resource | None:
        """Return the contained resource that `#id` names, None where there is none."""
        if not reference.startswith("#"):
            return None
        inside = self.resource.get("contained", ())
        return next((one for one in inside if one.get("id") == reference[1:]), None)


class References:
    """Finds what was sent in one request; nothing is ever fetched from elsewhere."""

    def __init__(self, placed: Sequence[Placed], base: str) -> None:
        self._base = base
        self._by_name: dict[str, Placed] = {}
        for one in placed:
            names = [one.full_url, self.relative(one.full_url)]
            if "id" in one.resource:
                names.append(f"{one.kind}/{one.resource['id']}")
            for name in filter(None, names):
                self._by_name.setdefault(name, one)

    def relative(self, reference: str) -> str:
        """Return a reference without the address of this endpoint and without a version."""
        bare = reference.removeprefix(f"{self._base}/") if self._base else reference
        return bare.partition("/_history/")[0]

    def sent(self, reference: str) -> Placed | None:
        """Return what was sent under that name, None when it is not in the request."""
        return self._by_name.get(reference) or self._by_name.get(self.relative(reference))

    def resolver(self, within: Placed) -> "Resolver":
        """Return what resolves references inside `within`: contained first, then the bundle."""
        return Resolver(self, within)


@dataclass(frozen=True)
class Resolver:
    """Resolves the references of one resource."""

    references: References
    within: Placed

    def __call__(self, reference: str) -> Resource | None:
        """Return what a reference leads to, None where that is not in the request."""
        inside = self.within.contained(reference)
        if inside is not None:
            return inside
        found = self.references.sent(reference)
        return found.resource if found else None
