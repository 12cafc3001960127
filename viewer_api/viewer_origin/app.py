"""The viewer's application: files open to everyone, DICOMweb for whom a grant names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, abort, current_app, request, send_file

from viewer_api import dicomweb, operations
from viewer_api.failures import install_failures
from viewer_api.security.access import install_access
from viewer_api.security.converters import install_converters
from viewer_api.security.headers import install_headers
from viewer_api.security.navigation import PUBLIC_URL
from viewer_api.security.remembered import install_memory
from viewer_api.security.subjects import install_sign_in, open_to_everyone
from viewer_api.services import install_services
from viewer_api.viewer_origin import door
from viewer_api.viewer_origin.files import COMPRESSED, INDEX, ViewerFile, ViewerFiles
from viewer_api.viewer_origin.lean_metadata import install_lean_metadata

if TYPE_CHECKING:
    from viewer_api.services import ViewerServices

blueprint = Blueprint("viewer_files", __name__)

_FILES = "eirhub.viewer_files"
_OWN_FOLDER = Path(__file__).parent / "own"
# What the hub adds to, or puts in the place of, what the package ships.
_OWN = {
    "app-config.js": "text/javascript",
    "open.html": "text/html",
    "open.js": "text/javascript",
    "open.css": "text/css",
}
_LASTING = "public, max-age=31536000, immutable"


def create_viewer_app(services: ViewerServices, files: ViewerFiles) -> Flask:
    """Return the application of the viewer's origin; opens no socket, starts no thread."""
    app = Flask("viewer_api", static_folder=None)
    app.config[PUBLIC_URL] = services.settings.viewer.public_url
    app.config["MAX_CONTENT_LENGTH"] = 1 << 16
    app.extensions[_FILES] = files
    install_services(app, services)
    install_converters(app)
    install_failures(app, machines_only=True)
    operations.install_timing(app)
    install_headers(app)
    install_access(app)
    install_memory(app)
    install_sign_in(app, door.reader)
    door.install_door(app)
    install_lean_metadata(app)
    for one in (*dicomweb.reading_blueprints(), door.blueprint, blueprint):
        app.register_blueprint(one)
    return app


@blueprint.get("/", defaults={"name": ""})
@blueprint.get("/<path:name>")
@open_to_everyone
def send(name: str) -> Response:
    """Answer a file; an address without one is a state of the viewer, and answers its page."""
    if request.root_path or name.startswith(("g/", "dicom-web/")):
        abort(404)
    if name == "open":
        name = "open.html"
    if name in _OWN:
        return _confined(send_file(_OWN_FOLDER / name, mimetype=_OWN[name]))
    files: ViewerFiles = current_app.extensions[_FILES]
    found = files.by_path.get(name)
    if found is None and "." in name.rsplit("/", maxsplit=1)[-1]:
        abort(404)
    if found is None or name == INDEX:
        answer = _sent(files.by_path[INDEX])
        if files.hints:
            answer.headers["Link"] = files.hints
        return answer
    return _sent(found)


def _sent(found: ViewerFile) -> Response:
    squeezed = found.has_compressed and request.accept_encodings.quality("gzip") > 0
    path = found.path.with_name(found.path.name + COMPRESSED) if squeezed else found.path
    answer = send_file(path, mimetype=found.media_type, conditional=True)
    if found.has_compressed:
        answer.headers["Vary"] = "Accept-Encoding"
    if squeezed:
        answer.headers["Content-Encoding"] = "gzip"
    if found.is_lasting:
        answer.headers["Cache-Control"] = _LASTING
    return _confined(answer)


def _confined(answer: Response) -> Response:
    files: ViewerFiles = current_app.extensions[_FILES]
    answer.headers["Content-Security-Policy"] = files.policy
    answer.headers.setdefault("Cache-Control", "no-cache")
    return answer
