"""Read routing rules from a TOML file; what cannot be understood names file, rule, key and choice.

`config/routing.example.toml` shows every key.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import tag_for_keyword

from dicom_router.routing.model import Delivery, Priority, Rule, TransferChoice, When
from dicom_router.routing.windows import Window, window
from hub_kernel.errors import ConfigurationError

Text = Annotated[str, Field(min_length=1, max_length=64)]
Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]
_PRIORITIES = tuple(priority.name.lower() for priority in Priority)
_UID_OR_PATTERN = re.compile(r"[0-9.*?]+")
_SOP_CLASSES = frozenset(row[4] for row in UID_dictionary.values() if row[1] == "SOP Class")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _When(_Table):
    site: Texts | None = None
    modality: Texts | None = None
    sop_class: Texts | None = None
    body_part: Texts | None = None
    emergency: bool | None = None
    hours: str = ""
    weekdays: Texts | None = None
    tags: dict[str, Texts] = {}


class _Send(_Table):
    to: Text
    transfer_syntax: Literal[tuple(map(str, TransferChoice))] = "as-stored"  # type: ignore[valid-type]
    priority: Literal[_PRIORITIES] = "routine"  # type: ignore[valid-type]
    hours: str = ""
    weekdays: Texts | None = None


class _Rule(_Table):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    when: _When = _When()
    send: tuple[_Send, ...]
    stop: bool = False


_TABLES: dict[str, type[_Table]] = {"rule": _Rule, "when": _When, "send": _Send}
_MISTAKES = {
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "too_short": "must name at least one",
    "string_too_short": "must not be empty",
}


def load_rules(path: Path, destinations: Collection[str]) -> tuple[Rule, ...]:
    """Return the rules of the file, in their order; `destinations` are the names they may use.

    Raises:
        ConfigurationError: one line for everything that is wrong.
    """
    rules: list[Rule] = []
    problems: list[str] = []
    for position, table in enumerate(_rule_tables(path), start=1):
        where = f"{path}: rule {position}{_called(table)}"
        found = _rule(table, where, problems)
        if found is not None:
            problems += [f"{where}: {problem}" for problem in _wrong(found, destinations)]
            if found.name in {rule.name for rule in rules}:
                problems.append(f"{where}: name: another rule is called so too; choose another")
            rules.append(found)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return tuple(rules)


def _rule_tables(path: Path) -> list[Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from None
    rules = tables.pop("rule", [])
    if tables:
        raise ConfigurationError(
            f"{path}: {min(tables)}: unknown key; allowed here: [[rule]] tables alone"
        )
    if not isinstance(rules, list):
        raise ConfigurationError(f"{path}: rule: write [[rule]], with two brackets, for each rule")
    return rules


def _called(table: Any) -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return f" ({name})" if isinstance(name, str) else ""


def _rule(table: Any, where: str, problems: list[str]) -> Rule | None:
    try:
        read = _Rule.model_validate(table)
    except ValidationError as error:
        problems += [f"{where}: {_explain(detail)}" for detail in error.errors()]
        return None
    try:
        return _as_rule(read)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None


def _explain(detail: ErrorDetails) -> str:
    """Return the key, what is wrong with it, and what is allowed there."""
    place = detail["loc"]
    key = ".".join(map(str, place)) or "rule"
    if detail["type"] == "extra_forbidden":
        names = [part for part in place[:-1] if isinstance(part, str)]
        allowed = _TABLES[names[-1] if names else "rule"].model_fields
        return f"{key}: unknown key; allowed here: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    if detail["type"] in _MISTAKES:
        return f"{key}: {_MISTAKES[detail['type']]}, got {detail['input']!r}"
    if detail["type"] == "literal_error":
        return f"{key}: {detail['input']!r} is not allowed; allowed: {detail['ctx']['expected']}"
    return f"{key}: {detail['msg']}, got {detail['input']!r}"


def _as_rule(read: _Rule) -> Rule:
    when = read.when
    return Rule(
        name=read.name,
        when=When(
            site=when.site or (),
            modality=when.modality or (),
            sop_class=when.sop_class or (),
            body_part=when.body_part or (),
            emergency=when.emergency,
            during=_window(when, "when"),
            tags=when.tags,
        ),
        send=tuple(
            Delivery(
                destination=send.to,
                transfer=TransferChoice(send.transfer_syntax),
                priority=Priority[send.priority.upper()],
                during=_window(send, f"send.{number}"),
            )
            for number, send in enumerate(read.send)
        ),
        stop=read.stop,
    )


def _window(table: _When | _Send, place: str) -> Window | None:
    try:
        return window(table.hours, table.weekdays or ())
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _wrong(rule: Rule, destinations: Collection[str]) -> Iterator[str]:
    """Yield what is well formed and yet means nothing."""
    named = [delivery.destination for delivery in rule.send]
    if not named:
        yield "send: must name at least one destination"
    for number, name in enumerate(named):
        if name not in destinations:
            known = ", ".join(sorted(destinations)) or "none; add one to router.destinations"
            yield f"send.{number}.to: {name!r} is no destination; allowed: {known}"
        elif name in named[:number]:
            yield f"send.{number}.to: {name!r} stands in this rule already"
    for keyword in rule.when.tags:
        if tag_for_keyword(keyword) is None:
            yield f"when.tags.{keyword}: no DICOM keyword; write one of PS3.6, as StationName"
    for wanted in rule.when.sop_class:
        if not _may_be_sop_class(wanted.removeprefix("!")):
            near = get_close_matches(wanted, _SOP_CLASSES, 1)
            hint = f"; perhaps {near[0]}" if near else ""
            yield f"when.sop_class: {wanted!r} is no keyword and no UID of a SOP class{hint}"


def _may_be_sop_class(wanted: str) -> bool:
    return wanted in _SOP_CLASSES or bool(_UID_OR_PATTERN.fullmatch(wanted)) or "*" in wanted
