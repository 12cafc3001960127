"""One of several receiving processes; `router_processes.py` starts and replaces it."""

import os
import signal
import sys
import threading
from collections.abc import Sequence

import click

from hub_kernel.logs import configure_logging
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.serving import EndRequest, running


def receive(descriptors: Sequence[int]) -> None:
    """Be one of the processes: settings on standard input, until that ends or SIGTERM comes."""
    settings = Settings.model_validate_json(sys.stdin.readline())
    configure_logging(settings.hub.log_format, settings.hub.log_level)
    end = EndRequest()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with running(build_hub(settings), ("router",), inherited=tuple(descriptors)):
        click.echo("ready")
        end.wait()


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    receive([int(text) for text in sys.argv[1:]])
