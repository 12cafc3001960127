"""The installed files of the viewer: what may be sent, as what, and under which policy.

Only what lay in the folder when it was opened is ever sent, by its exact path.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

VIEWER_VERSION = "3.13.2"
INDEX = "index.html"
COMPRESSED = ".gz"

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_NAMED_BY_DIGEST = re.compile(r"(^|[./])[0-9a-f]{16}\.")
# The scripts that the viewer asks for before its first picture, wave after wave: the extensions
# that are always there, the modes, what the mode of `/viewer` depends on. OHIF's own numbers.
_ASKED_FOR_FIRST = (
    *("1673", "6938", "6489", "6495", "8478", "89", "2779", "2623"),
    *("6749", "5696", "1483", "9383", "7499", "8492", "9290", "4683", "1180"),
    *("7248", "781", "9415", "3500", "9116", "100", "5406", "3760"),
)
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class ViewerFile:
    """One file: its place and type; `is_lasting` when its name changes with its bytes."""

    path: Path
    media_type: str
    is_lasting: bool
    has_compressed: bool


@dataclass(frozen=True)
class ViewerFiles:
    """The files of one installed viewer by their path, and the policy that confines them.

    `hints` is what a header `Link` says of the page: what its scripts will ask for.
    """

    by_path: dict[str, ViewerFile]
    policy: str = field(repr=False)
    hints: str = field(default="", repr=False)


def installed_viewer(folder: Path) -> ViewerFiles | None:
    """Return the viewer installed in `folder`, None where there is none of this version."""
    root = folder / VIEWER_VERSION
    index = root / INDEX
    if not index.is_file():
        return None
    found = {
        str(path.relative_to(root)): _described(path, str(path.relative_to(root)))
        for path in root.rglob("*")
        if path.is_file() and path.suffix != COMPRESSED
    }
    policy = content_policy(index.read_text(encoding="utf-8"))
    return ViewerFiles(found, policy, _hints(found))


def content_policy(index: str) -> str:
    """Return the policy for the page `index`: its own inline scripts by digest, no other.

    The decoders are WebAssembly inside workers, some made of blobs; the interface sets styles on
    elements. Nothing is fetched from, sent to or framed by another origin.
    """
    scripts = " ".join(f"'{_digest(script)}'" for script in _INLINE_SCRIPT.findall(index))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' blob: {scripts}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' blob:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hints(names: Iterable[str]) -> str:
    by_number = {name.partition(".bundle.")[0]: name for name in names if name.endswith(".js")}
    return ", ".join(
        f"</{by_number[number]}>; rel=preload; as=script"
        for number in _ASKED_FOR_FIRST
        if number in by_number
    )


def _digest(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _described(path: Path, name: str) -> ViewerFile:
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return ViewerFile(
        path=path,
        media_type=_MEDIA_TYPES.get(path.suffix, guessed),
        is_lasting=bool(_NAMED_BY_DIGEST.search(name)),
        has_compressed=path.with_name(path.name + COMPRESSED).is_file(),
    )
