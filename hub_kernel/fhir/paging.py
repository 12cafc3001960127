"""Where a page of search results goes on: an opaque parameter of the next link (http.html#paging).

It repeats the question and says how far it has been answered. It grants nothing: each page is
authenticated, decided and audited like the first.
"""

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import Any

from hub_kernel.fhir.outcome import FhirRefusedError, Issue

DEFAULT_COUNT = 20
LARGEST_COUNT = 100

_LONGEST_MARK = 8 * 1024
_LONGEST_QUESTION = 64 * 1024


@dataclass(frozen=True)
class Position:
    """How far an answer has come: in which alternative, and after which global ID."""

    alternative: int = 0
    after: str | None = None


@dataclass(frozen=True)
class Bookmark:
    """A question half answered; `total` is what the first page said, `exact` if it was counted."""

    pairs: tuple[tuple[str, str], ...]
    count: int
    position: Position
    total: int
    exact: bool

    def mark(self) -> str:
        """Return the bookmark as text for a URL."""
        position = self.position
        said = [
            self.pairs,
            self.count,
            position.alternative,
            position.after,
            self.total,
            self.exact,
        ]
        packed = zlib.compress(json.dumps(said, ensure_ascii=False).encode(), 9)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_mark(text: str) -> Bookmark:
    """Return the bookmark that a next link carried.

    Raises:
        FhirRefusedError: 400, it is none of ours.
    """
    try:
        pairs, count, alternative, after, total, exact = _unpacked(text)
        bookmark = Bookmark(
            tuple((_text(name), _text(value)) for name, value in pairs),
            _number(count),
            Position(_number(alternative), None if after is None else _text(after)),
            _number(total),
            bool(exact),
        )
    except (ValueError, TypeError, binascii.Error, zlib.error, RecursionError) as error:
        raise _bad("_page", "a next link as it was answered") from error
    if not 0 < bookmark.count <= LARGEST_COUNT:
        raise _bad("_page", "a next link as it was answered")
    return bookmark


def read_count(values: list[str]) -> int:
    """Return the wanted size of a page: at most 100; 0 asks for the total alone.

    Raises:
        FhirRefusedError: 400, it is no number or comes twice with different values.
    """
    if not values:
        return DEFAULT_COUNT
    if len(set(values)) > 1 or not (values[0].isascii() and values[0].isdigit()):
        raise _bad("_count", "one integer of 0 or more")
    return min(int(values[0][:9]), LARGEST_COUNT)


def _unpacked(text: str) -> list[Any]:
    if len(text) > _LONGEST_MARK:
        raise ValueError("too long")
    packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    reader = zlib.decompressobj()
    data = reader.decompress(packed, _LONGEST_QUESTION)
    if reader.unconsumed_tail:
        raise ValueError("too long")
    said = json.loads(data)
    if not isinstance(said, list):
        raise TypeError("no list")
    return said


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise TypeError("no number")
    return value


def _bad(name: str, allowed: str) -> FhirRefusedError:
    return FhirRefusedError(
        400,
        Issue(
            "value",
            "bad-value",
            "this value cannot be understood",
            "无法理解该参数值",
            where=f"http.{name}",
            allowed=allowed,
        ),
    )
