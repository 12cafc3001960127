"""Registry responses: a status and the errors behind it (ebRS 3.0, ITI TF-3 4.2.4)."""

from collections.abc import Sequence
from copy import deepcopy

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim import parsed, xml_text
from xds_registry.errors import SEVERITY_ERROR, XdsRefusalError


def registry_response(
    status: str, errors: Sequence[XdsRefusalError] = (), tag: str = f"{{{v.RS}}}RegistryResponse"
) -> etree._Element:
    """Return a response of `status`; `errors` keep their order."""
    element = etree.Element(tag, nsmap={"rs": v.RS, "rim": v.RIM, "query": v.QUERY})
    element.set("status", status)
    if errors:
        error_list = etree.SubElement(element, f"{{{v.RS}}}RegistryErrorList")
        error_list.set("highestSeverity", SEVERITY_ERROR)
        for error in errors:
            _error(error_list, error)
    return element


def with_objects(response: etree._Element, objects: str) -> etree._Element:
    """Return `response` with registry objects, written as text, in its RegistryObjectList."""
    if not objects:
        return response
    whole = deepcopy(response)
    place = whole.find(f"{{{v.RIM}}}RegistryObjectList")
    if place is None:
        place = etree.SubElement(whole, f"{{{v.RIM}}}RegistryObjectList")
    place.extend(parsed(objects))
    return whole


def _error(parent: etree._Element, error: XdsRefusalError) -> None:
    element = etree.SubElement(parent, f"{{{v.RS}}}RegistryError")
    element.set("errorCode", error.code)
    element.set("codeContext", xml_text(error.code_context))
    element.set("severity", SEVERITY_ERROR)
    if error.place:
        element.set("location", xml_text(error.place))
