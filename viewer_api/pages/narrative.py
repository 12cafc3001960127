"""What a CDA document says to a person: its narrative blocks as plain text, never as markup.

CDA R2 4.3.5. Only text is taken; a template escapes it. Stylesheets, links, pictures by reference
and everything else that could load or run are left behind.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xds_registry.safe_xml import HostileXmlError, XmlLimits, parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element

MOST_BYTES = 8 * 1024 * 1024
_CDA = "{urn:hl7-org:v3}"
_LIMITS = XmlLimits(total_bytes=MOST_BYTES)
_MOST_BLOCKS = 5_000
_OWN_LINE = frozenset({"paragraph", "caption", "item"})


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    is_heading: bool


@dataclass(frozen=True)
class Block:
    """A paragraph, an item of a list, or the rows of a table."""

    text: str = ""
    is_item: bool = False
    rows: tuple[tuple[Cell, ...], ...] = ()


@dataclass(frozen=True)
class Section:
    """One section with its heading, either of which may be empty."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Enclosed:
    """A document that CDA merely wraps (nonXMLBody, as XDS-SD does)."""

    media_type: str
    data: bytes


@dataclass(frozen=True)
class Narrative:
    """The title, the sections in their order, and what is wrapped instead of them."""

    title: str
    sections: tuple[Section, ...]
    enclosed: Enclosed | None = None


def read_narrative(data: bytes) -> Narrative | None:
    """Return what the CDA document in `data` says, or None where it is none that can be read."""
    try:
        root = parse_xml(data, _LIMITS)
    except HostileXmlError:
        return None
    if root.tag != f"{_CDA}ClinicalDocument":
        return None
    sections = tuple(
        Section(_line(section.find(f"{_CDA}title")), tuple(_blocks_of(section)))
        for section in root.iter(f"{_CDA}section")
    )
    return Narrative(_line(root.find(f"{_CDA}title")), sections, _enclosed(root))


def _enclosed(root: _Element) -> Enclosed | None:
    body = root.find(f"{_CDA}component/{_CDA}nonXMLBody/{_CDA}text")
    if body is None:
        return None
    media_type, text = body.get("mediaType", ""), body.text or ""
    if body.get("representation") != "B64":
        return Enclosed(media_type or "text/plain", text.encode())
    try:
        return Enclosed(media_type, base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return None


def _blocks_of(section: _Element) -> Iterator[Block]:
    text = section.find(f"{_CDA}text")
    if text is not None:
        for number, block in enumerate(_blocks(text)):
            if number == _MOST_BLOCKS:
                return
            yield block


def _blocks(element: _Element, *, is_item: bool = False) -> Iterator[Block]:
    """Yield what stands in `element`; text between blocks is a paragraph of its own."""
    inline = [element.text or ""]
    for child in element:
        name = str(child.tag).removeprefix(_CDA)
        if name in _OWN_LINE or name in {"list", "table"}:
            yield from _paragraph(inline, is_item=is_item)
            inline.clear()
            yield from _block(child, name)
        else:
            inline.append("\n" if name == "br" else _text(child))
        inline.append(child.tail or "")
    yield from _paragraph(inline, is_item=is_item)


def _block(element: _Element, name: str) -> Iterator[Block]:
    if name == "table":
        rows = tuple(tuple(_cells(row)) for row in element.iter(f"{_CDA}tr"))
        yield Block(rows=tuple(row for row in rows if row))
    else:
        yield from _blocks(element, is_item=name == "item")


def _cells(row: _Element) -> Iterator[Cell]:
    for cell in row:
        name = str(cell.tag).removeprefix(_CDA)
        if name in {"td", "th"}:
            yield Cell(_tidy(_text(cell)), is_heading=name == "th")


def _paragraph(inline: list[str], *, is_item: bool) -> Iterator[Block]:
    text = _tidy("".join(inline))
    if text:
        yield Block(text, is_item=is_item)


def _line(element: _Element | None) -> str:
    return "" if element is None else _tidy(_text(element)).replace("\n", " ")


def _text(element: _Element) -> str:
    """Return the text inside, lines kept where the author broke them."""
    parts = [element.text or ""]
    for child in element:
        parts.append("\n" if child.tag == f"{_CDA}br" else _text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _tidy(text: str) -> str:
    """Return `text` without the blanks that only lay out the XML."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
