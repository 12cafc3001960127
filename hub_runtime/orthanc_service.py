"""What an Orthanc asks the hub over HTTP: may this device store, and here is something new.

`GET admission?ae=…` tells whether instances of that calling AE title may be taken; `POST hint` has
the change feed looked at now; `POST find` answers a C-FIND that reached Orthanc. Who asks must be a
machine with the role `edge`, for `find` with one that may query too; a token for one site speaks
for that site alone.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from access_control.model import ANONYMOUS, Action, Purpose, Resource, Role, Site, Subject
from access_control.policy import decide
from access_control.sites import SiteDirectory
from dicom_router.admission import TRIAL_SITE
from dicom_router.model import Caller
from edge_gateway.door_audit import DoorAudit
from hub_kernel.errors import InvalidValueError
from hub_runtime.foundation import Access, Foundation
from hub_runtime.machine_authentication import Authenticate
from hub_runtime.orthanc_queries import OrthancQueries, orthanc_queries
from image_archive.index import ArchiveIndex

Environ = dict[str, Any]
ROUTES = Map(
    [
        Rule("/admission", endpoint="admission", methods=["GET"]),
        Rule("/hint", endpoint="hint", methods=["POST"]),
        Rule("/find", endpoint="find", methods=["POST"]),
    ],
    redirect_defaults=False,
    merge_slashes=False,
)
_MOST_QUERY_BYTES = 65_536


def orthanc_service(
    base: Foundation, access: Access, index: ArchiveIndex, authenticate: Authenticate
) -> "OrthancService":
    """Return the door of a hub."""
    return OrthancService(
        authenticate=authenticate,
        sites=access.sites,
        audit=DoorAudit(base.database, access.audit),
        hinted=base.arrivals.set,
        queries=orthanc_queries(base, access, index),
        accept_unknown=base.settings.router.accept_unknown_ae,
    )


@dataclass(frozen=True)
class OrthancService:
    """The door as plain WSGI; `hinted` is called when Orthanc says that something came."""

    authenticate: Callable[[Environ], Subject | None]
    sites: SiteDirectory
    audit: DoorAudit
    hinted: Callable[[], None]
    queries: OrthancQueries
    accept_unknown: bool

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        try:
            response = self._answer(request, ROUTES.bind_to_environ(environ).match()[0])
        except MethodNotAllowed:
            response = Response(status=405)
        except HTTPException:
            response = Response(status=404)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response(environ, start_response)

    def _answer(self, request: Request, endpoint: str) -> Response:
        subject = self.authenticate(request.environ)
        address = request.remote_addr or ""
        if subject is None:
            self.audit.refused(ANONYMOUS, "", address, "unproven")
            return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if Role.EDGE not in subject.roles:
            self.audit.refused(subject, "", address, "no machine that hands over studies")
            return Response(status=404)
        if endpoint == "hint":
            self.hinted()
            return Response(status=204)
        if endpoint == "find":
            return self._find(subject, request)
        return self._admission(subject, request.args.get("ae", ""))

    def _site(self, title: str) -> Site | None:
        known = (site for site in self.sites.all() if title in site.ae_titles)
        return next(known, TRIAL_SITE if self.accept_unknown else None)

    def _admission(self, subject: Subject, title: str) -> Response:
        site = self._site(title)
        stores = site is not None and _may(subject, Action.STORE, site)
        return _answered({"store": stores})

    def _find(self, subject: Subject, request: Request) -> Response:
        try:
            asked = json.loads(request.get_data()[:_MOST_QUERY_BYTES])
            title, called = str(asked["ae"]), str(asked["called"])
            keys = {str(tag): str(value) for tag, value in asked["keys"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Response(status=400)
        site, address = self._site(title), request.remote_addr or ""
        if site is None or not _may(subject, Action.QUERY, site):
            self.audit.refused(subject, site.site_id if site else "", address, "may not query")
            return Response(status=404)
        try:
            found = self.queries.find(keys, Caller(site, title, called, address))
        except InvalidValueError:
            return Response(status=400)
        return Response(status=502) if found is None else _answered({"answers": found})


def _may(subject: Subject, action: Action, site: Site) -> bool:
    """Whether a machine may do this for that site: its rights, and the sites they hold at."""
    concerned = frozenset({site.site_id})
    resource = Resource("study", site_ids=concerned, origin_site_id=site.site_id)
    return decide(subject, action, resource, Purpose.TREATMENT).allowed


def _answered(told: dict[str, object]) -> Response:
    return Response(json.dumps(told), content_type="application/json")
