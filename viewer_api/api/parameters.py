"""What the API's endpoints take beside their path, as OpenAPI writes it (JSON Schema 2020-12)."""

from __future__ import annotations

from typing import Any

QUERIES: dict[str, list[dict[str, Any]]] = {
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
}

BODIES: dict[str, dict[str, Any]] = {
    "api_links.create": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "expires_in_days": {"type": "integer", "minimum": 1, "default": 7},
            "passcode": {"type": "string", "pattern": "^[0-9]{6,8}$"},
            "max_views": {"type": "integer", "minimum": 1},
        },
    },
}
