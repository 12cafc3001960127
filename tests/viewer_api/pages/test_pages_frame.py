"""What every page must be: small, self-contained, translated, readable, reachable by keyboard."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup

import viewer_api
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import CHEST_CT, EVIL_CT, Region

FOLDER = Path(viewer_api.__file__).parent
MOST_BYTES = 200_000
PAGES = (
    ("", "/sign-in"),
    ("doctor", "/patients"),
    ("doctor", "/patients?q=wxd"),
    ("doctor", "record"),
    ("doctor", f"/studies/{CHEST_CT}/clinical"),
    ("doctor", f"/studies/{CHEST_CT}/share"),
    ("reader", f"/studies/{EVIL_CT}/diagnostic"),
    ("tech", "/arrivals"),
    ("engineer", "/region"),
    ("auditor", "/audit"),
    ("", "/share/" + "x" * 43),
    ("", "/share/exam"),
    ("doctor", "/nowhere"),
)


@pytest.fixture(params=PAGES, ids=[f"{who or 'anyone'} {path}"[:48] for who, path in PAGES])
def opened(
    request: pytest.FixtureRequest, region: Region, signed_in: Callable[..., Browser]
) -> tuple[Browser, str, BeautifulSoup]:
    who, path = request.param
    browser = signed_in(who) if who else Browser(region)
    path = f"/patients/{region.person}" if path == "record" else path
    body = browser.get(path).get_data(as_text=True)
    return browser, body, BeautifulSoup(body, "html.parser")


def test_a_page_without_its_pictures_is_small(opened: tuple[Browser, str, BeautifulSoup]) -> None:
    browser, body, page = opened
    total = len(body.encode())
    for element in page.select("link[rel=stylesheet], link[rel=icon], script[src]"):
        asset = browser.get(element.get("href") or element["src"], Accept_Encoding="gzip")
        assert asset.status_code == 200
        assert asset.headers["Content-Encoding"] == "gzip"
        assert "immutable" in asset.headers["Cache-Control"]
        total += len(asset.data)
    assert total <= MOST_BYTES


def test_a_page_obeys_the_strict_policy_and_fetches_nothing_from_elsewhere(
    opened: tuple[Browser, str, BeautifulSoup],
) -> None:
    _, body, page = opened
    assert not page.select("[style], style")
    assert not [name for tag in page.find_all() for name in tag.attrs if name.startswith("on")]
    for script in page.find_all("script"):
        assert script.get("src") or script.get("type") == "application/json"
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', body)


def test_a_page_has_its_landmarks_names_and_one_heading(
    opened: tuple[Browser, str, BeautifulSoup],
) -> None:
    _, _, page = opened
    assert page.html["lang"] in {"en", "zh-Hans"}
    assert page.title.get_text(strip=True)
    assert len(page.select("main#main")) == 1
    assert page.select_one("a.skip")["href"] == "#main"
    assert len(page.select("h1")) <= 1
    for field in page.select("input:not([type=hidden]), select"):
        label = page.select_one(f"label[for='{field.get('id')}']")
        assert label is not None or field.get("aria-label"), f"{field} has no name"
    for image in page.select("img"):
        assert image.has_attr("alt")
    for control in page.select("button, a"):
        assert control.get_text(strip=True) or control.get("aria-label"), f"{control} has no name"
    identifiers = [tag["id"] for tag in page.select("[id]")]
    assert len(identifiers) == len(set(identifiers))


def test_no_page_in_chinese_falls_back_to_english(
    region: Region, signed_in: Callable[..., Browser]
) -> None:
    english = {"Sign out", "Skip to the content", "Find", "Pages", "Pictures", "Report", "Site"}
    for who, path in PAGES:
        browser = signed_in(who, "zh") if who else Browser(region, "zh")
        address = f"/patients/{region.person}" if path == "record" else path
        page = BeautifulSoup(browser.get(address).get_data(as_text=True), "html.parser")
        assert not english & {text.strip() for text in page.find_all(string=True)}, path


def test_every_message_is_translated_and_the_compiled_catalogue_is_current(tmp_path: Path) -> None:
    template = tmp_path / "messages.pot"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "babel.messages.frontend",
            "-q",
            "extract",
            "-F",
            "babel.cfg",
            "-k",
            "lazy_gettext",
            "-o",
            str(template),
            ".",
        ],
        cwd=FOLDER,
        check=True,
        capture_output=True,
    )
    folder = FOLDER / "translations" / "zh" / "LC_MESSAGES"
    with template.open("rb") as file:
        used = {_key(message.id) for message in read_po(file) if message.id}
    with (folder / "messages.po").open("rb") as file:
        written = {_key(message.id): message.string for message in read_po(file) if message.id}
    with (folder / "messages.mo").open("rb") as file:
        compiled = {_key(message.id): message.string for message in read_mo(file) if message.id}
    assert used == set(written)
    assert all(all(_texts(text)) for text in written.values())
    assert compiled.keys() == written.keys()
    assert all(_texts(compiled[message]) == _texts(written[message]) for message in written), (
        "run pybabel compile -d viewer_api/translations"
    )


def _key(message: str | list[str] | tuple[str, ...]) -> str:
    return message if isinstance(message, str) else message[0]


def _texts(message: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else tuple(message)


PAIRS = (
    ("text", "ground"),
    ("text", "surface"),
    ("text", "surface-2"),
    ("text", "accent-soft"),
    ("muted", "ground"),
    ("muted", "surface"),
    ("muted", "surface-2"),
    ("accent", "ground"),
    ("accent", "surface"),
    ("accent-strong", "accent-soft"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("ok", "ok-soft"),
    ("ok", "surface"),
    ("warn", "warn-soft"),
    ("warn", "surface"),
    ("bad", "bad-soft"),
    ("bad", "surface"),
)


@pytest.mark.parametrize("theme", ["light", "dark by the system", "dark by choice"])
def test_colours_have_the_contrast_of_wcag_aa(theme: str) -> None:
    tokens = _tokens(theme)
    for ink, paper in PAIRS:
        assert _contrast(tokens[ink], tokens[paper]) >= 4.5, f"{ink} on {paper}"
    for edge in ("line-strong", "focus"):
        for paper in ("ground", "surface"):
            assert _contrast(tokens[edge], tokens[paper]) >= 3, f"{edge} on {paper}"


def test_both_ways_into_the_dark_have_the_same_colours() -> None:
    assert _tokens("dark by the system") == _tokens("dark by choice")


def _tokens(theme: str) -> dict[str, str]:
    sheet = (FOLDER / "static" / "hub.css").read_text(encoding="utf-8")
    starts = {
        "light": '[data-bs-theme="light"] {',
        "dark by the system": ':root:not([data-theme="light"]) {',
        "dark by choice": ':root[data-theme="dark"] {',
    }
    block = sheet.split(starts[theme], 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))


def _contrast(first: str, second: str) -> float:
    """Relative contrast of two colours (WCAG 2.2, 1.4.3)."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_an_asset_of_an_older_page_is_not_kept_and_nothing_else_is_served(
    browser: Browser,
) -> None:
    assert browser.get("/assets/old/hub.css").headers["Cache-Control"] == "no-cache"
    for name in ("../app.py", "app.py", "..%2fapp.py", "hub.css%00", "bootstrap.min.css.map"):
        assert browser.get(f"/assets/old/{name}").status_code == 404


def test_a_browser_that_cannot_unpack_gets_the_plain_sheet(browser: Browser) -> None:
    packed = browser.get("/assets/x/hub.css", Accept_Encoding="gzip").data
    plain = browser.get("/assets/x/hub.css", Accept_Encoding="identity").data
    assert gzip.decompress(packed) == plain
