"""Language, theme, dates and numbers in the reader's form.

The address parameter `lang` or `theme` changes the choice on any page; a cookie keeps it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from flask import request

from viewer_api.language import LANGUAGE_COOKIE, LANGUAGES, asker_language
from viewer_api.pages.words import format_day, format_moment, gettext, ngettext
from viewer_api.security import named_cookie, set_named_cookie
from viewer_api.services import services

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

    from access_control.model import Site

LANGUAGE_NAMES = {"zh": "中文", "en": "English"}
THEMES = ("auto", "light", "dark")

_THEME_COOKIE = "eirhub-theme"
_KEEP_S = 365 * 24 * 3600


def install_choices(app: Flask) -> None:
    """Let `app` keep the language and theme that a reader asks for in the address."""
    app.after_request(_keep_choices)


def chosen_theme() -> str:
    """Return `auto`, `light` or `dark`."""
    asked = request.args.get("theme", "")
    if asked in THEMES:
        return asked
    kept = named_cookie(_THEME_COOKIE)
    return kept if kept in THEMES else "auto"


def language_code() -> str:
    """Return the language the page is written in, as HTML's `lang`."""
    return "en" if asker_language() == "en" else "zh-Hans"


def site_name(site: Site) -> str:
    """Return the name of `site` in the reader's language."""
    if language_code() == "en":
        return site.name_en or site.name
    return site.name or site.name_en


def day(value: date | None) -> str:
    """Return a calendar date in words of the reader's language."""
    return format_day(value, "long") if value else gettext("Date unknown")


def local_day(value: datetime) -> str:
    """Return the calendar day of a moment at the hub's region."""
    return day(value.astimezone(local_time()).date())


def month_day(value: date | None) -> str:
    """Return month and day, the year being said elsewhere."""
    if value is None:
        return gettext("Date unknown")
    return format_day(value, "MMM d" if language_code() == "en" else "M月d日")


def moment(value: datetime | None) -> str:
    """Return date and time of day at the hub's region."""
    return _local(value, "medium") if value else gettext("never")


def clock_time(value: datetime | None) -> str:
    """Return the time of day at the hub's region."""
    return _local(value, "HH:mm") if value else ""


def study_clock(value: str) -> str:
    """Return a DICOM TM value as hours and minutes (PS3.5 6.2); anything else as nothing."""
    digits = value.split(".", maxsplit=1)[0].replace(":", "")
    if len(digits) < 4 or not digits[:4].isdigit():
        return ""
    return f"{digits[:2]}:{digits[2:4]}"


def ago(value: datetime | None) -> str:
    """Return how long ago `value` was, in the largest fitting unit."""
    if value is None:
        return gettext("never")
    seconds = max(0, int((services().clock.now() - value).total_seconds()))
    if seconds < 60:
        return gettext("just now")
    if seconds < 3600:
        return ngettext("%(num)d minute ago", "%(num)d minutes ago", seconds // 60)
    if seconds < 172_800:
        return ngettext("%(num)d hour ago", "%(num)d hours ago", seconds // 3600)
    return ngettext("%(num)d day ago", "%(num)d days ago", seconds // 86_400)


def span_word(value: timedelta) -> str:
    """Return how long something takes or lasts, in the largest fitting unit."""
    seconds = int(value.total_seconds())
    if seconds < 3600:
        return ngettext("%(num)d minute", "%(num)d minutes", max(1, seconds // 60))
    if seconds < 172_800:
        return ngettext("%(num)d hour", "%(num)d hours", seconds // 3600)
    return ngettext("%(num)d day", "%(num)d days", seconds // 86_400)


def age_years(born: date | None, at: date | None = None) -> int | None:
    """Return the completed years from `born` to `at` (today at the hub's region)."""
    if born is None:
        return None
    today = at or local_today()
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return years if years >= 0 else None


def age_word(born: date | None) -> str:
    """Return the age in words; nothing when the birth date is unknown."""
    years = age_years(born)
    return "" if years is None else ngettext("%(num)d year", "%(num)d years", years)


def local_today() -> date:
    """Return the calendar day at the hub's region."""
    return services().clock.now().astimezone(local_time()).date()


def local_midnight() -> datetime:
    """Return the moment (UTC) at which today began at the hub's region."""
    today = local_today()
    return datetime(today.year, today.month, today.day, tzinfo=local_time()).astimezone(UTC)


def size_word(count: int) -> str:
    """Return a number of bytes in binary units."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _local(value: datetime, form: str) -> str:
    return format_moment(value.astimezone(local_time()), form)


def _keep_choices(answer: Response) -> Response:
    for parameter, cookie, allowed in (
        ("lang", LANGUAGE_COOKIE, LANGUAGES),
        ("theme", _THEME_COOKIE, THEMES),
    ):
        asked = request.args.get(parameter, "")
        if asked in allowed:
            set_named_cookie(answer, cookie, asked, max_age_s=_KEEP_S)
    return answer


def local_time() -> ZoneInfo:
    """Return the region's time zone."""
    return ZoneInfo(services().settings.hub.time_zone)
