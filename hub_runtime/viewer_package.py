"""Installs the diagnostic viewer from its npm package, whose every byte is known beforehand.

Of the package only the built pages are kept. Left out are what sends readers elsewhere
(`google.js`, the sign-in and service worker scripts), source maps, and the folder of the ONNX
runtime with its models' loader.
"""

import base64
import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from hub_kernel.errors import HubError
from viewer_api.viewer_origin.files import COMPRESSED, VIEWER_VERSION

PACKAGE = f"@ohif/app@{VIEWER_VERSION}"
INTEGRITY = (
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F"
    "87BKxFfpq+jd5xXZB9E8EA=="
)
_PAGES = "package/dist/"
_LICENSE = "package/LICENSE"
_LEFT_OUT = (
    "app-config.js",
    "google.js",
    "es6-shim.min.js",
    "oidc-client.min.js",
    "polyfill.min.js",
    "silent-refresh.html",
    "sw.js",
    "serve.json",
    "_headers",
    "_redirects",
)
_LEFT_OUT_FOLDERS = ("ort", "customizations")
_COMPRESSIBLE = frozenset({".js", ".css", ".wasm", ".svg", ".json", ".html"})
_NPM_S = 300


class ViewerPackageError(HubError):
    """The viewer's package could not be had, or is not the one that this hub knows."""


def install_viewer(folder: Path, package: Path | None = None) -> Path:
    """Install the viewer below `folder` and return where; one that is there is replaced as a whole.

    `package` is the package's file, where it was carried here by hand; else `npm` fetches it.

    Raises:
        ViewerPackageError: there is no npm, it failed, or the bytes are not the expected ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".installing-") as scratch:
        file = package or _fetched(Path(scratch))
        _verify(file)
        made = Path(scratch) / "pages"
        _unpack(file, made)
        place = folder / VIEWER_VERSION
        former = Path(scratch) / "former"
        if place.exists():
            place.rename(former)
        made.rename(place)
    return place


def is_kept(name: str) -> bool:
    """Say whether the page file `name` of the package is installed."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return False
    return (
        name not in _LEFT_OUT and path.parts[0] not in _LEFT_OUT_FOLDERS and path.suffix != ".map"
    )


def _fetched(scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ViewerPackageError(
            f"npm is missing (apt-get install npm); or bring the package {PACKAGE} here and name "
            "it with --package"
        )
    command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(scratch)]
    try:
        subprocess.run(  # noqa: S603 (a fixed command)
            command, check=True, timeout=_NPM_S, capture_output=True, cwd=scratch
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ViewerPackageError(f"npm could not fetch {PACKAGE}") from error
    found = list(scratch.glob("*.tgz"))
    if len(found) != 1:
        raise ViewerPackageError(f"npm gave no package for {PACKAGE}")
    return found[0]


def _verify(file: Path) -> None:
    try:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha512").digest()
    except OSError as error:
        raise ViewerPackageError(f"{file.name} cannot be read") from error
    if f"sha512-{base64.b64encode(digest).decode('ascii')}" != INTEGRITY:
        raise ViewerPackageError(f"{file.name} is not {PACKAGE}: its digest differs; not installed")


def _unpack(file: Path, place: Path) -> None:
    with tarfile.open(file, "r:gz") as archive:
        for member in archive:
            if member.name == _LICENSE:
                name = "LICENSE"
            elif member.name.startswith(_PAGES) and is_kept(member.name.removeprefix(_PAGES)):
                name = member.name.removeprefix(_PAGES)
            else:
                continue
            source = archive.extractfile(member)
            if source is not None:
                _write(place / name, source.read())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if path.suffix in _COMPRESSIBLE:
        squeezed = path.with_name(path.name + COMPRESSED)
        squeezed.write_bytes(gzip.compress(data, 6, mtime=0))
