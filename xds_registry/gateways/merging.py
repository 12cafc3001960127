"""Put the answers of several communities together into one (ITI TF-2 3.18.4.1.3, 3.43.4.2).

What another community wrote is rebuilt from the few things an answer may hold: nothing else of
theirs reaches whoever asked here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim import xml_text
from xds_registry.errors import SEVERITY_ERROR, XdsRefusalError
from xds_registry.gateways.client import CommunityAnswer, included_part
from xds_registry.mtom import Attachment
from xds_registry.responses import registry_response

QUERY_RESPONSE = f"{{{v.QUERY}}}AdhocQueryResponse"
RETRIEVE_RESPONSE = f"{{{v.XDS_B}}}RetrieveDocumentSetResponse"
_REGISTRY_RESPONSE = f"{{{v.RS}}}RegistryResponse"
_ERROR_LIST = f"{{{v.RS}}}RegistryErrorList"
_ERROR = f"{{{v.RS}}}RegistryError"
_OBJECTS = f"{{{v.RIM}}}RegistryObjectList"
_RESPONSE = f"{{{v.XDS_B}}}DocumentResponse"
_DOCUMENT = f"{{{v.XDS_B}}}Document"
_KEPT = ("errorCode", "codeContext", "severity")
_LONGEST_CONTEXT = 1_000
_WARNING = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning"
OBJECT_NAMES = frozenset({"ExtrinsicObject", "RegistryPackage", "Association", "ObjectRef"})


@dataclass
class Merged:
    """What is found so far, and what went wrong.

    `answered` says how many of those asked have answered, be it with nothing.
    """

    answered: int = 0
    objects: list[etree._Element] = field(default_factory=list)
    errors: list[etree._Element] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    def refuse(self, refusals: Iterable[XdsRefusalError]) -> None:
        """Add errors of our own."""
        self.errors += errors_of(registry_response(v.RESPONSE_FAILURE, list(refusals)))

    def as_query_response(self) -> etree._Element:
        """Return everything as one AdhocQueryResponse."""
        payload = self._response(QUERY_RESPONSE, some=self.answered > 0)
        etree.SubElement(payload, _OBJECTS).extend(self.objects)
        return payload

    def as_retrieve_response(self) -> etree._Element:
        """Return everything as one RetrieveDocumentSetResponse."""
        payload = etree.Element(RETRIEVE_RESPONSE, nsmap={"xdsb": v.XDS_B, "xop": v.XOP})
        payload.append(self._response(_REGISTRY_RESPONSE, some=bool(self.objects)))
        payload.extend(self.objects)
        return payload

    def _response(self, tag: str, *, some: bool) -> etree._Element:
        failed = any(error.get("severity") != _WARNING for error in self.errors)
        status = v.RESPONSE_SUCCESS
        if failed:
            status = v.RESPONSE_PARTIAL if some else v.RESPONSE_FAILURE
        element = registry_response(status, (), tag)
        if self.errors:
            errors = etree.SubElement(element, _ERROR_LIST)
            errors.set("highestSeverity", SEVERITY_ERROR if failed else _WARNING)
            errors.extend(self.errors)
        return element


def errors_of(payload: etree._Element, home_community_id: str = "") -> list[etree._Element]:
    """Return the errors in an answer, rebuilt; `home_community_id` says where they come from.

    An error of another community names it in `location` (ITI TF-2 3.18.4.1.3).
    """
    return [_rebuilt(error, home_community_id) for error in payload.iter(_ERROR)]


def objects_of(payload: etree._Element) -> list[etree._Element]:
    """Return the registry objects in a query's answer, detached from it."""
    found = payload.find(_OBJECTS)
    objects = [] if found is None else list(found)
    return [one for one in objects if etree.QName(one).localname in OBJECT_NAMES]


def responses_of(payload: etree._Element) -> list[etree._Element]:
    """Return the DocumentResponse elements of a retrieval's answer."""
    return list(payload.iterfind(_RESPONSE))


def stamp_homes(objects: Iterable[etree._Element], home_community_id: str) -> None:
    """Say of every registry object which community it is of (ITI TF-2 3.38.4.1.3)."""
    for one in objects:
        one.set("home", home_community_id)


@dataclass(frozen=True)
class Wanted:
    """What was asked of one community: repository and uniqueId of each document."""

    home_community_id: str
    documents: frozenset[tuple[str, str]]


def foreign_documents(
    answer: CommunityAnswer, wanted: Wanted, prefix: str
) -> Iterator[tuple[tuple[str, str], etree._Element, Attachment]]:
    """Yield what a community answered, each document once and only those it was asked for.

    First comes its repository and uniqueId. `prefix` begins the content ids, so that those of two
    communities never meet.
    """
    given: set[tuple[str, str]] = set()
    numbers = count()
    for response in responses_of(answer.payload):
        document = response.find(_DOCUMENT)
        if document is None:
            continue
        part = included_part(answer, document, next(numbers))
        texts = {etree.QName(one).localname: (one.text or "").strip() for one in response}
        address = texts.get("RepositoryUniqueId", ""), texts.get("DocumentUniqueId", "")
        if part is None or address not in wanted.documents or address in given:
            continue
        given.add(address)
        content_id = f"{prefix}-{len(given)}@eirhub"
        media_type = _media_type(texts.get("mimeType", ""))
        attachment = Attachment(content_id, media_type, part.size, part.chunks)
        rebuilt = _document_response(wanted.home_community_id, address, attachment)
        yield address, rebuilt, attachment


def _document_response(
    home: str, address: tuple[str, str], attachment: Attachment
) -> etree._Element:
    element = etree.Element(_RESPONSE)
    for name, value in (
        ("HomeCommunityId", home),
        ("RepositoryUniqueId", address[0]),
        ("DocumentUniqueId", address[1]),
        ("mimeType", attachment.media_type),
    ):
        etree.SubElement(element, f"{{{v.XDS_B}}}{name}").text = xml_text(value)
    content = etree.SubElement(element, _DOCUMENT)
    include = etree.SubElement(content, f"{{{v.XOP}}}Include")
    include.set("href", f"cid:{attachment.content_id}")
    return element


def _media_type(text: str) -> str:
    """Return a media type that can stand in a header line, whatever was sent."""
    plain = "".join(letter for letter in text if letter.isascii() and letter.isprintable())
    return plain[:120] if "/" in plain else "application/octet-stream"


def _rebuilt(error: etree._Element, home_community_id: str) -> etree._Element:
    element = etree.Element(_ERROR)
    for name in _KEPT:
        element.set(name, xml_text(error.get(name, ""))[:_LONGEST_CONTEXT])
    place = home_community_id or error.get("location", "")
    if place:
        element.set("location", xml_text(place)[:_LONGEST_CONTEXT])
    return element


def with_patient_id(query: etree._Element, slot_name: str, patient_id: str) -> etree._Element:
    """Return a copy of an AdhocQueryRequest that asks about another patient identifier."""
    copy = deepcopy(query)
    for slot in copy.iterfind(f"{{{v.RIM}}}AdhocQuery/{{{v.RIM}}}Slot"):
        if slot.get("name") == slot_name:
            values = slot.findall(f"{{{v.RIM}}}ValueList/{{{v.RIM}}}Value")
            quoted = patient_id.replace("'", "''")
            for value in values:
                value.text = f"'{quoted}'"
    return copy


def rename_patient(
    objects: Sequence[etree._Element], names: Mapping[str, str], schemes: frozenset[str]
) -> None:
    """Name the patient of `objects` as whoever asked did, where the community's name is known."""
    for one in objects:
        for identifier in one.iterfind(f"{{{v.RIM}}}ExternalIdentifier"):
            value = identifier.get("value", "")
            if identifier.get("identificationScheme") in schemes and value in names:
                identifier.set("value", xml_text(names[value]))
