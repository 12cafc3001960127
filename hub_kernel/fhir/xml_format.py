"""FHIR XML, both ways, from the table of structures (FHIR R4 xml.html).

Reading is one expat pass that builds its own small tree: a document type declaration is refused the
moment it opens, so nothing is ever expanded or fetched; depth, elements and attributes are bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown
from hub_kernel.fhir.primitives import is_primitive
from hub_kernel.fhir.structures import RESOURCES, Element, Structure, elements_of

MEDIA_TYPE = "application/fhir+xml"

_FHIR = "http://hl7.org/fhir"
_XHTML = "http://www.w3.org/1999/xhtml"
_DEEPEST = 64
_MOST_ELEMENTS = 50_000
_MOST_ATTRIBUTES = 8
_LONGEST_TAG = 128 * 1024
_CHUNK = 16 * 1024
_CHUNKS_PER_TAG = 8
_ENCODINGS = frozenset({"utf-8", "utf8", "utf-16", "us-ascii", "ascii"})
_EMPTY_NARRATIVE = '<div xmlns="http://www.w3.org/1999/xhtml">-</div>'


@dataclass
class _Node:
    """One XML element: its local name, its attributes, what is inside."""

    name: str
    namespace: str
    attributes: dict[str, str]
    children: list["_Node"] = field(default_factory=list)


def write_xml(resource: Resource) -> bytes:
    """Return a resource as FHIR XML in UTF-8; it has to be one of the table's."""
    written = "".join(_resource(resource, namespace=True))
    return f'<?xml version="1.0" encoding="UTF-8"?>{written}'.encode()


def read_xml(data: bytes, longest_tag: int = _LONGEST_TAG) -> Resource:
    """Return the resource that `data` holds, in its JSON form; values are not checked yet.

    `longest_tag` bounds a tag with its attributes, and with it the longest value.

    Raises:
        FhirRefusedError: 400; not well-formed, a DTD, beyond the bounds, not FHIR.
    """
    root = _Reader(longest_tag).read(data)
    if root.name not in RESOURCES:
        raise _refused("the root is none of the resources this endpoint reads")
    return _read_resource(root, root.name)


def _resource(resource: Resource, *, namespace: bool = False) -> Iterator[str]:
    name = resource["resourceType"]
    yield f'<{name} xmlns="{_FHIR}">' if namespace else f"<{name}>"
    for element in elements_of(name).values():
        yield from _property(resource, element)
    yield f"</{name}>"


def _property(parent: Resource, element: Element) -> Iterator[str]:
    values, beside = parent.get(element.name), parent.get(f"_{element.name}")
    if values is None and beside is None:
        return
    if element.most == 1:
        values, beside = [values], [beside]
    values, beside = values or [], beside or []
    for position in range(max(len(values), len(beside))):
        value = values[position] if position < len(values) else None
        extra = beside[position] if position < len(beside) else None
        yield from _written(element, value, extra or {})


def _written(element: Element, value: Any, extra: Resource) -> Iterator[str]:
    if element.type == "Resource":
        yield f"<{element.name}>"
        yield from _resource(value)
        yield f"</{element.name}>"
    elif element.type == "xhtml":
        yield value if _is_one_div(value) else _EMPTY_NARRATIVE
    elif is_primitive(element.type):
        attribute = "" if value is None else f" value={_quoted(value)}"
        inside = "".join(_property(extra, _EXTENSION))
        opened = f"<{element.name}{attribute}"
        yield f"{opened}>{inside}</{element.name}>" if inside else f"{opened}/>"
    else:
        yield from _complex(element, value)


def _is_one_div(text: Any) -> bool:
    """Say whether narrative is one well-formed XHTML div, and so cannot break what surrounds it."""
    try:
        return _Reader(_LONGEST_TAG).root_of(str(text).encode()) == ("div", _XHTML)
    except FhirRefusedError:
        return False


def _complex(element: Element, value: Resource) -> Iterator[str]:
    attributes = "".join(
        f" {name}={_quoted(value[name])}" for name in _attributes_of(element.type) if name in value
    )
    yield f"<{element.name}{attributes}>"
    for inner in elements_of(element.type).values():
        if inner.name not in _attributes_of(element.type):
            yield from _property(value, inner)
    yield f"</{element.name}>"


def _attributes_of(type_name: str) -> tuple[str, ...]:
    """`id` of an element and `url` of an extension are XML attributes (xml.html#xml-attributes)."""
    return ("url", "id") if type_name == "Extension" else ("id",)


def _quoted(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


_EXTENSION = Element("extension", "Extension", most=10_000)


def _read_resource(node: _Node, path: str) -> Resource:
    return {"resourceType": node.name, **_read_object(node, elements_of(node.name), path)}


def _read_object(node: _Node, structure: Structure, path: str) -> Resource:
    found: Resource = {}
    for child in node.children:
        element = structure.get(child.name)
        wanted = _XHTML if child.name == "div" else _FHIR
        place = f"{path}.{shown(child.name)}"
        if element is None or child.namespace != wanted:
            raise _unknown(place)
        value, extra = _read_value(child, element, place)
        if element.most == 1 and (element.name in found or f"_{element.name}" in found):
            raise _refused("an element that may come once comes twice", place)
        _put(found, element, value, extra)
    return {key: value for key, value in found.items() if not _says_nothing(key, value)}


def _says_nothing(key: str, value: Any) -> bool:
    return key.startswith("_") and isinstance(value, list) and not any(value)


def _put(found: Resource, element: Element, value: Any, extra: Resource | None) -> None:
    if element.most == 1:
        if value is not None:
            found[element.name] = value
        if extra:
            found[f"_{element.name}"] = extra
        return
    found.setdefault(element.name, []).append(value)
    if is_primitive(element.type):
        found.setdefault(f"_{element.name}", []).append(extra or None)


def _read_value(node: _Node, element: Element, place: str) -> tuple[Any, Resource | None]:
    if element.type == "Resource":
        if len(node.children) != 1:
            raise _refused("exactly one resource is needed here", place)
        inner = node.children[0]
        known = inner.name in RESOURCES and inner.namespace == _FHIR
        return (_read_resource(inner, place) if known else {"resourceType": inner.name}), None
    if element.type == "xhtml":
        return _EMPTY_NARRATIVE, None
    if is_primitive(element.type):
        extra = _read_object(node, {"extension": _EXTENSION}, place)
        return _primitive(node.attributes.get("value"), element.type), extra
    attributes = {
        name: node.attributes[name]
        for name in _attributes_of(element.type)
        if name in node.attributes
    }
    return {**attributes, **_read_object(node, elements_of(element.type), place)}, None


def _primitive(text: str | None, type_name: str) -> Any:
    """Return the JSON value of a `value` attribute; what does not read is left for the check."""
    if type_name == "boolean" and text in {"true", "false"}:
        return text == "true"
    if type_name in {"integer", "unsignedInt", "positiveInt"} and text and len(text) <= 11:
        try:
            return int(text)
        except ValueError:
            return text
    return text


class _Reader:
    """One expat pass over an untrusted document."""

    def __init__(self, longest_tag: int) -> None:
        self._longest_tag = longest_tag
        # expat begins an unfinished tag anew with every chunk: a long one must not take many.
        self._chunk = max(_CHUNK, longest_tag // _CHUNKS_PER_TAG)
        self._open: list[_Node] = []
        self._root: _Node | None = None
        self._elements = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def read(self, data: bytes) -> _Node:
        """Return the root element.

        Raises:
            FhirRefusedError: 400, with the bound or rule that was broken.
        """
        self._parse(data)
        if self._root is None or self._root.namespace != _FHIR:
            raise _refused("the root is not in the namespace http://hl7.org/fhir")
        return self._root

    def root_of(self, data: bytes) -> tuple[str, str]:
        """Return name and namespace of the root of any XML within the bounds.

        Raises:
            FhirRefusedError: 400, with the bound or rule that was broken.
        """
        self._parse(data)
        return (self._root.name, self._root.namespace) if self._root else ("", "")

    def _parse(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), self._chunk):
                chunk = data[start : start + self._chunk]
                self._parser.Parse(chunk)
                if start + len(chunk) - max(self._parser.CurrentByteIndex, 0) > self._longest_tag:
                    raise _refused(f"a tag is longer than {self._longest_tag} bytes")
            self._parser.Parse(b"", True)  # noqa: FBT003 (expat takes it by position alone)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise _refused("the body is not well-formed XML") from error

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise _refused("the XML must be encoded in UTF-8 or UTF-16")

    def _doctype(self, *_declaration: Any) -> None:
        raise _refused("a document type declaration is not accepted")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(self._open) >= _DEEPEST:
            raise _refused(f"more than {_MOST_ELEMENTS} elements or deeper than {_DEEPEST}")
        if len(attributes) > _MOST_ATTRIBUTES:
            raise _refused(f"an element has more than {_MOST_ATTRIBUTES} attributes")
        namespace, _, name = tag.rpartition(" ")
        node = _Node(name, namespace, attributes)
        # Narrative is not read, only bounded: nothing of it is ever shown.
        if self._open and self._open[-1].namespace != _XHTML:
            self._open[-1].children.append(node)
        self._open.append(node)
        self._root = self._root or node

    def _end(self, _tag: str) -> None:
        self._open.pop()


def _unknown(place: str) -> FhirRefusedError:
    return FhirRefusedError(
        400,
        Issue(
            "structure",
            "unknown-element",
            "FHIR R4 has no such element here",
            "FHIR R4 在此处没有该元素",
            where=place,
        ),
    )


def _refused(why: str, place: str = "http.body") -> FhirRefusedError:
    return FhirRefusedError(
        400, Issue("structure", "bad-xml", why, "请求体不是可接受的 FHIR XML", where=place)
    )
