"""Check a resource against the table of structures, strictly (FHIR R4 json.html, validation.html).

What the table does not have is refused, and so are wrong types, missing elements, codes outside a
required value set, empty objects and nulls. Values are not repeated in what is said: they may be
about a person.
"""

from collections.abc import Iterator
from typing import Any

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from hub_kernel.fhir.primitives import PRIMITIVES, is_primitive
from hub_kernel.fhir.structures import RESOURCES, Element, Structure, elements_of

_MOST_ISSUES = 20


def require_valid(resource: Resource, expected: str) -> None:
    """Let a resource of the type `expected` pass.

    Raises:
        FhirRefusedError: 400, with everything that is wrong (the first twenty).
    """
    issues: list[Issue] = []
    for issue in problems(resource, expected):
        issues.append(issue)
        if len(issues) == _MOST_ISSUES:
            break
    if issues:
        raise FhirRefusedError(400, *issues)


def problems(resource: Any, expected: str) -> Iterator[Issue]:
    """Yield what is wrong with a resource that should be of the type `expected`."""
    found = resource.get("resourceType") if isinstance(resource, dict) else None
    if found != expected:
        came = found if isinstance(found, str) else "nothing"
        yield _wrong_resource(expected, came)
        return
    yield from _resource(resource, expected)


def _resource(resource: Any, path: str) -> Iterator[Issue]:
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str):
        yield _structure(
            "no-resource-type", "a resource has a resourceType", "资源缺少 resourceType", path
        )
        return
    if kind not in RESOURCES:
        # Contained resources of other types are carried along unread.
        return
    content = {key: value for key, value in resource.items() if key != "resourceType"}
    yield from _object(content, elements_of(kind), path)


def _object(value: Any, structure: Structure, path: str) -> Iterator[Issue]:
    if not isinstance(value, dict):
        yield _structure("no-object", "an object is needed here", "此处需要对象", path)
        return
    chosen: dict[str, str] = {}
    for key, content in value.items():
        element = structure.get(key.removeprefix("_"))
        place = f"{path}.{shown(key)}"
        if element is None or (key.startswith("_") and not is_primitive(element.type)):
            yield _unknown(place)
            continue
        if element.choice and chosen.setdefault(element.choice, element.name) != element.name:
            yield _two_choices(element, place)
            continue
        beside = value.get(key[1:] if key.startswith("_") else f"_{key}")
        yield from _content(content, element, place, beside)
    yield from _missing(value, structure, path)


def _missing(value: Resource, structure: Structure, path: str) -> Iterator[Issue]:
    for element in structure.values():
        if element.least and element.name not in value and f"_{element.name}" not in value:
            yield Issue(
                "required",
                "missing-element",
                "this element is needed",
                "缺少必需的元素",
                where=f"{path}.{element.name}",
            )


def _content(content: Any, element: Element, place: str, beside: Any) -> Iterator[Issue]:
    """Check one property: a single value, or the array that a repeating element needs."""
    of_extensions = place.rpartition(".")[2].startswith("_")
    if element.most == 1:
        yield from _value(content, element, place, of_extensions=of_extensions)
        return
    if not isinstance(content, list) or not content:
        yield _structure(
            "no-array", "an array that is not empty is needed here", "此处需要非空数组", place
        )
        return
    others = beside if isinstance(beside, list) else []
    for position, one in enumerate(content):
        if one is None and position < len(others) and others[position] is not None:
            continue
        where = f"{place}[{position}]"
        yield from _value(one, element, where, of_extensions=of_extensions)


def _value(value: Any, element: Element, place: str, *, of_extensions: bool) -> Iterator[Issue]:
    if of_extensions:
        yield from _object(value, _PRIMITIVE_EXTENSION, place)
    elif is_primitive(element.type):
        yield from _primitive(value, element, place)
    elif element.type == "Resource":
        yield from _resource(value, place)
    elif value == {}:
        yield _structure("empty-object", "an object must not be empty", "对象不能为空", place)
    else:
        yield from _object(value, elements_of(element.type), place)


def _primitive(value: Any, element: Element, place: str) -> Iterator[Issue]:
    primitive = PRIMITIVES[element.type]
    if not primitive.accepts(value):
        yield Issue(
            "value",
            "wrong-value",
            f"not a {element.type}",
            f"不是有效的 {element.type}",
            where=place,
            allowed=primitive.allowed,
        )
    elif element.codes and value not in element.codes:
        yield Issue(
            "code-invalid",
            "unknown-code",
            "not a code of the value set",
            "代码不在值集之内",
            where=place,
            came=shown(str(value)),
            allowed=", ".join(sorted(element.codes)),
        )


_PRIMITIVE_EXTENSION: Structure = {
    "id": Element("id", "string"),
    "extension": Element("extension", "Extension", most=10_000),
}


def _structure(rule: str, en: str, zh: str, where: str) -> Issue:
    return Issue("structure", rule, en, zh, where=where)


def _two_choices(element: Element, where: str) -> Issue:
    return _structure(
        "two-choices", f"only one {element.choice}", f"{element.choice} 只能出现一个", where
    )


def _unknown(where: str) -> Issue:
    return _structure(
        "unknown-element", "FHIR R4 has no such element here", "FHIR R4 在此处没有该元素", where
    )


def _wrong_resource(expected: str, came: str) -> Issue:
    return Issue(
        "structure",
        "wrong-resource",
        "another resource is needed",
        "资源类型不符",
        where="resourceType",
        came=shown(came),
        allowed=expected,
    )
