"""What an endpoint can do, put together from what its services offer (capabilitystatement.html)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hub_kernel.fhir import json_format, xml_format
from hub_kernel.fhir.exchange import Offer
from hub_kernel.fhir.outcome import Resource


@dataclass(frozen=True)
class Instance:
    """The running endpoint: its address, the software's version, since when it is as it is."""

    base: str
    version: str
    since: datetime


def capability_statement(instance: Instance, offers: Sequence[Offer]) -> Resource:
    """Return the CapabilityStatement of an endpoint."""
    statement: Resource = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instance.since.isoformat(timespec="seconds"),
        "kind": "instance",
        "instantiates": [url for offer in offers for url in offer.instantiates],
        "software": {"name": "EIR Hub", "version": instance.version},
        "implementation": {
            "description": "; ".join(offer.description for offer in offers),
            "url": instance.base,
        },
        "fhirVersion": "4.0.1",
        "format": [json_format.MEDIA_TYPE, xml_format.MEDIA_TYPE],
        "implementationGuide": [url for offer in offers for url in offer.guides],
        "rest": [_rest(offers)],
    }
    if not instance.version:
        del statement["software"]["version"]
    return {key: value for key, value in statement.items() if value != []}


def _rest(offers: Sequence[Offer]) -> Resource:
    rest: Resource = {
        "mode": "server",
        "documentation": " ".join(
            [
                *(offer.documentation for offer in offers if offer.documentation),
                "Answers hold what the bearer of the token may see.",
            ]
        ),
        "security": {
            "cors": False,
            "description": "Authorization: Bearer <machine token>; every access is audited.",
        },
        "resource": [resource for offer in offers for resource in offer.resources],
        "interaction": [one for offer in offers for one in offer.interactions],
    }
    return {key: value for key, value in rest.items() if value != []}
