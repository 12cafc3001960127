"""FHIR JSON that anybody may have written, read within fixed bounds (FHIR R4 json.html, RFC 8259).

Depth is measured before the reader recurses; numbers are read as exact decimals of bounded length;
a key given twice and NaN are refused. Characters are checked with the values.
"""

import json
import re
from decimal import Decimal
from typing import Any

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource

MEDIA_TYPE = "application/fhir+json"

_DEEPEST = 32
_MOST_VALUES = 50_000
_LONGEST_NUMBER = 32
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


class _RefusedJsonError(ValueError):
    """Inside the reader: the rule that was broken."""


def read_json(data: bytes, _longest_value: int = 0) -> Resource:
    """Return the object that `data` holds; values are as long as the body lets them be.

    Raises:
        FhirRefusedError: 400; not JSON in UTF-8, not an object, or beyond the bounds.
    """
    try:
        _require_bounds(data)
        value = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_constant,
        )
    except _RefusedJsonError as refusal:
        raise _refused(str(refusal)) from refusal
    except (ValueError, RecursionError) as error:
        raise _refused("the body is not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise _refused("the body is not a JSON object")
    return value


def write_json(resource: Resource) -> bytes:
    """Return a resource as FHIR JSON in UTF-8."""
    return json.dumps(
        resource, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_number
    ).encode()


def _require_bounds(data: bytes) -> None:
    depth = deepest = 0
    bare = _STRINGS.sub(b'""', data)
    for bracket in _BRACKETS.findall(bare):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > _DEEPEST:
            raise _RefusedJsonError(f"nested deeper than {_DEEPEST}")
    if bare.count(b",") > _MOST_VALUES:
        raise _RefusedJsonError(f"more than {_MOST_VALUES} values")


def _object(pairs: list[tuple[str, Any]]) -> Resource:
    found: Resource = {}
    for key, value in pairs:
        if key in found:
            raise _RefusedJsonError("a key is given twice")
        found[key] = value
    return found


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _RefusedJsonError(f"a number of more than {_LONGEST_NUMBER} characters")
    return int(text)


def _decimal(text: str) -> Decimal:
    number = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("NaN")
    exponent = number.as_tuple().exponent
    if not number.is_finite() or not isinstance(exponent, int) or abs(exponent) > _LONGEST_NUMBER:
        raise _RefusedJsonError(f"a number of more than {_LONGEST_NUMBER} characters or digits")
    return number


def _constant(_name: str) -> Any:
    raise _RefusedJsonError("NaN and Infinity are no JSON numbers")


def _number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def _refused(why: str) -> FhirRefusedError:
    return FhirRefusedError(
        400, Issue("structure", "bad-json", why, "请求体不是可接受的 JSON", where="http.body")
    )
