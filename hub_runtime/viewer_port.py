"""The diagnostic viewer's port: where it is installed, and how it is opened."""

import sys
from pathlib import Path

from hub_kernel.settings import Settings
from hub_runtime.http_server import HttpServer
from hub_runtime.hub import Hub
from hub_runtime.own_tls import web_tls_files
from viewer_api.viewer_origin import create_viewer_app, installed_viewer


def viewer_folder(settings: Settings) -> Path:
    """Return the folder that the viewer is, or will be, installed in."""
    return settings.viewer.path or Path(sys.prefix) / "share" / "eirhub" / "viewer"


def viewer_server(hub: Hub) -> HttpServer | None:
    """Return the server of the viewer's origin, not yet listening; None where none is installed.

    It speaks TLS where the hub's pages do: a browser keeps a token only that came as safely.
    """
    files = installed_viewer(viewer_folder(hub.settings))
    if files is None:
        return None
    application = create_viewer_app(hub.viewer_services(), files)
    settings = hub.settings
    return HttpServer(
        application, settings.web, tls=web_tls_files(settings), port=settings.viewer.port
    )
