"""The hub's own style, script and Bootstrap's sheet: compressed once, named by their digest.

Hospitals are on isolated networks, so nothing is fetched from elsewhere. The viewer's script is
modules that name each other relatively: they share the digest of all of them, or a browser could
keep an old one beside a new one.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, abort, request, url_for

from viewer_api.security import open_to_everyone

blueprint = Blueprint("assets", __name__)

_STATIC = Path(__file__).resolve().parent.parent / "static"
_OWN = {
    "document.css": "text/css; charset=utf-8",
    "hub.css": "text/css; charset=utf-8",
    "find.js": "text/javascript; charset=utf-8",
    "identity.css": "text/css; charset=utf-8",
    "identity.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "viewer.css": "text/css; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
_VIEWER = (
    "cine.js",
    "gestures.js",
    "keys.js",
    "labels.js",
    "link.js",
    "main.js",
    "pictures.js",
    "placement.js",
    "slide.js",
    "slide_hands.js",
    "slide_pyramid.js",
    "slide_stage.js",
    "slide_tiles.js",
    "slide_view.js",
    "stack.js",
    "viewport.js",
)
_OWN |= {f"viewer/{name}": "text/javascript; charset=utf-8" for name in _VIEWER}
_BOOTSTRAP = "bootstrap.css"
_YEAR_S = 31_536_000


@dataclass(frozen=True)
class Asset:
    """One file as it is sent: `plain` bytes, the same `compressed`, and its short digest."""

    media_type: str
    plain: bytes
    compressed: bytes
    digest: str


@blueprint.get("/assets/<digest>/<path:name>")
@open_to_everyone
def send(digest: str, name: str) -> Response:
    """Answer one asset; its address changes with its content, so it may be kept for a year."""
    if name != _BOOTSTRAP and name not in _OWN:
        abort(404)
    found = asset(name)
    squeezed = request.accept_encodings.quality("gzip") > 0
    answer = Response(found.compressed if squeezed else found.plain, content_type=found.media_type)
    answer.headers["Vary"] = "Accept-Encoding"
    if squeezed:
        answer.headers["Content-Encoding"] = "gzip"
    current = digest == found.digest
    answer.headers["Cache-Control"] = (
        f"public, max-age={_YEAR_S}, immutable" if current else "no-cache"
    )
    return answer


def asset_url(name: str) -> str:
    """Return the address of the asset `name`."""
    return url_for("assets.send", digest=asset(name).digest, name=name)


@functools.cache
def asset(name: str) -> Asset:
    """Return the asset `name`, read and compressed at its first use."""
    path, media_type = _located(name)
    plain = path.read_bytes()
    if name == _BOOTSTRAP:
        # The package ships no source map beside the sheet's address; do not send readers there.
        plain = plain.rsplit(b"/*# sourceMappingURL", 1)[0]
    return Asset(
        media_type=media_type,
        plain=plain,
        compressed=gzip.compress(plain, 9, mtime=0),
        digest=_digest(name, plain),
    )


def _digest(name: str, plain: bytes) -> str:
    if name.startswith("viewer/"):
        plain = b"".join((_STATIC / "viewer" / one).read_bytes() for one in _VIEWER)
    return hashlib.sha256(plain).hexdigest()[:16]


def _located(name: str) -> tuple[Path, str]:
    if name != _BOOTSTRAP:
        return _STATIC / name, _OWN[name]
    spec = find_spec("flask_bootstrap")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package Bootstrap-Flask is not installed")
    sheet = Path(spec.origin).parent / "static" / "bootstrap5" / "css" / "bootstrap.min.css"
    return sheet, "text/css; charset=utf-8"
