"""The options that every command shares: which settings, where the data lies, JSON or words."""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hub_kernel.config_files import shipped_config
from hub_kernel.errors import HubError
from hub_kernel.settings import Settings
from hub_kernel.settings_files import load_settings
from hub_runtime.data_folder import refuse_foreign_folder

Command = Callable[..., Any]


def with_settings(command: Command) -> Command:
    """Give `command` the merged settings as its first argument, and the options that make them."""

    @click.option(
        "--config",
        "files",
        multiple=True,
        type=click.Path(path_type=Path),
        help="TOML file with settings; may be given again, later files win.",
    )
    @click.option(
        "--data", type=click.Path(path_type=Path), help="Folder for archive, database and keys."
    )
    @click.option(
        "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting."
    )
    @functools.wraps(command)
    def run(
        *args: Any,
        files: tuple[Path, ...],
        data: Path | None,
        overrides: tuple[str, ...],
        **kw: Any,
    ) -> Any:
        settings = read_settings(files, data, overrides)
        refuse_foreign_folder(settings.hub.data_dir)
        return command(settings, *args, **kw)

    return run


def read_settings(
    files: tuple[Path, ...] = (), data: Path | None = None, overrides: tuple[str, ...] = ()
) -> Settings:
    """Return the settings of this command line and environment; `data` wins over every layer."""
    settings = load_settings([shipped_config("default.toml"), *files], dict(os.environ), overrides)
    if data is not None:
        hub = settings.hub.model_copy(update={"data_dir": data})
        settings = settings.model_copy(update={"hub": hub})
    return settings


json_option = click.option("--json", "as_json", is_flag=True, help="Answer as JSON, for scripts.")


def answer(value: object, words: str, *, as_json: bool) -> None:
    """Write the answer to standard output: as JSON, or in words."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str) if as_json else words)


class HubGroup(click.Group):
    """A command group whose errors are sentences: exit 1 for what failed, 2 for wrong usage."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a `HubError` becomes its message on standard error and exit code 1."""
        try:
            return super().invoke(ctx)
        except HubError as error:
            for line in str(error).splitlines():
                click.echo(f"eirhub: {line}", err=True)
            sys.exit(1)


class Progress:
    """A progress bar for work whose total may become known only while it runs."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are finished."""
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
            self._bar.__enter__()
        self._bar.length = total
        self._bar.update(done - self._done)
        self._done = done

    def close(self) -> None:
        """Leave the finished bar on the screen."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
