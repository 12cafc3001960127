"""The content tree of a structured report as lines to read (PS3.3 C.17.3).

Bounded in depth and length: a report of a hundred thousand nodes costs what the limit allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from viewer_api.pages.words import gettext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydicom.dataset import Dataset

MOST_LINES = 1000
MOST_DEPTH = 12
_LONGEST_TEXT = 20_000


@dataclass(frozen=True)
class ContentLine:
    """One content item: its concept name and value; `depth` from 0. A container is a heading."""

    depth: int
    name: str
    value: str
    is_heading: bool


def content_lines(root: Dataset) -> tuple[ContentLine, ...]:
    """Return the items below `root`, depth first, as they are to be read.

    References to pictures are left out: they are shown as pictures.
    """
    lines: list[ContentLine] = []
    _walk(root, 0, lines)
    if len(lines) >= MOST_LINES:
        lines.append(ContentLine(0, "", gettext("… more than is shown here"), is_heading=False))
    return tuple(lines)


def _walk(node: Dataset, depth: int, lines: list[ContentLine]) -> None:
    for item in node.get("ContentSequence") or ():
        if len(lines) >= MOST_LINES:
            return
        line = _line(item, depth)
        if line is not None:
            lines.append(line)
        if depth < MOST_DEPTH:
            _walk(item, depth + 1, lines)


def _line(item: Dataset, depth: int) -> ContentLine | None:
    kind = str(item.get("ValueType", "") or "")
    name = _meaning(item, "ConceptNameCodeSequence")
    if kind == "CONTAINER":
        return ContentLine(depth, name, "", is_heading=True) if name else None
    read = _VALUES.get(kind)
    value = read(item) if read else ""
    return ContentLine(depth, name, value[:_LONGEST_TEXT], is_heading=False) if value else None


def _meaning(item: Dataset, keyword: str) -> str:
    for code in list(item.get(keyword) or ())[:1]:
        return str(code.get("CodeMeaning", "") or "").strip()
    return ""


def _text(keyword: str) -> Callable[[Dataset], str]:
    return lambda item: str(item.get(keyword, "") or "").strip()


def _number(item: Dataset) -> str:
    for measured in list(item.get("MeasuredValueSequence") or ())[:1]:
        value: Any = measured.get("NumericValue", "")
        unit = list(measured.get("MeasurementUnitsCodeSequence") or ())[:1]
        code = str(unit[0].get("CodeValue", "") or "") if unit else ""
        return f"{value} {'' if code in {'1', '{}'} else code}".strip()
    return ""


def _date(item: Dataset) -> str:
    raw = str(item.get("Date", "") or "")
    return f"{raw[:4]}-{raw[4:6]}-{raw[6:8]}" if len(raw) == 8 else raw


def _name(item: Dataset) -> str:
    name = item.get("PersonName", "")
    ideographic = str(getattr(name, "ideographic", "") or "")
    return (ideographic or str(name or "").split("=")[0]).replace("^", " ").strip()


_VALUES: Mapping[str, Callable[[Dataset], str]] = {
    "TEXT": _text("TextValue"),
    "CODE": lambda item: _meaning(item, "ConceptCodeSequence"),
    "NUM": _number,
    "DATE": _date,
    "TIME": _text("Time"),
    "DATETIME": _text("DateTime"),
    "PNAME": _name,
    "UIDREF": _text("UID"),
}
