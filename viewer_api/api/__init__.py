"""The JSON API under `/api/v1`, described by its own OpenAPI document."""

from flask import Blueprint

from viewer_api.api import (
    consents,
    description,
    forwarding,
    identity,
    ledger,
    links,
    patients,
    slides,
    studies,
    subject,
    submissions,
)


def blueprints() -> list[Blueprint]:
    """Return the blueprints that answer under `/api/v1`."""
    return [
        subject.blueprint,
        patients.blueprint,
        studies.blueprint,
        slides.blueprint,
        links.blueprint,
        identity.blueprint,
        consents.blueprint,
        submissions.blueprint,
        forwarding.blueprint,
        ledger.blueprint,
        description.blueprint,
    ]
