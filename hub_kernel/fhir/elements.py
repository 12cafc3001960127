"""How structures are written down: elements in order, types, cardinalities (FHIR R4, 4.0.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

MANY = 10_000
"""Upper cardinality `*`."""


@dataclass(frozen=True)
class Element:
    """One element of a type; a choice (`value[x]`) stands in the table once for each type."""

    name: str
    type: str
    least: int = 0
    most: int = 1
    codes: frozenset[str] = frozenset()
    choice: str = ""


Elements = tuple[Element, ...]
Structure = Mapping[str, Element]


def one(name: str, type_name: str, codes: str = "") -> Elements:
    """0..1; `codes` is the value set where its binding is required."""
    return (Element(name, type_name, codes=frozenset(codes.split())),)


def must(name: str, type_name: str, codes: str = "") -> Elements:
    """1..1."""
    return (Element(name, type_name, least=1, codes=frozenset(codes.split())),)


def many(name: str, type_name: str, *, least: int = 0, codes: str = "") -> Elements:
    """`least`..*."""
    return (Element(name, type_name, least, MANY, frozenset(codes.split())),)


def choice(name: str, *types: str) -> Elements:
    """One of several types, `name[x]`, 0..1."""
    return tuple(
        Element(name + kind[0].upper() + kind[1:], kind, choice=f"{name}[x]") for kind in types
    )


_ELEMENT = (*one("id", "string"), *many("extension", "Extension"))
_BACKBONE = (*_ELEMENT, *many("modifierExtension", "Extension"))
_RESOURCE = (
    *one("id", "id"), *one("meta", "Meta"), *one("implicitRules", "uri"),
    *one("language", "code"),
)  # fmt: skip
_DOMAIN = (
    *_RESOURCE, *one("text", "Narrative"), *many("contained", "Resource"),
    *many("extension", "Extension"), *many("modifierExtension", "Extension"),
)  # fmt: skip


def datatype(*own: Elements) -> Structure:
    """Return a data type: an Element with `own` elements."""
    return _structure(_ELEMENT, own)


def backbone(*own: Elements) -> Structure:
    """Return a BackboneElement with `own` elements."""
    return _structure(_BACKBONE, own)


def resource(*own: Elements) -> Structure:
    """Return a Resource with `own` elements."""
    return _structure(_RESOURCE, own)


def domain_resource(*own: Elements) -> Structure:
    """Return a DomainResource with `own` elements."""
    return _structure(_DOMAIN, own)


def _structure(inherited: Elements, own: tuple[Elements, ...]) -> dict[str, Element]:
    return {one.name: one for one in (*inherited, *(one for group in own for one in group))}
