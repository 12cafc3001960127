"""The pages' texts and dates in the reader's language: Flask-Babel with types.

Messages are extracted by the names of these functions (`viewer_api/babel.cfg`).
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import flask_babel

if TYPE_CHECKING:
    from datetime import date, datetime


class LazyText(Protocol):
    """A text that is translated when it is shown: `str()` of it is the reader's wording."""

    def __str__(self) -> str: ...


def gettext(message: str, **values: object) -> str:
    """Return `message` in the reader's language, `%(name)s` filled in."""
    return str(flask_babel.gettext(message, **values))


def ngettext(singular: str, plural: str, num: int) -> str:
    """Return the form that fits `num`, which is filled in as `%(num)d`."""
    return str(flask_babel.ngettext(singular, plural, num))


def lazy_gettext(message: str) -> LazyText:
    """Return `message`, to be translated when it is shown; for tables made at import."""
    text: LazyText = flask_babel.lazy_gettext(message)
    return text


def format_day(value: date, form: str) -> str:
    """Return a date in `form`: long, medium, short or a CLDR pattern."""
    return str(flask_babel.format_date(value, form))


def format_moment(value: datetime, form: str) -> str:
    """Return date and time of day in `form`, in the time zone `value` is given in."""
    return str(flask_babel.format_datetime(value, form, rebase=False))
