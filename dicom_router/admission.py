"""Who is let in: AE title, address and certificate make a site, or the association is rejected.

PS3.8 table 9-21 has one word for it, "calling AE title not recognised"; the audit record says more.
"""

import re
from dataclasses import dataclass

from access_control.errors import SiteRefusedError, UnknownCallingAeTitleError
from access_control.model import Site
from access_control.sites import SiteDirectory
from dicom_router.association_request import AssociationRequest
from dicom_router.connection import Connection
from dicom_router.errors import AssociationRefusedError
from dicom_router.model import Caller
from hub_kernel.identifiers import AssigningAuthority

_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # PS3.5 6.2: no backslash, no control characters
TRIAL_SITE = Site(
    site_id="trial",
    name="试用",
    name_en="Trial",
    institution="",
    level="",
    ae_titles=(),
    networks=(),
    assigning_authority=AssigningAuthority("TRIAL", "2.25.302971216310817290311404209104731720411"),
)


@dataclass(frozen=True)
class Admission:
    """The rule at the door; `accept_unknown` files whoever no site knows under the trial site."""

    directory: SiteDirectory
    accept_unknown: bool = False

    def admit(self, request: AssociationRequest, connection: Connection) -> Caller:
        """Return who calls.

        Raises:
            AssociationRefusedError: no site has this AE title, it is none at all, it comes from an
                address that is not its site's, or with a certificate that is not bound to it.
        """
        title = request.calling_ae_title
        if not _AE_TITLE.fullmatch(title):
            raise _not_recognised("the calling AE title breaks PS3.5 6.2")
        site = self._site(title, connection)
        return Caller(site, title, request.called_ae_title, connection.address)

    def _site(self, title: str, connection: Connection) -> Site:
        try:
            return self.directory.admit(title, connection.address, connection.peer_certificate)
        except UnknownCallingAeTitleError as refused:
            if self.accept_unknown:
                return TRIAL_SITE
            raise _not_recognised(str(refused)) from refused
        except SiteRefusedError as refused:
            raise _not_recognised(str(refused)) from refused


def _not_recognised(message: str) -> AssociationRefusedError:
    return AssociationRefusedError(message, result=1, source=1, reason=3)
