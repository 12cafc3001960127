"""Take an ebRIM object list apart, whatever it means: objects with their slots, names and codes.

ebRIM 3.0; ITI TF-3 4.3.1. What is not shaped as ebRIM and the profile ask is noted as a fault with
its place; reading goes on, so that a sender learns of all of them at once. Classifications count
alike inside the object they classify and beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim_names import object_place, quoted, slot_step
from xds_registry.errors import ErrorCode, ErrorText, MetadataRefusalError
from xds_registry.model import LocalText

LONGEST_VALUE = 256
_LONGEST_TEXT = 1024
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_RIM = f"{{{v.RIM}}}"
_OBJECTS = frozenset({"ExtrinsicObject", "RegistryPackage", "Association"})

ONE_SLOT = ErrorText("a slot name must be unique in its object", "同一对象中槽名不得重复")
EMPTY_VALUE = ErrorText("a slot must have a value and no empty one", "槽必须有值且不得为空值")
TOO_LONG = ErrorText("the value is longer than ebRIM allows", "值超过 ebRIM 允许的长度")
UNIQUE_ID = ErrorText("every object needs an id of its own", "每个对象必须有各自的 id")
OWNER = ErrorText(
    "this belongs to the object it stands in, or to one in this submission",
    "该元素必须属于其所在对象，或本次提交中的某个对象",
)
UNKNOWN_ELEMENT = ErrorText("this element has no meaning in a submission", "提交中不允许该元素")


@dataclass
class Faults:
    """What was found wrong so far, in the order it was found."""

    found: list[MetadataRefusalError] = field(default_factory=list)

    def add(
        self, about: tuple[str, str], place: str, rule: ErrorText, allowed: str = "", came: str = ""
    ) -> None:
        """Note that the attribute `about` (object id, name) breaks a rule of the metadata."""
        refusal = MetadataRefusalError(
            ErrorCode.REGISTRY_METADATA, place, allowed, came=came, rule=rule
        )
        self.found.append(refusal.about(*about))


@dataclass(frozen=True)
class Classified:
    """One classification: a code, an author, or a node that says what its owner is."""

    scheme: str
    node: str
    representation: str
    names: tuple[LocalText, ...]
    slots: dict[str, tuple[str, ...]]


@dataclass
class Part:
    """One object as it was sent."""

    tag: str
    object_id: str
    element: etree._Element
    slots: dict[str, tuple[str, ...]]
    titles: tuple[LocalText, ...]
    comments: tuple[LocalText, ...]
    classifications: list[Classified]
    identifiers: list[tuple[str, str]]

    @property
    def place(self) -> str:
        """The XPath of the object."""
        return object_place(self.tag, self.object_id)

    def is_node(self, node: str) -> bool:
        """Tell whether the object is classified as `node`."""
        return any(one.node == node for one in self.classifications)


def take_apart(registry_object_list: etree._Element, faults: Faults) -> list[Part]:
    """Return the objects of a RegistryObjectList in their order; ObjectRefs say nothing more."""
    parts: list[Part] = []
    free: list[etree._Element] = []
    for element in _elements(registry_object_list):
        name = _local(element)
        if name in _OBJECTS:
            parts.append(_part(element, name, faults))
        elif name == "Classification":
            free.append(element)
        elif name != "ObjectRef":
            faults.add(("", name), f"//rim:{name}"[:128], UNKNOWN_ELEMENT)
    by_id = _by_id(parts, faults)
    for element in free:
        owner = by_id.get(element.get("classifiedObject", ""))
        if owner is None:
            came = element.get("classifiedObject", "")
            faults.add(("", "classifiedObject"), "//rim:Classification", OWNER, came=came)
        else:
            owner.classifications.append(_classified(element, owner.object_id, faults))
    return parts


def _by_id(parts: Sequence[Part], faults: Faults) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in parts:
        if not part.object_id or part.object_id in found:
            faults.add((part.object_id, "entry_uuid"), f"{part.place}/@id", UNIQUE_ID)
        found[part.object_id] = part
    return found


def _part(element: etree._Element, tag: str, faults: Faults) -> Part:
    object_id = element.get("id", "").strip()
    part = Part(tag, object_id, element, {}, (), (), [], [])
    for child in _elements(element):
        name = _local(child)
        if name == "Slot":
            _add_slot(part.slots, child, (object_id, part.place), faults)
        elif name == "Name":
            part.titles = _texts(child, (object_id, "title"), f"{part.place}/rim:Name", faults)
        elif name == "Description":
            place = f"{part.place}/rim:Description"
            part.comments = _texts(child, (object_id, "comments"), place, faults)
        elif name == "Classification":
            _require_owner(child, "classifiedObject", part, faults)
            part.classifications.append(_classified(child, object_id, faults))
        elif name == "ExternalIdentifier":
            _require_owner(child, "registryObject", part, faults)
            part.identifiers.append(_identifier(child, part, faults))
        elif name not in {"VersionInfo", "ContentVersionInfo"}:
            faults.add((object_id, name), part.place, UNKNOWN_ELEMENT, came=name)
    return part


def _require_owner(child: etree._Element, attribute: str, owner: Part, faults: Faults) -> None:
    came = child.get(attribute, owner.object_id).strip()
    if came != owner.object_id:
        place = f"{owner.place}/rim:{_local(child)}/@{attribute}"
        faults.add((owner.object_id, attribute), place, OWNER, owner.object_id, came)


def _identifier(element: etree._Element, owner: Part, faults: Faults) -> tuple[str, str]:
    scheme = element.get("identificationScheme", "").strip()
    value = element.get("value", "").strip()
    _require_short(
        value, (owner.object_id, scheme), f"{owner.place}/rim:ExternalIdentifier", faults
    )
    return scheme, value


def _classified(element: etree._Element, object_id: str, faults: Faults) -> Classified:
    scheme = element.get("classificationScheme", "").strip()
    place = f"//rim:Classification[@classifiedObject={quoted(object_id)}]"
    slots: dict[str, tuple[str, ...]] = {}
    names: tuple[LocalText, ...] = ()
    for child in _elements(element):
        if _local(child) == "Slot":
            _add_slot(slots, child, (object_id, place), faults)
        elif _local(child) == "Name":
            names = _texts(child, (object_id, scheme), f"{place}/rim:Name", faults)
    representation = element.get("nodeRepresentation", "").strip()
    _require_short(representation, (object_id, scheme), f"{place}/@nodeRepresentation", faults)
    node = element.get("classificationNode", "").strip()
    return Classified(scheme, node, representation, names, slots)


def _add_slot(
    slots: dict[str, tuple[str, ...]],
    element: etree._Element,
    owner: tuple[str, str],
    faults: Faults,
) -> None:
    object_id, place = owner
    name = element.get("name", "").strip()
    place += slot_step(name)
    values = tuple(
        (value.text or "").strip() for value in element.iterfind(f"{_RIM}ValueList/{_RIM}Value")
    )
    if not name or not values or not all(values):
        faults.add((object_id, name), place, EMPTY_VALUE)
    if name in slots:
        faults.add((object_id, name), place, ONE_SLOT)
    for value in (name, *values):
        _require_short(value, (object_id, name), place, faults)
    slots[name] = tuple(value for value in values if value)


def _texts(
    element: etree._Element, about: tuple[str, str], place: str, faults: Faults
) -> tuple[LocalText, ...]:
    found = tuple(
        LocalText(one.get(_XML_LANG, ""), one.get("value", ""))
        for one in element.iterfind(f"{_RIM}LocalizedString")
    )
    if any(len(one.text) > _LONGEST_TEXT for one in found):
        faults.add(about, place, TOO_LONG, f"{_LONGEST_TEXT}")
    return tuple(one for one in found if one.text)


def _require_short(text: str, about: tuple[str, str], place: str, faults: Faults) -> None:
    if len(text) > LONGEST_VALUE:
        faults.add(about, place, TOO_LONG, f"{LONGEST_VALUE}")


def _elements(parent: etree._Element) -> Iterator[etree._Element]:
    return (child for child in parent if isinstance(child.tag, str))


def _local(element: etree._Element) -> str:
    """Return the ebRIM name of an element; one of another namespace keeps its own in braces."""
    return str(element.tag).removeprefix(_RIM)
