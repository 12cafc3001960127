"""The pages: what each reader sees, one module per page, all behind the security edge."""

from flask import Blueprint

from viewer_api.pages import (
    access_log,
    arrivals,
    assets,
    break_glass,
    break_glass_review,
    burned_in,
    conflicts,
    conformance,
    consents,
    diagnostic_viewer,
    documents,
    edge,
    elsewhere,
    find,
    forwarding,
    frame,
    holds,
    identity_drift,
    identity_people,
    identity_review,
    ledger,
    notifications,
    pictures,
    portable,
    record,
    refused_messages,
    refused_submissions,
    region,
    reports,
    shared,
    sharing,
    sign_in,
    site_usage,
    slide,
    study,
    trail,
    waiting_reports,
)


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all pages, to be registered at the root."""
    modules = (
        assets,
        frame,
        sign_in,
        find,
        break_glass,
        record,
        documents,
        elsewhere,
        study,
        slide,
        diagnostic_viewer,
        pictures,
        sharing,
        reports,
        shared,
        arrivals,
        region,
        site_usage,
        forwarding,
        ledger,
        conformance,
        notifications,
        trail,
        break_glass_review,
        identity_review,
        identity_people,
        identity_drift,
        refused_messages,
        refused_submissions,
        waiting_reports,
        consents,
        holds,
        access_log,
        conflicts,
        burned_in,
        portable,
    )
    return [module.blueprint for module in modules]


def edge_blueprints() -> list[Blueprint]:
    """Return the blueprints of a township gateway's pages."""
    return [module.blueprint for module in (assets, frame, sign_in, edge)]
