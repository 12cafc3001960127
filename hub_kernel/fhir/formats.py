"""Which format a request has and which one its answer gets (FHIR R4 http.html#mime-type, Z.6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hub_kernel.fhir import json_format, xml_format
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource, shown


@dataclass(frozen=True)
class Format:
    """One encoding of resources. `read` takes the bytes and how long a value may be."""

    media_type: str
    read: Callable[[bytes, int], Resource]
    write: Callable[[Resource], bytes]


JSON = Format(json_format.MEDIA_TYPE, json_format.read_json, json_format.write_json)
XML = Format(xml_format.MEDIA_TYPE, xml_format.read_xml, xml_format.write_xml)
FORM = "application/x-www-form-urlencoded"

_NAMES: Mapping[str, Format] = {
    "json": JSON,
    "application/json": JSON,
    "application/fhir+json": JSON,
    "text/json": JSON,
    "xml": XML,
    "application/xml": XML,
    "application/fhir+xml": XML,
    "text/xml": XML,
}
_ANY = frozenset({"*/*", "application/*"})
_ALLOWED = "application/fhir+json, application/fhir+xml"
_MOST_RANGES = 32


def answer_format(wanted: str, accept: str) -> Format:
    """Return the format of the answer: `_format` wins over `Accept`, JSON where both are silent.

    Raises:
        FhirRefusedError: 406, nothing that is acceptable can be produced.
    """
    if wanted:
        # "+" arrives as a space where a client forgot to encode it.
        chosen = _named(wanted.replace(" ", "+"))
    else:
        chosen = _best(accept) if accept.strip() else JSON
    if chosen is None:
        raise FhirRefusedError(
            406,
            Issue(
                "not-supported",
                "format",
                "this format cannot be produced",
                "无法以该格式应答",
                where="http._format" if wanted else "http.Accept",
                came=shown(wanted or accept),
                allowed=_ALLOWED,
            ),
        )
    return chosen


def body_format(content_type: str) -> Format:
    """Return the format of a request's body.

    Raises:
        FhirRefusedError: 415.
    """
    name, parameters = _media_range(content_type)
    found = _NAMES.get(name) if "/" in name else None
    if found is None or parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise FhirRefusedError(
            415,
            Issue(
                "not-supported",
                "content-type",
                "the body has another type",
                "请求体类型不受支持",
                where="http.Content-Type",
                came=shown(content_type),
                allowed=_ALLOWED,
            ),
        )
    return found


def is_form(content_type: str) -> bool:
    """Say whether the body is a form (`POST …/_search`)."""
    return _media_range(content_type)[0] == FORM


def _best(accept: str) -> Format | None:
    ranges = [_media_range(text) for text in accept.split(",")[:_MOST_RANGES]]
    weighed = [
        (-_weight(parameters), place, name, parameters)
        for place, (name, parameters) in enumerate(ranges)
    ]
    for weight, _place, name, parameters in sorted(weighed, key=lambda one: one[:2]):
        found = JSON if name in _ANY else _named(name, parameters)
        if found is not None and weight < 0:
            return found
    return None


def _named(text: str, parameters: Mapping[str, str] | None = None) -> Format | None:
    if parameters is None:
        text, parameters = _media_range(text)
    version = parameters.get("fhirversion", "4.0")
    return _NAMES.get(text) if version in {"4.0", "4.0.1"} else None


def _weight(parameters: Mapping[str, str]) -> float:
    try:
        return min(max(float(parameters.get("q", "1")), 0.0), 1.0)
    except ValueError:
        return 0.0


def _media_range(text: str) -> tuple[str, dict[str, str]]:
    name, *rest = text.split(";")
    pairs = (part.partition("=") for part in rest)
    return name.strip().lower(), {
        key.strip().lower(): value.strip().strip('"') for key, _, value in pairs
    }
