"""DICOM JSON Model of a dataset (PS3.18 F), element by element, valid whatever the bytes hold.

One element that cannot be expressed loses its value, never its neighbours: an odd VR becomes UN,
NaN and numbers beyond a double become null, text is decoded and repaired.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from hub_kernel.person_names import PersonName, decode_person_name, decode_text
from image_archive.reading import VALUE_ERRORS

Json = dict[str, Any]

_MAX_DEPTH = 32
_INLINE_BYTES = 256
_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_UTF_8 = ("ISO_IR 192",)
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_ONE_VALUE_TEXT = frozenset({"LT", "ST", "UT", "UR"})
_PLAIN_TEXT = frozenset({"AE", "AS", "CS", "DA", "DT", "TM", "UI"})
_CODED_TEXT = frozenset({"LO", "SH", "UC"})
_NUMBER_FORMATS = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
# PS3.3 10.7.1.3: spacings of pixels are positive. Devices that know none write zeros, with which a
# viewer draws nothing or measures nothing; without them it says that it is not calibrated.
_POSITIVE = frozenset({0x00280030, 0x00181164, 0x00182010})
_KNOWN_VRS = (
    _BINARY
    | _ONE_VALUE_TEXT
    | _PLAIN_TEXT
    | _CODED_TEXT
    | frozenset(_NUMBER_FORMATS)
    | {"AT", "DS", "IS", "PN", "SQ"}
)


@dataclass(frozen=True)
class Expression:
    """How a dataset is expressed: where bulk data lies, how its text and numbers are encoded.

    `bulk_root` is the address under which `…/<tag path>` answers; empty drops large values.
    """

    bulk_root: str
    big_endian: bool = False
    charsets: tuple[str, ...] = ()
    signed_pixels: bool = False
    path: tuple[str, ...] = ()

    def inside(self, key: str, item: int) -> Expression:
        """Return the expression for item number `item` of the sequence `key`."""
        return replace(self, path=(*self.path, key, str(item)))


def dataset_to_json(dataset: Dataset, expression: Expression) -> Json:
    """Return `dataset` in the DICOM JSON Model; always serialisable, in UTF-8 terms.

    Group length, file meta and command elements never appear.
    """
    here = _inherited(dataset, expression)
    found: Json = {}
    for tag in sorted(int(key) for key in dataset.keys()):  # noqa: SIM118 - iterating converts
        if tag >> 16 <= 0x0002 or tag & 0xFFFF == 0:
            continue
        found[tag_key(tag)] = _element(dataset, tag, here)
    if _CHARACTER_SET in dataset:
        found[tag_key(_CHARACTER_SET)] = {"vr": "CS", "Value": list(_UTF_8)}
    return found


def tag_key(tag: int) -> str:
    """Return the JSON name of `tag`: eight upper-case hexadecimal digits."""
    return f"{tag:08X}"


def person_name_json(name: PersonName) -> Json:
    """Return the component groups of `name` that are not empty (PS3.18 F.2.2)."""
    groups = {
        "Alphabetic": name.alphabetic,
        "Ideographic": name.ideographic,
        "Phonetic": name.phonetic,
    }
    return {key: text for key, text in groups.items() if text}


def _element(dataset: Dataset, tag: int, expression: Expression) -> Json:
    try:
        held = dataset.get_item(tag)
        vr = value_representation(held, tag, signed_pixels=expression.signed_pixels)
        if vr == "SQ":
            return _sequence(dataset, tag, expression)
        value = held.value if held is not None else None
        if not isinstance(held, RawDataElement):
            if vr in _NUMBER_FORMATS:
                return _with_values(vr, [_finite(number) for number in _items_of(value)])
            value = _raw_again(value)
        return _raw_element(tag, vr, value or b"", expression)
    except VALUE_ERRORS:
        return {"vr": "UN"}


def value_representation(held: Any, tag: int, *, signed_pixels: bool) -> str:
    """Return the VR of the raw element `held`; UN for what neither it nor PS3.6 knows."""
    vr = str(held.VR or "") if held is not None else ""
    if not vr or vr == "UN":
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            # PS3.5 7.8.1: a private creator is LO, whatever the sender could not say.
            return "LO"
        try:
            # Implicit VR, and what a router made UN of: the dictionary knows.
            vr = dictionary_VR(tag)
        except KeyError:
            return "UN"
    if " or " in vr:
        # "OB or OW", "US or SS", "US or OW": PS3.6 leaves the choice to the pixel description.
        choices = vr.split(" or ")
        wanted = "OW" if "OW" in choices else "SS" if signed_pixels else "US"
        return wanted if wanted in choices else choices[0]
    return vr if vr in _KNOWN_VRS else "UN"


def _raw_again(value: Any) -> bytes | None:
    """Return the bytes of a value pydicom has already converted; only odd readers do that."""
    if isinstance(value, bytes) or value is None:
        return value
    return "\\".join(str(item) for item in _items_of(value)).encode("utf-8", "replace")


def _items_of(value: Any) -> Sequence[Any]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return value if is_list else [value]


def _sequence(dataset: Dataset, tag: int, expression: Expression) -> Json:
    if len(expression.path) >= 2 * _MAX_DEPTH:
        return {"vr": "SQ"}
    value = dataset[tag].value
    if not isinstance(value, DicomSequence) or not len(value):
        return {"vr": "SQ"}
    key = tag_key(tag)
    items = [
        dataset_to_json(item, expression.inside(key, number)) for number, item in enumerate(value)
    ]
    return {"vr": "SQ", "Value": items}


def _raw_element(tag: int, vr: str, raw: bytes, expression: Expression) -> Json:
    if vr in _BINARY:
        return {"vr": vr, **_binary(tag, raw, expression)}
    values = _VALUES_OF[_kind(vr)](vr, raw, expression)
    if tag in _POSITIVE and not all(value is not None and value > 0 for value in values):
        return {"vr": vr}
    return _with_values(vr, values)


def _with_values(vr: str, values: list[Any]) -> Json:
    if all(value is None for value in values):
        return {"vr": vr}
    return {"vr": vr, "Value": values}


def _binary(tag: int, raw: bytes, expression: Expression) -> Json:
    if not raw:
        return {}
    if len(raw) > _INLINE_BYTES:
        if not expression.bulk_root:
            return {}
        address = "/".join((expression.bulk_root, *expression.path, tag_key(tag)))
        return {"BulkDataURI": address}
    return {"InlineBinary": base64.b64encode(raw).decode("ascii")}


def _kind(vr: str) -> str:
    if vr in _NUMBER_FORMATS:
        return "binary number"
    if vr in _PLAIN_TEXT or vr in _CODED_TEXT:
        return "text"
    return "long text" if vr in _ONE_VALUE_TEXT else vr


def _texts(vr: str, raw: bytes, expression: Expression) -> list[Any]:
    text = _decoded(raw, () if vr in _PLAIN_TEXT else expression.charsets)
    return [part.strip(" \0") or None for part in text.split("\\")]


def _long_text(_vr_name: str, raw: bytes, expression: Expression) -> list[Any]:
    return [_decoded(raw, expression.charsets).rstrip(" \0") or None]


def _person_names(_vr_name: str, raw: bytes, expression: Expression) -> list[Any]:
    # A backslash can be the second byte of a GBK letter: only then do the pieces not decode alone.
    whole = decode_person_name(raw.strip(b" \0"), expression.charsets)
    names = [whole]
    if "\\" in f"{whole.alphabetic}{whole.ideographic}":
        names = [
            decode_person_name(part.strip(b" \0"), expression.charsets) for part in raw.split(b"\\")
        ]
    return [person_name_json(name) or None for name in names]


def _decimal_strings(_vr_name: str, raw: bytes, _expression: Expression) -> list[Any]:
    return [_decimal(part) for part in raw.split(b"\\")]


def _integer_strings(_vr_name: str, raw: bytes, _expression: Expression) -> list[Any]:
    return [_integer(part) for part in raw.split(b"\\")]


def _binary_numbers(vr: str, raw: bytes, expression: Expression) -> list[Any]:
    form = _NUMBER_FORMATS[vr]
    size = struct.calcsize(f"<{form}")
    count = len(raw) // size
    order = ">" if expression.big_endian else "<"
    numbers = struct.unpack(f"{order}{count}{form}", raw[: count * size])
    return [_finite(number) for number in numbers]


def _finite(number: Any) -> float | int | None:
    return number if isinstance(number, int | float) and math.isfinite(number) else None


def _tags(_vr_name: str, raw: bytes, expression: Expression) -> list[Any]:
    order = ">" if expression.big_endian else "<"
    halves = struct.unpack(f"{order}{len(raw) // 4 * 2}H", raw[: len(raw) // 4 * 4])
    return [f"{group:04X}{element:04X}" for group, element in zip(*[iter(halves)] * 2, strict=True)]


_VALUES_OF: Mapping[str, Callable[[str, bytes, Expression], list[Any]]] = {
    "text": _texts,
    "long text": _long_text,
    "PN": _person_names,
    "DS": _decimal_strings,
    "IS": _integer_strings,
    "binary number": _binary_numbers,
    "AT": _tags,
}


def _decimal(part: bytes) -> float | int | None:
    try:
        number = float(part.strip(b" \0").decode("ascii"))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _integer(part: bytes) -> int | None:
    digits = part.strip(b" \0")
    # PS3.5 6.2: at most 12 characters, within 32 bits; a device's "12.0" is still twelve.
    number = _decimal(digits) if len(digits) <= 16 else None
    if number is None or not float(number).is_integer() or not -(2**31) <= number < 2**31:
        return None
    return int(number)


def _decoded(raw: bytes, charsets: Sequence[str]) -> str:
    return decode_text(raw, charsets).text


def _inherited(dataset: Dataset, expression: Expression) -> Expression:
    """Return `expression` with the character set and pixel sign that hold inside `dataset`."""
    pixels = dataset.get_item(_PIXEL_REPRESENTATION)
    signed = getattr(pixels, "value", None) in {b"\1\0", b"\0\1", 1}
    return replace(
        expression,
        charsets=_declared(dataset) or expression.charsets,
        signed_pixels=signed or expression.signed_pixels,
    )


def _declared(dataset: Dataset) -> tuple[str, ...]:
    held = dataset.get_item(_CHARACTER_SET)
    if held is None:
        return ()
    raw = held.value if isinstance(held.value, bytes) else _raw_again(held.value)
    text = (raw or b"").decode("ascii", "replace")
    return tuple(part.strip(" \0") for part in text.split("\\"))
