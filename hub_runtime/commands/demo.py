"""`eirhub demo`: play a region on this machine and show where to look."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hub_kernel.config_files import shipped_config
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings
from hub_runtime.demo.process import DemoHub, started_hub
from hub_runtime.demo.story import Story, play, prepare
from hub_runtime.options import read_settings


class _ToldToEndError(BaseException):
    """SIGTERM came; no handler of ordinary errors may mistake it for one."""


@click.command()
@click.option(
    "--exit", "then_exit", is_flag=True, help="Verify every step, then end; 0 if all held."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Keep everything in this folder, which must be new; by default it is thrown away.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting.")
def demo(*, then_exit: bool, data: Path | None, overrides: tuple[str, ...]) -> None:
    """Start a hub, push real studies from three townships, print where to look."""
    try:
        _play(data, overrides, then_exit=then_exit)
    except _ToldToEndError:
        # Everything is put away; threads of a step that was broken off would wait for ever.
        sys.stdout.flush()
        os._exit(128 + signal.SIGTERM)


def _play(data: Path | None, overrides: tuple[str, ...], *, then_exit: bool) -> None:
    with _folder(data) as folder:
        chosen = [*_free_ports(then_exit=then_exit), *overrides]
        settings = read_settings((shipped_config("demo.toml"),), folder, tuple(chosen))
        story = Story(settings)
        prepare(story)
        arguments = ["--config", str(shipped_config("demo.toml")), "--data", str(folder)]
        for override in chosen:
            arguments += ["--set", override]
        with started_hub(arguments, settings) as running:
            _end_on_sigterm(running)
            click.echo(f"{settings.hub.name} · {settings.hub.name_en}", err=True)
            play(story, running)
            if then_exit:
                click.echo("every step was verified")
                return
            _show(story, running)
            _wait(running)


def _end_on_sigterm(running: DemoHub) -> None:
    """Make SIGTERM as good as Ctrl-C: the hub ends, and a folder of our own vanishes.

    The hub is told first: wherever the exit below is raised and perhaps swallowed, no further step
    of the demo can succeed.
    """

    def end(*_: object) -> None:
        running.process.terminate()
        raise _ToldToEndError

    signal.signal(signal.SIGTERM, end)


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    """Give an empty folder: the named one, or one that vanishes with the demo."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix="eirhub-demo-") as made:
            yield Path(made)
        return
    if data.exists() and any(data.iterdir()):
        raise ConfigurationError(f"{data} is not empty; the demo starts from nothing")
    data.mkdir(parents=True, exist_ok=True)
    yield data


def _free_ports(*, then_exit: bool) -> Iterator[str]:
    """Ask for other ports where the default ones are taken, or nobody needs to know them."""
    defaults = Settings()
    for name, bind, port in (
        ("router.port", defaults.router.bind, defaults.router.port),
        ("web.port", defaults.web.bind, defaults.web.port),
        ("hl7.port", defaults.hl7.bind, defaults.hl7.port),
        ("viewer.port", defaults.web.bind, defaults.viewer.port),
    ):
        if then_exit or not _is_free(bind, port):
            yield f"{name}=0"


def _is_free(bind: str, port: int) -> bool:
    try:
        socket.create_server((bind, port)).close()
    except OSError:
        return False
    return True


def _show(story: Story, running: DemoHub) -> None:
    """Print addresses, accounts and the shared link."""
    lines = ["", f"pages      {running.http}/"]
    lines += [f"DICOM      {running.dicom_host}:{running.dicom_port}  as {_ae(story)}"]
    lines += [f"DICOMweb   {running.http}/dicom-web   (bearer token: {story.token})"]
    lines += [f"XDS        {running.http}/xds/registry  {running.http}/xds/repository", ""]
    lines += ["account      password           who"]
    lines += [
        f"{account.username:12} {story.passwords[account.username]:18} "
        f"{account.display_name}, {account.role}"
        for account in story.region.accounts
    ]
    if story.link:
        lines += ["", f"shared link  {story.link.url}", f"passcode     {story.link.passcode}"]
    sites = ", ".join(site.ae_titles[0] for site in story.sites)
    lines += ["", "try: search 王小东, wxd or 单丽娟; push your own study with DCMTK's"]
    lines += [f"     storescu -aet {story.sites[0].ae_titles[0]} -aec {_ae(story)} "]
    lines[-1] += f"{running.dicom_host} {running.dicom_port} FILE   (sites: {sites})"
    click.echo("\n".join([*lines, "", "Ctrl-C ends the demo."]))


def _ae(story: Story) -> str:
    return story.settings.router.ae_title


def _wait(running: DemoHub) -> None:
    """Keep running until Ctrl-C, or until the hub ends by itself."""
    try:
        running.process.wait()
    except KeyboardInterrupt:
        click.echo("\nending the demo …", err=True)
        return
    except subprocess.SubprocessError:
        sys.exit(1)
