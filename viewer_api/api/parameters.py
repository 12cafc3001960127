"""What the API's endpoints take beside their path: read, and as OpenAPI writes it (JSON Schema)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import request

from access_control.shared_links import MOST_VIEWS
from viewer_api.errors import BadQueryError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


_UNSTORABLE = re.compile("[\\0\ud800-\udfff]")


def json_object() -> dict[str, Any]:
    """Return the object that the request's JSON body is.

    Raises:
        BadQueryError: it is none, is nested deeper than anything can be read, or a text in it is
            no Unicode or holds a null character, which no database keeps.
    """
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        raise BadQueryError("the body must be a JSON object")
    for value in body.values():
        if isinstance(value, str) and _UNSTORABLE.search(value):
            raise BadQueryError("a text holds a null character or half of one")
    return body


def json_body(fields: Mapping[str, type], *, required: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of the request's JSON body.

    Raises:
        BadQueryError: the body is no JSON object, or a field is missing, unknown or ill-typed.
    """
    body = json_object()
    for name, value in body.items():
        if name not in fields:
            raise BadQueryError(f"a field is unknown; known are {', '.join(fields)}")
        if not isinstance(value, fields[name]):
            raise BadQueryError(f"{name} must be text")
    for name in required:
        if name not in body:
            raise BadQueryError(f"{name} is missing")
    return body


def whole_number(name: str, *, default: int, least: int = 0, most: int) -> int:
    """Return the number that the address gives as `name`.

    Raises:
        BadQueryError: it is no whole number, or out of bounds.
    """
    text = request.args.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,16}", text) or not least <= int(text) <= most:
        raise BadQueryError(f"{name} must be a number from {least} to {most}")
    return int(text)


QUERIES: dict[str, list[dict[str, Any]]] = {
    "api_ledger.studies": [
        {
            "name": "days",
            "in": "query",
            "description": "How many days to look back",
            "schema": {"type": "integer", "minimum": 1, "maximum": 366, "default": 1},
        },
        {
            "name": "late",
            "in": "query",
            "description": "Only what is late",
            "schema": {"type": "boolean", "default": False},
        },
    ],
    "api_patients.search": [
        {
            "name": "q",
            "in": "query",
            "required": True,
            "description": "A name, pinyin, initials or any number",
            "schema": {"type": "string", "minLength": 1, "maxLength": 64},
        },
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        },
    ],
    "api_identity.reviews": [
        {
            "name": "state",
            "in": "query",
            "schema": {"enum": ["waiting", "asked", "decided"], "default": "waiting"},
        },
        {"name": "start", "in": "query", "schema": {"type": "integer", "minimum": 0}},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
        },
    ],
    "api_submissions.page": [
        {
            "name": "state",
            "in": "query",
            "schema": {"enum": ["open", "replayed", "dismissed"], "default": "open"},
        },
        {
            "name": "before",
            "in": "query",
            "description": "The number of the last submission of the page before",
            "schema": {"type": "integer", "minimum": 1},
        },
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
        },
    ],
    "api_forwarding.rows": [
        {
            "name": "state",
            "in": "query",
            "schema": {
                "enum": ["queued", "leased", "accepted", "sent", "committed", "parked"],
                "default": "parked",
            },
        },
        {
            "name": "after",
            "in": "query",
            "description": "The number of the last row of the page before",
            "schema": {"type": "integer", "minimum": 1},
        },
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
        },
    ],
    "api_identity.history": [
        {
            "name": "as_of",
            "in": "query",
            "description": "The moment to look at; without it, now",
            "schema": {"type": "string", "format": "date-time"},
        },
    ],
    "api_consents.accessed": [
        {
            "name": "before",
            "in": "query",
            "description": "`next_before` of the page before",
            "schema": {"type": "integer", "minimum": 0},
        },
    ],
}


def _texts(*required: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {name: {"type": "string"} for name in (*required, *optional)},
    }


BODIES: dict[str, dict[str, Any]] = {
    "api_links.create": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "expires_in_days": {"type": "integer", "minimum": 1, "default": 7},
            "passcode": {"type": "string", "pattern": "^[0-9]{6,8}$"},
            "max_views": {"type": "integer", "minimum": 1, "maximum": MOST_VIEWS},
        },
    },
    "api_identity.decide": _texts("verdict", optional=("reason",)),
    "api_identity.merge": _texts("other", "reason"),
    "api_identity.separate": _texts("value", "oid", "reason"),
    "api_identity.move": _texts("value", "oid", "other", "reason"),
    "api_identity.take_back": _texts("reason"),
    "api_consents.record": _texts("kind", "scope", "reason"),
    "api_submissions.replay": _texts("xml"),
    "api_forwarding.change_row": _texts(optional=("reason",)),
    "api_submissions.dismiss": _texts("reason"),
}
