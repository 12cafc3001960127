"""The diagnostic viewer's first picture, in a real browser: from the click until OHIF has drawn it.

python -m benchmarks.first_picture [--slices 1000] [--size 512] [--runs 3]

Goal (issue 4): a CT of 1,000 slices in less than three seconds. `eirhub serve` runs as delivered in
a process of its own, the reader has signed in and looks at the study's page. Each run starts with a
browser that has never been here and opens the study in it three times; then the browser ends and
begins anew with what it had kept, as on the next morning. WebGL is drawn by the processor. The
slices are CT_small.dcm made larger, with its 179 private attributes and some noise.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pydicom
from pydicom.data import get_testdata_file

from benchmarks.receivers import HUB, HUB_COMMAND, Started
from tests.support.browser import FLAGS
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

GOAL_S = 3.0
_LOOKS_FOR_S = 180
# WebGL without a graphics card; the page itself is drawn as chromium chooses to without one.
DRAWING = ("--enable-unsafe-swiftshader",)
# How many grey levels the picture in the viewport has; 0 while nothing is drawn.
LEVELS = """() => {
  const canvas = document.querySelector("canvas.cornerstone-canvas");
  if (!canvas || !canvas.width) return 0;
  const small = document.createElement("canvas");
  small.width = small.height = 96;
  const context = small.getContext("2d");
  context.drawImage(canvas, 0, 0, 96, 96);
  return new Set(context.getImageData(0, 0, 96, 96).data.filter((_, at) => at % 4 === 0)).size;
}"""
FIRST, AGAIN, MORNING = "first time", "again", "browser begun anew"
_KINDS = (FIRST, AGAIN, AGAIN, MORNING, AGAIN)


@dataclass(frozen=True)
class Opening:
    """What one opening took: seconds by the clock, processor seconds, and what was fetched."""

    clock_s: float
    browser_s: float
    hub_s: float
    requests: int
    fetched_bytes: int


@dataclass(frozen=True)
class Place:
    """A hub that holds the study; `cookies` are those of a signed-in radiologist."""

    started: Started
    page: str
    cookies: list[dict[str, object]]


def main() -> None:
    """Push, open and print."""
    options = _options()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{options.slices} slices of {options.size} x {options.size}, load {load}", flush=True)
    print(table(measured(options.slices, options.size, options.runs)))


def measured(slices: int, size: int, runs: int) -> dict[str, list[Opening]]:
    """Return what the openings took by their kind, in the order in which they came."""
    found: dict[str, list[Opening]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uid = _write(folder / "files", slices, size)
        os.environ.setdefault("EIRHUB_STUDY__QUIET_PERIOD_S", "2")
        with HUB.running(folder) as started, _launcher() as launch:
            place = _prepared(folder, started, uid, launch)
            for run in range(runs):
                for kind, opening in _openings(place, folder / f"profile{run}", launch):
                    found[kind].append(opening)
    return dict(found)


def table(found: dict[str, list[Opening]]) -> str:
    """Return the medians as the rows of a table, and every time by the clock beside them."""
    rows = [
        "| | click to picture | processor: browser | hub | requests | fetched |",
        "|---|---|---|---|---|---|",
    ]
    for kind, openings in found.items():
        each = ", ".join(f"{one.clock_s:.1f}" for one in openings)
        rows.append(
            f"| {kind} | **{median(one.clock_s for one in openings):.1f} s** ({each}) "
            f"| {median(one.browser_s for one in openings):.1f} s "
            f"| {median(one.hub_s for one in openings):.2f} s "
            f"| {median(one.requests for one in openings):.0f} "
            f"| {median(one.fetched_bytes for one in openings) / 1e6:.2f} MB |"
        )
    return "\n".join(rows)


Launch = Callable[[Path], "BrowserContext"]


@contextmanager
def _launcher() -> Iterator[Launch]:
    """Give what begins a browser that keeps what it fetches in a folder."""
    program = require_tool("chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (only where a browser is)

    with sync_playwright() as playwright:

        def launch(profile: Path) -> BrowserContext:
            context = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=program,
                args=[*FLAGS, *DRAWING],
                viewport={"width": 1280, "height": 860},
            )
            context.set_default_timeout(120_000)
            return context

        yield launch


def _prepared(folder: Path, started: Started, uid: str, launch: Launch) -> Place:
    """Push the study, wait until every version of it is made, sign a radiologist in."""
    push = ["storescu", "+sd", "-aec", "BENCH", "127.0.0.1", str(started.port)]
    subprocess.run([*push, str(folder / "files")], check=True, capture_output=True)
    password = "Correct-horse-7-battery"  # noqa: S105 (of an account that lives for minutes)
    command = [*HUB_COMMAND[:-1], "user", "add", "reader", "--role", "radiologist"]
    command += ["--password-stdin", "--data", str(folder / "data")]
    subprocess.run(command, input=password, text=True, capture_output=True, check=True)
    context = launch(folder / "profile")
    page = context.new_page()
    page.goto(f"{started.web}/sign-in")
    page.fill("#username", "reader")
    page.fill("#password", password)
    page.press("#password", "Enter")
    page.wait_for_url("**/patients")
    _await_versions(context, f"{started.web}/api/v1/studies/{uid}")
    cookies: list[dict[str, object]] = [dict(one) for one in context.cookies()]
    context.close()
    return Place(started, f"{started.web}/studies/{uid}/diagnostic", cookies)


def _await_versions(context: BrowserContext, address: str) -> None:
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        said = context.request.get(address).json()
        if all(one["done"] for one in (said["archived"], *said["rendered"].values())):
            return
        time.sleep(1)
    raise SystemExit("the study was not rendered in time")


def _openings(place: Place, profile: Path, launch: Launch) -> Iterator[tuple[str, Opening]]:
    context = launch(profile)
    for kind in _KINDS:
        if kind == MORNING:
            context.close()
            context = launch(profile)
        context.add_cookies(place.cookies)  # type: ignore[arg-type]
        yield kind, _opened(place, context)
    context.close()


def _opened(place: Place, context: BrowserContext) -> Opening:
    """Click on the study's page; return when the viewer shows a picture."""
    page = context.new_page()
    page.goto(place.page, wait_until="networkidle")
    time.sleep(1)  # what the page fetches while its reader looks at it, and the browser writes
    hub, browser = _processor_s(place.started.process.pid), _browser_processor_s()
    began = time.monotonic()
    with context.expect_page() as opened:
        page.click("a[href$='/viewer']")
    viewer = opened.value
    viewer.wait_for_url("**/viewer?*", wait_until="commit")
    _await_picture(viewer)
    clock = time.monotonic() - began
    browser = _browser_processor_s() - browser
    hub = _processor_s(place.started.process.pid) - hub
    sizes = viewer.evaluate("performance.getEntriesByType('resource').map(e => e.transferSize)")
    viewer.wait_for_timeout(3_000)  # it compiles and fetches on; the browser keeps compiled script
    viewer.close()
    page.close()
    return Opening(clock, browser, hub, len(sizes), sum(sizes))


def _await_picture(viewer: Page) -> None:
    deadline = time.monotonic() + _LOOKS_FOR_S
    while time.monotonic() < deadline:
        if viewer.evaluate(LEVELS) > 20:
            return
        viewer.wait_for_timeout(100)
    raise SystemExit("the viewer shows no picture")


def _browser_processor_s() -> float:
    own = psutil.Process()
    browsers = [one for one in own.children(recursive=True) if "chrom" in one.name()]
    return sum(_times_s(one) for one in browsers)


def _processor_s(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(_times_s(one) for one in (process, *process.children(recursive=True)))


def _times_s(process: psutil.Process) -> float:
    """Return what a process has used, with those of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _write(folder: Path, slices: int, size: int) -> str:
    """Write the study's files; return its UID."""
    folder.mkdir()
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    uid = dataset.StudyInstanceUID = "2.25.88004"
    dataset.SeriesInstanceUID = f"{uid}.1"
    dataset.PatientID, dataset.PatientName = "BENCH1", "Bench^One=基^准"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    times = size // dataset.Rows
    large = np.kron(dataset.pixel_array, np.ones((times, times), np.int16))
    dataset.Rows, dataset.Columns = large.shape
    dataset.PixelSpacing = [one / times for one in dataset.PixelSpacing]
    left, top, _ = dataset.ImagePositionPatient
    noise = np.random.default_rng(4).integers(-12, 13, large.shape, np.int16)
    for number in range(1, slices + 1):
        dataset.SOPInstanceUID = f"{uid}.1.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber, dataset.SliceLocation = number, float(number)
        dataset.ImagePositionPatient = [left, top, float(number)]
        dataset.PixelData = (large + np.roll(noise, 7 * number)).tobytes()
        written = io.BytesIO()
        dataset.save_as(written, enforce_file_format=True)
        (folder / f"{number:05}.dcm").write_bytes(written.getvalue())
    return uid


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--size", type=int, default=512, help="rows and columns, a multiple of 128")
    parser.add_argument("--runs", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
