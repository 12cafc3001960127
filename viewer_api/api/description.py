"""`/api/v1/openapi.json`: the API described by itself (OpenAPI 3.1), made from the route table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, jsonify

from viewer_api.api.parameters import BODIES, QUERIES
from viewer_api.security import open_to_everyone, public_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.routing import Rule

blueprint = Blueprint("api_description", __name__, url_prefix="/api/v1")

_PARAMETER = re.compile(r"<(?:([a-z_]+):)?([a-z_]+)>")
_FORMS: dict[str, dict[str, Any]] = {
    "uid": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "maxLength": 64},
    "": {"type": "string"},
    "string": {"type": "string"},
    "int": {"type": "integer", "minimum": 0},
}
_REFUSALS = {
    "400": "The request cannot be understood; `error.detail` names the field",
    "401": "Not signed in",
    "404": "It does not exist, or the asker may not see it",
}
_METHODS = ("get", "post", "delete")


@blueprint.get("/openapi.json")
@open_to_everyone
def openapi() -> Response:
    """Answer the description; it holds no data and needs no sign-in."""
    return jsonify(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "EIR Hub",
                "version": "1",
                "description": (
                    "Errors are `{error: {status, title, advice, request_id, detail?}}`. What may "
                    "not be seen answers 404. With a session cookie, requests that change "
                    "something carry the form token in `X-CSRF-Token`."
                ),
            },
            "servers": [{"url": public_root()}],
            "security": [{"machineToken": []}, {"session": []}],
            "components": {
                "securitySchemes": {
                    "machineToken": {"type": "http", "scheme": "bearer"},
                    "session": {"type": "apiKey", "in": "cookie", "name": "__Host-eirhub"},
                }
            },
            "paths": dict(_paths()),
        }
    )


def _paths() -> Iterator[tuple[str, dict[str, Any]]]:
    found: dict[str, dict[str, Any]] = {}
    for rule in current_app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/"):
            path = _PARAMETER.sub(r"{\2}", rule.rule)
            found.setdefault(path, {}).update(_operations(rule))
    yield from sorted(found.items())


def _operations(rule: Rule) -> dict[str, Any]:
    methods = {method.lower() for method in rule.methods or ()} & set(_METHODS)
    return {method: _operation(rule) for method in sorted(methods)}


def _operation(rule: Rule) -> dict[str, Any]:
    view = current_app.view_functions[rule.endpoint]
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _FORMS[kind]}
        for kind, name in _PARAMETER.findall(rule.rule)
    ]
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": (view.__doc__ or "").strip().splitlines()[0],
        "parameters": [*in_path, *QUERIES.get(rule.endpoint, [])],
        "responses": {
            "2XX": {"description": "As asked"},
            **{status: {"description": text} for status, text in _REFUSALS.items()},
        },
    }
    body = BODIES.get(rule.endpoint)
    if body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation
