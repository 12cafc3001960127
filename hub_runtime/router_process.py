"""One of several receiving processes; `router_processes.py` starts and replaces it."""

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

import click

from hub_kernel.logs import configure_logging
from hub_kernel.settings import Settings
from hub_runtime import garbage
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from hub_runtime.serving import EndRequest, running

garbage.imported()

_SAY_S = 1.0


def receive(claims: int, sockets: Sequence[int]) -> None:
    """Be one of the processes: settings on standard input, until that ends or SIGTERM comes.

    `claims` is a descriptor that the parent keeps open until what this process leaves is settled.
    On standard output: that it is ready, then its metrics, a line each second.
    """
    settings = Settings.model_validate_json(sys.stdin.readline())
    configure_logging(settings.hub.log_format, settings.hub.log_level)
    end = EndRequest()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hub = build_hub(settings)
    hub.archive.claim_through(claims)
    with running(hub, ("router",), inherited=tuple(sockets)):
        garbage.settled()
        click.echo("ready")
        ending = threading.Event()
        saying = threading.Thread(target=_say_metrics, args=(hub, ending))
        saying.start()
        end.wait()
        ending.set()
        saying.join()


def _say_metrics(hub: Hub, ending: threading.Event) -> None:
    with suppress(BrokenPipeError):
        while not ending.wait(_SAY_S):
            click.echo(json.dumps(hub.base.metrics.exposition().decode()))


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    first, *rest = (int(text) for text in sys.argv[1:])
    receive(first, rest)
