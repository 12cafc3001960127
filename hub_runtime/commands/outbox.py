"""`eirhub outbox`: what the hub's own parts are owed, and another try for what was parked."""

from dataclasses import asdict

import click

from hub_kernel.outbox_desk import owed, retry_parked
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import answer, json_option, with_settings


@click.group()
def outbox() -> None:
    """What follows from what was received: linking, registering, rendering, forwarding."""


@outbox.command("list")
@json_option
@with_settings
def list_owed(settings: Settings, *, as_json: bool) -> None:
    """Name every subscriber that is owed something: how much waits, how much is parked, and why."""
    with opened_hub(settings) as hub, hub.database.read() as session:
        found = owed(session)
    lines = [
        f"{one.subscriber}: {one.pending} waiting, {one.parked} parked"
        + (f", one because of {one.reason}" if one.parked else "")
        for one in found
    ]
    answer([asdict(one) for one in found], "\n".join(lines) or "nothing waits", as_json=as_json)


@outbox.command("retry")
@click.argument("subscriber", required=False)
@click.option("--all", "everybody", is_flag=True, help="Every subscriber with parked deliveries.")
@json_option
@with_settings
def retry(settings: Settings, subscriber: str | None, *, everybody: bool, as_json: bool) -> None:
    """Deliver again what was parked for SUBSCRIBER, that `list` names; the running hub does it."""
    if everybody == bool(subscriber):
        raise click.UsageError("name one subscriber, or --all")
    with opened_hub(settings) as hub:
        with hub.database.read() as session:
            parked = [one.subscriber for one in owed(session) if one.parked]
        named = [subscriber] if subscriber else parked
        again = sum(retry_parked(hub.database, one) for one in named)
    answer({"owed_again": again}, f"{again} deliveries are owed again", as_json=as_json)
