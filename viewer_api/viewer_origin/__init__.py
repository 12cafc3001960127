"""The origin of the diagnostic viewer: OHIF's files, its door, and DICOMweb for one person.

It shares nothing with the hub's own origin: no session cookie is looked at, no page is served, and
nothing can be changed. Whoever breaks into the viewer's script has the one person's pictures that
are on the screen anyway.
"""

from viewer_api.viewer_origin.app import create_viewer_app
from viewer_api.viewer_origin.files import ViewerFiles, installed_viewer

__all__ = ["ViewerFiles", "create_viewer_app", "installed_viewer"]
