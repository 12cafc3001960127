"""Commands of `eirhub`, each in a process of its own that does not import the hub anew.

Importing it takes a second of processor time, more than most commands. A server that has imported
it forks a process for each of them; nothing of one command is there for the next.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_LONGEST_S = 300


def run_command(args: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `eirhub` with `args` in `folder` and this process's environment; return what came.

    Raises:
        AssertionError: it did not end within five minutes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hub_runtime.cli"])
    with tempfile.TemporaryDirectory(prefix="eirhub-command-") as made:
        out, err = (Path(made) / name for name in ("out", "err"))
        process = context.Process(
            target=_command, args=(list(args), folder, dict(os.environ), (out, err))
        )
        process.start()
        process.join(_LONGEST_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"eirhub {' '.join(args)} did not end: {err.read_text()}")
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(
            ["eirhub", *args], code, out.read_text("utf-8"), err.read_text("utf-8")
        )


def _command(
    args: list[str], folder: Path, environment: Mapping[str, str], said: tuple[Path, Path]
) -> None:
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (
        open(number, "w", encoding="utf-8", closefd=False)  # noqa: PTH123, SIM115 (as long as it runs)
        for number in (1, 2)
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["eirhub", *args]

    from hub_runtime.cli import main

    try:
        main(args, prog_name="eirhub")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
