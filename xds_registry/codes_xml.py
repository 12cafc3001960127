"""Read the code lists of an XDS toolkit's `codes.xml`."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from xds_registry.codes import CodeLists, CodeType, by_key, doubled
from xds_registry.errors import XdsRegistryError
from xds_registry.model import Code
from xds_registry.safe_xml import HostileXmlError, parse_xml

log = logging.getLogger(__name__)

_MIME_TYPE = "mimeType"
_VERSION = re.compile(rb"Version:\s*([\w.-]{1,40})")


class CodesXmlError(XdsRegistryError):
    """The file is no list of codes; the message names what is wrong in it."""


@dataclass(frozen=True)
class CodesXml:
    """What the file holds; `version` is what its first comment calls itself, or empty."""

    version: str
    lists: CodeLists


def read_codes_xml(data: bytes) -> CodesXml:
    """Return the code lists; a code that comes twice is kept once and logged.

    Raises:
        CodesXmlError: not XML, not `Codes`, or a code without its code or scheme.
    """
    try:
        root = parse_xml(data)
    except HostileXmlError as error:
        raise CodesXmlError(str(error)) from error
    if root.tag != "Codes":
        raise CodesXmlError("the root element must be Codes")
    found: dict[str, list[Code]] = {}
    for kind in root.iterfind("CodeType"):
        name = kind.get("name", "")
        found.setdefault(name, []).extend(_code(name, one) for one in kind.iterfind("Code"))
    twice = [f"{name} {key}" for name, codes in found.items() for key in doubled(codes)]
    if twice:
        log.warning("codes stand twice in codes.xml: %s", ", ".join(twice))
    version = _VERSION.search(data[:4096])
    return CodesXml(version.group(1).decode() if version else "", _lists(found))


def _lists(found: Mapping[str, list[Code]]) -> CodeLists:
    return CodeLists(
        {kind: by_key(found.get(kind, ())) for kind in CodeType},
        frozenset(code.code for code in found.get(_MIME_TYPE, ())),
    )


def _code(name: str, element: etree._Element) -> Code:
    code, scheme = element.get("code", ""), element.get("codingScheme", "")
    if not code or (not scheme and name != _MIME_TYPE):
        raise CodesXmlError(f"{name}: a Code needs code and codingScheme")
    return Code(code, scheme, element.get("display", ""))
