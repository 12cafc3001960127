"""What an Orthanc asks the hub over HTTP: may this device store, and here is something new.

`GET admission?ae=…` tells whether instances of that calling AE title may be taken; `POST hint` has
the change feed looked at now. Who asks must prove to be a machine with the role `edge`; a token for
one site speaks for that site alone.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from access_control.model import ANONYMOUS, Action, Purpose, Resource, Role, Subject
from access_control.policy import decide
from access_control.sites import SiteDirectory
from dicom_router.admission import TRIAL_SITE
from edge_gateway.door_audit import DoorAudit
from hub_runtime.foundation import Access, Foundation
from hub_runtime.machine_authentication import Authenticate

Environ = dict[str, Any]
ROUTES = Map(
    [
        Rule("/admission", endpoint="admission", methods=["GET"]),
        Rule("/hint", endpoint="hint", methods=["POST"]),
    ],
    redirect_defaults=False,
    merge_slashes=False,
)
_LONGEST_TITLE = 16


def orthanc_service(
    base: Foundation, access: Access, authenticate: Authenticate
) -> "OrthancService":
    """Return the door of a hub."""
    return OrthancService(
        authenticate=authenticate,
        sites=access.sites,
        audit=DoorAudit(base.database, access.audit),
        hinted=base.arrivals.set,
        accept_unknown=base.settings.router.accept_unknown_ae,
    )


@dataclass(frozen=True)
class OrthancService:
    """The door as plain WSGI; `hinted` is called when Orthanc says that something came."""

    authenticate: Callable[[Environ], Subject | None]
    sites: SiteDirectory
    audit: DoorAudit
    hinted: Callable[[], None]
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
        return self._admission(subject, request.args.get("ae", "")[:_LONGEST_TITLE])

    def _admission(self, subject: Subject, title: str) -> Response:
        known = (site for site in self.sites.all() if title in site.ae_titles)
        site = next(known, TRIAL_SITE if self.accept_unknown else None)
        stores = site is not None and (
            decide(
                subject,
                Action.STORE,
                Resource("study", origin_site_id=site.site_id),
                Purpose.TREATMENT,
            ).allowed
        )
        return Response(json.dumps({"store": stores}), content_type="application/json")
