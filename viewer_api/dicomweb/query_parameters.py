"""Reads the query of a search: keys, includefield, limit, offset, fuzzymatching (PS3.18 8.3.4).

Values are matched literally but for the wildcards `*` and `?` that PS3.4 C.2.2.2 gives a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from image_archive.matching_times import is_offset
from viewer_api.errors import BadQueryError

MAX_LIMIT = 10_000
DEFAULT_LIMIT = 1_000
_MAX_OFFSET = 1_000_000
_MAX_VALUE_LENGTH = 1_024
_MAX_UIDS = 1_000
_MAX_WILDCARDS = 64
_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_DATE_RANGE = re.compile(r"[0-9]{8}|[0-9]{8}-|-[0-9]{8}|[0-9]{8}-[0-9]{8}")
_TIME = r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
_TIME_RANGE = re.compile(rf"{_TIME}|{_TIME}-|-{_TIME}|{_TIME}-{_TIME}")
_UID_LIST = re.compile(r"[0-9.]+(?:[,\\][0-9.]+)*")
_RESERVED = frozenset({"includefield", "limit", "offset", "fuzzymatching", "lang", "accept"})
_TIMEZONE = "TimezoneOffsetFromUTC"
_YES_NO = {"true": True, "false": False, "": False}


@dataclass(frozen=True)
class SearchParameters:
    """One search: `matches` by DICOM keyword, fields to include by keyword (`all` for all).

    `timezone_offset` is the asker's, as `+0800`, empty where none is said.
    """

    matches: dict[str, str]
    include: frozenset[str]
    include_all: bool
    limit: int
    offset: int
    fuzzy: bool
    timezone_offset: str = ""


def parse_search(parameters: Iterable[tuple[str, str]]) -> SearchParameters:
    """Return the search that the decoded query `parameters` describe.

    Raises:
        BadQueryError: an unknown key, a value that cannot match its VR, a limit or offset out of
            bounds. The message names the key, never the value.
    """
    given = list(parameters)
    options = {name: value for name, value in given if name in _RESERVED}
    include = _included(value for name, value in given if name == "includefield")
    matches: dict[str, str] = {}
    for name, value in given:
        if name not in _RESERVED:
            keyword = _keyword(name)
            if keyword in matches:
                # Which of the two was meant? To drop one would answer another question.
                raise BadQueryError(f"{keyword} is given twice; a list of UIDs is one value")
            matches[keyword] = _checked(keyword, value)
    fuzzy = _YES_NO.get(options.get("fuzzymatching", "").lower())
    if fuzzy is None:
        raise BadQueryError("fuzzymatching must be true or false")
    return SearchParameters(
        matches=matches,
        timezone_offset=_offset(matches.pop(_TIMEZONE, "")),
        include=include - {"all"},
        include_all="all" in include,
        limit=_bounded("limit", options.get("limit"), DEFAULT_LIMIT, MAX_LIMIT),
        offset=_bounded("offset", options.get("offset"), 0, _MAX_OFFSET),
        fuzzy=fuzzy,
    )


def _offset(text: str) -> str:
    """Return an offset from UTC; the plus of a query that was not percent-encoded is a blank."""
    offset = f"+{text[1:]}" if text.startswith(" ") else text
    if offset and not is_offset(offset):
        raise BadQueryError(f"{_TIMEZONE}: not an offset from UTC as +0800")
    return offset


def _included(values: Iterable[str]) -> frozenset[str]:
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    return frozenset(name if name == "all" else _field(name) for name in names)


def _field(name: str) -> str:
    """Return the keyword of a field to include; unknown private tags are kept as they are."""
    try:
        return _keyword(name)
    except BadQueryError:
        if _HEX_TAG.fullmatch(name):
            return name.upper()
        raise


def _keyword(name: str) -> str:
    """Return the DICOM keyword of `name`: a keyword, a tag, or the last part of a dotted path."""
    last = name.rsplit(".", maxsplit=1)[-1]
    keyword = keyword_for_tag(int(last, 16)) if _HEX_TAG.fullmatch(last) else last
    if not keyword or tag_for_keyword(keyword) is None:
        raise BadQueryError("a query key is no attribute keyword and no tag")
    return keyword


def _checked(keyword: str, value: str) -> str:
    if value in {"", "*"}:
        return ""
    if not value.strip("\\ "):
        raise BadQueryError(f"{keyword}: a list without any value")
    vr = dictionary_VR(tag_for_keyword(keyword) or 0)
    if vr == "UI":
        return _uid_list(keyword, value)
    if vr == "CS":
        # No code has a comma (PS3.5 6.2): it separates, as it does in a list of UIDs.
        value = value.replace(",", "\\")
    if len(value) > _MAX_VALUE_LENGTH or "\0" in value:
        raise BadQueryError(f"{keyword}: the value is too long or holds a null character")
    if value.count("*") + value.count("?") > _MAX_WILDCARDS:
        raise BadQueryError(f"{keyword}: more than {_MAX_WILDCARDS} wildcards")
    form = {"DA": _DATE_RANGE, "TM": _TIME_RANGE}.get(vr)
    if form is not None and not form.fullmatch(value):
        raise BadQueryError(f"{keyword}: not a {vr} value or range")
    return value


def _uid_list(keyword: str, value: str) -> str:
    if not _UID_LIST.fullmatch(value):
        raise BadQueryError(f"{keyword}: not a UID or a list of UIDs")
    uids = re.split(r"[,\\]", value)
    if len(uids) > _MAX_UIDS:
        raise BadQueryError(f"{keyword}: more than {_MAX_UIDS} UIDs")
    return "\\".join(uids)


def _bounded(name: str, text: str | None, default: int, highest: int) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > highest:
        raise BadQueryError(f"{name} must be a number from 0 to {highest}")
    return int(text)
