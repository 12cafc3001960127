"""What a decoder child answers about documents, taken as warily as the document itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eir_versions.reports.model import ReportLine, ReportStatus, ReportText
from eir_versions.wire import WireError

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
_LONGEST_KEY, _LONGEST_NAME = 128, 200


@dataclass(frozen=True)
class KeyObject:
    """A key object selection: the code of its title, and instance UID and frame (0: none named)."""

    title: str
    selected: tuple[tuple[str, int], ...]


def steps_of(head: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the steps of a head.

    Raises:
        WireError: they are no list of texts.
    """
    steps = head.get("steps")
    if not isinstance(steps, list):
        raise WireError("malformed steps")
    return tuple(str(one)[:400] for one in steps[:40])


def key_object_of(head: Mapping[str, Any], body: bytes) -> KeyObject:
    """Return the key object of an answer; raises as `steps_of`."""
    try:
        selected = [(str(uid)[:64], int(frame)) for uid, frame in json.loads(body)]
        return KeyObject(str(head["title"])[:16], tuple(selected))
    except _MALFORMED as error:
        raise WireError("malformed key object") from error


def report_of(head: Mapping[str, Any], body: bytes) -> ReportText:
    """Return the report of an answer; raises as `steps_of`."""
    try:
        cut = int(head["words"])
        words = json.loads(body[:cut])
        issued_at = words["issued_at"]
        return ReportText(
            source_key=str(words["source_key"])[:_LONGEST_KEY],
            chain_key=str(words["chain_key"])[:_LONGEST_KEY],
            kind=str(words["kind"])[:8],
            status=ReportStatus(words["status"]),
            title=str(words["title"])[:_LONGEST_NAME],
            author=str(words["author"])[:_LONGEST_NAME],
            issued_at=None if issued_at is None else datetime.fromisoformat(issued_at),
            lines=tuple(line_of(one) for one in words["lines"]),
            cut=bool(words["cut"]),
            pdf=body[cut:] if head["has_pdf"] else None,
        )
    except _MALFORMED as error:
        raise WireError("malformed report") from error


def line_of(fields: Mapping[str, Any]) -> ReportLine:
    """Return the line that `asdict` wrote; raises TypeError or KeyError if it is none."""
    return ReportLine(
        text=str(fields["text"]),
        name=str(fields["name"]),
        level=int(fields["level"]),
        heading=bool(fields["heading"]),
        personal=bool(fields["personal"]),
    )
