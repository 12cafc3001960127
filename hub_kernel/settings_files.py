"""Read settings: TOML files in order, then environment variables, then `--set`; later ones win.

Whatever cannot be understood stops the start and names the key, where it was written and what is
allowed there.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings

PREFIX = "EIRHUB_"
Source = dict[tuple[str, ...], str]


def load_settings(
    files: Iterable[Path] = (),
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Settings:
    """Return the merged settings. `overrides` are texts like `router.port=0`.

    Raises:
        ConfigurationError: one line for every key that is unknown or ill-typed.
    """
    merged: dict[str, Any] = {}
    origin: Source = {}
    for path in files:
        _merge(merged, _read_toml(path), origin, str(path))
    for name, text in sorted((environment or {}).items()):
        if name.startswith(PREFIX) and "__" in name:
            keys = name.removeprefix(PREFIX).lower().split("__")
            _merge(merged, _nested(keys, _value(text)), origin, f"environment variable {name}")
    for override in overrides:
        keys, value = _parse_override(override)
        _merge(merged, _nested(keys, value), origin, f"--set {override.partition('=')[0]}")
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        lines = [_explain(detail, origin) for detail in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from None


def _parse_override(override: str) -> tuple[list[str], Any]:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or len(keys) != 2:
        raise ConfigurationError(f"--set {override}: write it as section.key=value")
    return keys, _value(text)


def _value(text: str) -> Any:
    """Read a value as TOML does; what is not TOML is a plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(keys: list[str], value: object) -> dict[str, Any]:
    nested: Any = value
    for key in reversed(keys):
        nested = {key: nested}
    result: dict[str, Any] = nested
    return result


def _merge(
    into: dict[str, Any],
    layer: Mapping[str, Any],
    origin: Source,
    source: str,
    place: tuple[str, ...] = (),
) -> None:
    for key, value in layer.items():
        here = (*place, key)
        if isinstance(value, Mapping) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), value, origin, source, here)
        else:
            into[key] = value
        origin[here] = source


def _explain(detail: ErrorDetails, origin: Source) -> str:
    """Return one line: the key, where it was written, what is wrong, what is allowed."""
    place = tuple(str(part) for part in detail["loc"])
    source = next((origin[place[:n]] for n in range(len(place), 0, -1) if place[:n] in origin), "")
    name = ".".join(place)
    if detail["type"] == "extra_forbidden":
        return f"{name} ({source}): unknown key; allowed here: {', '.join(_allowed(place))}"
    return f"{name} ({source}): {detail['msg']}, got {detail['input']!r}"


def _allowed(place: tuple[str, ...]) -> list[str]:
    if len(place) == 1:
        return sorted(Settings.model_fields)
    section = Settings.model_fields[place[0]].annotation
    return sorted(getattr(section, "model_fields", {}))
