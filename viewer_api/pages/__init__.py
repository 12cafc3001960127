"""The pages: what each reader sees, one module per page, all behind the security edge."""

from flask import Blueprint

from viewer_api.pages import (
    arrivals,
    assets,
    find,
    frame,
    record,
    region,
    shared,
    sharing,
    sign_in,
    study,
    trail,
)


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all pages, to be registered at the root."""
    modules = (
        assets,
        frame,
        sign_in,
        find,
        record,
        study,
        sharing,
        shared,
        arrivals,
        region,
        trail,
    )
    return [module.blueprint for module in modules]
