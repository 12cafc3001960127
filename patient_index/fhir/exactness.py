"""The modifier `:exact`: the whole value, its case and its accents (FHIR R4 search.html#string)."""

from collections.abc import Callable, Iterator

from hub_kernel.person_names import PersonName
from patient_index.fhir.human_names import human_names
from patient_index.model import Person

Exactly = Callable[[Person], bool]


def exact_name(part: str) -> Callable[[str], Exactly]:
    """Return what makes a check of one value: `part` is "family", "given", "mother", "" for any."""

    def of_value(value: str) -> Exactly:
        return lambda person: value in set(_name_values(person, part))

    return of_value


def exact_address(part: str) -> Callable[[str], Exactly]:
    """Return what makes a check of one value: `part` is a field of `Address`, "" for any."""

    def of_value(value: str) -> Exactly:
        def holds(person: Person) -> bool:
            said = vars(person.demographics.address)
            return value in (said.values() if not part else {said[part]})

        return holds

    return of_value


def _name_values(person: Person, part: str) -> Iterator[str]:
    mother = person.demographics.mother_name
    names = [person.name, *person.demographics.other_names]
    if part == "mother":
        names = [mother] if mother else []
    for name in names:
        yield from _values_of(name, part if part in {"family", "given"} else "")


def _values_of(name: PersonName, part: str) -> Iterator[str]:
    for written in human_names(name, ""):
        if part in {"family", ""}:
            yield written.get("family", "")
        if part in {"given", ""}:
            yield from written.get("given", ())
        if not part:
            yield written["text"]
