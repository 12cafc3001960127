"""The language an answer is written in: the reader's choice, else the browser's, else Chinese."""

from __future__ import annotations

from flask import request

from viewer_api.security.cookies import named_cookie

LANGUAGES = ("zh", "en")
LANGUAGE_COOKIE = "eirhub-language"


def asker_language() -> str:
    """Return `zh` or `en` for the current request."""
    for chosen in (request.args.get("lang", ""), named_cookie(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return request.accept_languages.best_match(LANGUAGES, default="zh") or "zh"
