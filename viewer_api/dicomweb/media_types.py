"""Which representation an asker accepts (PS3.18 8.7): media types, transfer syntaxes, weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.request import parse_http_list

from werkzeug.http import parse_options_header

from viewer_api.errors import NotAcceptableError

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
OCTET_STREAM = "application/octet-stream"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"

_LONGEST_KEPT = 512

_NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    }
)
# PS3.18 Table 8.7.3-5; the first name is the standard's, the others are names viewers use.
_FRAME_MEDIA_TYPES: dict[str, tuple[str, ...]] = {
    "1.2.840.10008.1.2.5": ("image/dicom-rle", "image/x-dicom-rle"),
    "1.2.840.10008.1.2.4.50": ("image/jpeg",),
    "1.2.840.10008.1.2.4.51": ("image/jpeg",),
    "1.2.840.10008.1.2.4.57": ("image/jpeg",),
    "1.2.840.10008.1.2.4.70": ("image/jpeg",),
    "1.2.840.10008.1.2.4.80": ("image/jls", "image/x-jls"),
    "1.2.840.10008.1.2.4.81": ("image/jls", "image/x-jls"),
    "1.2.840.10008.1.2.4.90": ("image/jp2", "image/j2c"),
    "1.2.840.10008.1.2.4.91": ("image/jp2", "image/j2c"),
    "1.2.840.10008.1.2.4.92": ("image/jpx", "image/jp2"),
    "1.2.840.10008.1.2.4.93": ("image/jpx", "image/jp2"),
    "1.2.840.10008.1.2.4.100": ("video/mpeg", "video/mpeg2"),
    "1.2.840.10008.1.2.4.101": ("video/mpeg", "video/mpeg2"),
    "1.2.840.10008.1.2.4.102": ("video/mp4",),
    "1.2.840.10008.1.2.4.103": ("video/mp4",),
    "1.2.840.10008.1.2.4.104": ("video/mp4",),
    "1.2.840.10008.1.2.4.105": ("video/mp4",),
    "1.2.840.10008.1.2.4.106": ("video/mp4",),
    "1.2.840.10008.1.2.4.107": ("video/mp4", "video/H265"),
    "1.2.840.10008.1.2.4.108": ("video/mp4", "video/H265"),
    "1.2.840.10008.1.2.4.110": ("image/jxl",),
    "1.2.840.10008.1.2.4.111": ("image/jxl",),
    "1.2.840.10008.1.2.4.112": ("image/jxl",),
    "1.2.840.10008.1.2.4.201": ("image/jphc", "image/jhc", "image/jph"),
    "1.2.840.10008.1.2.4.202": ("image/jphc", "image/jhc", "image/jph"),
    "1.2.840.10008.1.2.4.203": ("image/jphc", "image/jhc", "image/jph"),
}


@dataclass(frozen=True)
class Accepted:
    """One entry of an Accept header. `media_type` is that of a part when `in_parts`."""

    media_type: str
    transfer_syntax: str
    in_parts: bool
    weight: float


@dataclass(frozen=True)
class Representation:
    """What will be sent: `decoded` asks for native Explicit VR Little Endian instead of stored."""

    media_type: str
    transfer_syntax: str
    in_parts: bool
    decoded: bool

    @property
    def content_type(self) -> str:
        """The content type of the part or of the whole answer."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


def parse_accept(header: str) -> list[Accepted]:
    """Return the entries of `header`, heaviest first; an empty header accepts anything."""
    # A viewer says the same with each of its requests; what nobody sane says is not kept.
    parse = _parsed if len(header) <= _LONGEST_KEPT else _parsed.__wrapped__
    return list(parse(header))


@lru_cache(maxsize=256)
def _parsed(header: str) -> tuple[Accepted, ...]:
    entries = [_entry(item) for item in parse_http_list(header) if item.strip()]
    usable = [entry for entry in entries if entry.weight > 0]
    if not entries:
        usable = [Accepted("*/*", "", in_parts=True, weight=1.0)]
    return tuple(sorted(usable, key=lambda entry: -entry.weight))


def choose(accepted: list[Accepted], offered: tuple[str, ...]) -> str:
    """Return the first of `offered` that the heaviest matching entry accepts.

    Raises:
        NotAcceptableError: none is accepted.
    """
    for entry in accepted:
        for media_type in offered:
            if is_covered(entry.media_type, media_type):
                return media_type
    raise NotAcceptableError(f"offered here: {', '.join(offered)}")


def entry_for(accepted: list[Accepted], media_type: str) -> Accepted:
    """Return the heaviest entry that accepts `media_type`.

    Raises:
        NotAcceptableError: none does.
    """
    for entry in accepted:
        if is_covered(entry.media_type, media_type):
            return entry
    raise NotAcceptableError(f"offered here: {media_type}")


def instance_representation(accepted: list[Accepted], stored: str) -> Representation:
    """Choose how an instance stored in the transfer syntax `stored` is sent (PS3.18 8.7.3.5.2).

    `transfer-syntax=*` gets the stored form; without that parameter the default is Explicit VR
    Little Endian, except where anything at all is accepted.

    Raises:
        NotAcceptableError: only other forms are accepted.
    """
    for entry in accepted:
        if not is_covered(entry.media_type, DICOM):
            continue
        as_stored = entry.transfer_syntax in {"*", stored} or (
            entry.media_type != DICOM and not entry.transfer_syntax
        )
        if as_stored:
            return Representation(DICOM, stored, entry.in_parts, decoded=False)
        if entry.transfer_syntax in {"", EXPLICIT_VR_LITTLE_ENDIAN}:
            return Representation(DICOM, EXPLICIT_VR_LITTLE_ENDIAN, entry.in_parts, decoded=True)
    offered = " or ".join(dict.fromkeys((stored, EXPLICIT_VR_LITTLE_ENDIAN)))
    raise NotAcceptableError(f"offered here: {DICOM} in {offered}")


def frame_representation(accepted: list[Accepted], stored: str) -> Representation:
    """Choose how a frame stored in the transfer syntax `stored` is sent (PS3.18 8.7.3.5).

    Raises:
        NotAcceptableError: only other forms are accepted.
    """
    for entry in accepted:
        chosen = _frame_choice(entry, stored)
        if chosen is not None:
            return chosen
    names = ", ".join(dict.fromkeys((OCTET_STREAM, *frame_media_types(stored))))
    raise NotAcceptableError(f"offered here: {names} in {stored}")


def frame_media_types(transfer_syntax: str) -> tuple[str, ...]:
    """Return the media types of a frame in `transfer_syntax`, the standard's name first."""
    return _FRAME_MEDIA_TYPES.get(transfer_syntax, (OCTET_STREAM,))


def is_native(transfer_syntax: str) -> bool:
    """Say whether pixel data in `transfer_syntax` is not encapsulated."""
    return transfer_syntax in _NATIVE


def _frame_choice(entry: Accepted, stored: str) -> Representation | None:
    names = frame_media_types(stored)
    if not is_native(stored) and entry.transfer_syntax in {"", "*", stored}:
        named = next((name for name in names if is_covered(entry.media_type, name)), None)
        if named is not None:
            return Representation(named, stored, entry.in_parts, decoded=False)
        if entry.media_type == OCTET_STREAM and entry.transfer_syntax:
            return Representation(names[0], stored, entry.in_parts, decoded=False)
    plain = {"", "*", EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, stored}
    if is_covered(entry.media_type, OCTET_STREAM) and entry.transfer_syntax in plain:
        return Representation(
            OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN, entry.in_parts, decoded=not is_native(stored)
        )
    return None


def _entry(item: str) -> Accepted:
    media_type, options = parse_options_header(item)
    media_type = media_type.strip().lower()
    in_parts = media_type in {"multipart/related", "multipart/*", "*/*"}
    part_type = options.get("type", "*/*") if in_parts else media_type
    return Accepted(
        media_type=part_type.strip().lower() or "*/*",
        transfer_syntax=options.get("transfer-syntax", "").strip(),
        in_parts=in_parts,
        weight=_weight(options.get("q", "1")),
    )


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


def is_covered(pattern: str, media_type: str) -> bool:
    """Tell whether a media type of an Accept header, wildcards allowed, takes `media_type`."""
    if pattern in {"*/*", media_type}:
        return True
    kind, _, detail = pattern.partition("/")
    return detail in {"*", ""} and media_type.startswith(f"{kind}/")
