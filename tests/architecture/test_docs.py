"""What a stranger reads is true: settings, events, commands and transactions have their rows."""

import re
import tomllib
from pathlib import Path

import click

from hub_kernel.events import EVENT_TYPES
from hub_kernel.settings import Settings
from hub_kernel.settings_files import load_settings
from hub_runtime.cli import main

ROOT = Path(__file__).resolve().parents[2]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_default_toml_is_exactly_the_defaults() -> None:
    assert load_settings([ROOT / "config" / "default.toml"]) == Settings()


def test_every_setting_stands_in_default_toml_with_its_sentence() -> None:
    text = _text("config/default.toml")
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in text
        model = field.annotation
        assert model is not None
        for key, setting in getattr(model, "model_fields", {}).items():
            assert setting.description, f"{section}.{key} has no sentence"
            assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE), f"{section}.{key}"


def test_default_toml_has_no_section_that_is_gone() -> None:
    assert set(tomllib.loads(_text("config/default.toml"))) <= set(Settings.model_fields)


def test_every_event_has_its_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", _text("docs/events.md"), re.MULTILINE))
    assert rows == set(EVENT_TYPES)


def test_every_command_has_its_row() -> None:
    rows = set(re.findall(r"^\| `eirhub ([a-z0-9 -]+)", _text("docs/operations.md"), re.MULTILINE))
    assert {row.strip() for row in rows} == set(_commands(main))


def test_every_transaction_has_its_row() -> None:
    statement = _text("docs/conformance-statement.md")
    for module in (ROOT / "xds_registry" / "transactions").glob("[a-z]*_*.py"):
        code = re.sub(r"^([a-z]+)(\d+)$", r"\1-\2", module.stem.split("_")[0]).upper()
        assert code in statement, f"{module.name}: no row for {code}"


def test_every_file_that_the_architecture_page_names_exists() -> None:
    for name in re.findall(r"`([\w/]+\.(?:py|md|toml|cfg))`", _text("ARCHITECTURE.md")):
        assert list(ROOT.glob(name)) or list(ROOT.rglob(name)), name


def test_every_relative_link_of_the_pages_leads_somewhere() -> None:
    pages = list(ROOT.glob("*.md")) + list((ROOT / "docs").rglob("*.md"))
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def _commands(group: click.Group, prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            names += [f"{prefix}{name}"] if command.invoke_without_command else []
            names += _commands(command, f"{prefix}{name} ")
        else:
            names.append(f"{prefix}{name}")
    return names
