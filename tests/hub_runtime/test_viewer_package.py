"""Installing the diagnostic viewer: only the known package, only its pages."""

import tarfile
from pathlib import Path

import pytest

from hub_runtime.viewer_package import ViewerPackageError, install_viewer, is_kept
from viewer_api.viewer_origin import installed_viewer


def test_another_package_is_not_installed(tmp_path: Path) -> None:
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        archive.add(__file__, "package/dist/index.html")
    with pytest.raises(ViewerPackageError, match="digest"):
        install_viewer(tmp_path / "viewer", package)
    assert not installed_viewer(tmp_path / "viewer")
    assert not list((tmp_path / "viewer").iterdir())


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("index.html", True),
        ("app.bundle.0f6159c501addfe9.js", True),
        ("assets/favicon.ico", True),
        ("dicom-microscopy-viewer/worker.js", True),
        ("google.js", False),
        ("app-config.js", False),
        ("silent-refresh.html", False),
        ("app.bundle.js.map", False),
        ("ort/ort.wasm", False),
        ("customizations/tools/a.jsonc", False),
        ("../escape.js", False),
        ("/etc/passwd", False),
    ],
)
def test_what_sends_readers_elsewhere_is_left_out(name: str, kept: bool) -> None:  # noqa: FBT001
    assert is_kept(name) is kept
