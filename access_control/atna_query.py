"""What was asked, fit for an audit record: the shape of the query without anybody's name (ITI-20).

The profiles want the query itself in the record. Identifiers, codes and times are kept; every value
of a parameter that is not known to be one of those is struck out, names of patients first of all.
"""

import re
from copy import deepcopy
from urllib.parse import parse_qsl, urlencode

from lxml import etree

STRUCK = "[…]"
_RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
_LONGEST_VALUE = 200
_MOST_SLOTS = 64

# Stored query parameters are codes, times, identifiers and states but for the author's name.
_STORED_QUERY_PARAMETER = re.compile(r"\$(XDS|MPQ|XFD|XC)?[A-Za-z]{1,60}")
_STORED_QUERY_NAMES = ("Author", "Title", "Comments", "SourcePatientInfo")

_FHIR_KEPT = frozenset(
    {
        "_count",
        "_format",
        "_id",
        "_lastUpdated",
        "_offset",
        "_page",
        "category",
        "code",
        "creation",
        "date",
        "event",
        "facility",
        "format",
        "identifier",
        "modality",
        "onlycertainmatches",
        "patient",
        "patient.identifier",
        "period",
        "related",
        "security-label",
        "setting",
        "sourceidentifier",
        "status",
        "study",
        "targetsystem",
        "type",
        "code:in",
    }
)
_HL7_KEPT = ("@PID.3", "@PID.18", "@PV1.19")


def stored_query(request: etree._Element) -> str:
    """Return the `AdhocQueryRequest` as XML text in which no value can be a name."""
    copy = deepcopy(request)
    for number, slot in enumerate(copy.iter(f"{{{_RIM}}}Slot")):
        kept = number < _MOST_SLOTS and _keeps_values(slot.get("name", ""))
        for value in slot.iter(f"{{{_RIM}}}Value"):
            text = value.text or ""
            value.text = text[:_LONGEST_VALUE] if kept else STRUCK
    etree.strip_elements(copy, etree.Comment, with_tail=False)
    return str(etree.tostring(copy, encoding="unicode", with_tail=False))


def fhir_search(target: str, query_string: str) -> str:
    """Return `target?…` of a search, the values of parameters that may hold a name struck out."""
    pairs = parse_qsl(query_string, keep_blank_values=True, max_num_fields=_MOST_SLOTS)
    told = [
        (name, value[:_LONGEST_VALUE] if name.lower() in _FHIR_KEPT else "*")
        for name, value in pairs
    ]
    return f"{target}?{urlencode(told, safe='|:*/')}" if told else target


def hl7_parameters(qpd_3: str, repetition: str = "~", component: str = "^") -> str:
    """Return QPD-3 of a QBP^Q22 (`@PID.5.1^WANG~…`) with every value that may be a name struck."""
    told = []
    for parameter in qpd_3.split(repetition)[:_MOST_SLOTS]:
        name, _, value = parameter.partition(component)
        kept = name.startswith(_HL7_KEPT)
        told.append(f"{name}={value[:_LONGEST_VALUE] if kept else '*'}")
    return repetition.join(told)


def _keeps_values(name: str) -> bool:
    known = _STORED_QUERY_PARAMETER.fullmatch(name) is not None
    return known and not any(word in name for word in _STORED_QUERY_NAMES)
