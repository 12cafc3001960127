"""The values of search parameters: alternatives, escapes, tokens, modifiers (FHIR R4 search.html).

A parameter given several times has to hold each time; values joined by commas are alternatives.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from hub_kernel.fhir.outcome import FhirRefusedError, Issue, shown

MOST_VALUES = 16
LONGEST_VALUE = 200

_ESCAPED = re.compile(r"\\([\\,|$])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Term:
    """One parameter as it was given: its name, its modifier, its alternatives."""

    name: str
    modifier: str
    values: tuple[str, ...]


def read_term(name: str, value: str, modifiers: Collection[str]) -> Term:
    """Return a parameter; `modifiers` are those it has.

    Raises:
        FhirRefusedError: 400; another modifier, too long, too many, or no values.
    """
    base, _, modifier = name.partition(":")
    if modifier and modifier not in modifiers:
        raise FhirRefusedError(
            400,
            Issue(
                "not-supported",
                "modifier",
                "this modifier is not supported",
                "不支持该修饰符",
                f"http.{base}",
                ", ".join(sorted(modifiers)) or "none",
                shown(modifier),
            ),
        )
    if len(value) > LONGEST_VALUE * MOST_VALUES or _CONTROLS.search(value):
        raise bad_value(base, f"at most {LONGEST_VALUE} printable characters each")
    values = split_values(value)
    if not values or len(values) > MOST_VALUES:
        raise bad_value(base, f"1 to {MOST_VALUES} alternatives")
    if any(len(one) > LONGEST_VALUE for one in values):
        raise bad_value(base, f"at most {LONGEST_VALUE} printable characters each")
    return Term(base, modifier, values)


def bad_value(name: str, allowed: str) -> FhirRefusedError:
    """Return the refusal of a value, which is not repeated: it may be about a person."""
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


def split_values(text: str) -> tuple[str, ...]:
    r"""Return the alternatives of a value: split at commas that are not escaped (`\,`)."""
    parts: list[str] = [""]
    for piece in re.findall(r"\\.|[^\\,]+|,|\\", text, re.DOTALL):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return tuple(part for part in parts if part.strip())


def unescaped(text: str) -> str:
    r"""Return a value without its escapes (`\,` `\|` `\$` `\\`)."""
    return _ESCAPED.sub(r"\1", text).strip()


def split_token(text: str) -> tuple[str | None, str]:
    """Return (system, value) of a token; system is None without a bar (search.html#token)."""
    found = re.match(r"((?:\\.|[^\\|])*)\|(.*)", text, re.DOTALL)
    if not found:
        return None, unescaped(text)
    return unescaped(found.group(1)), unescaped(found.group(2))
