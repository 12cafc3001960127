"""Who may come in through Orthanc: the same sites from the same addresses as everywhere."""

from access_control.errors import SiteRefusedError, UnknownCallingAeTitleError
from access_control.model import Site
from access_control.sites import SiteDirectory
from dicom_router.admission import TRIAL_SITE
from dicom_router.model import Caller
from hub_kernel.errors import NotFoundError
from hub_kernel.settings import Settings
from image_archive.backends.orthanc_client import Sender
from image_archive.model import InstanceOrigin, QuarantineRecord


class OrthancDoor:
    """Tells whose an instance is that came by way of Orthanc.

    What comes by Orthanc's own page has no AE title: it is of `orthanc.upload_site`.
    """

    def __init__(self, sites: SiteDirectory, settings: Settings) -> None:
        self._sites = sites
        self._settings = settings

    def admit(self, sender: Sender) -> InstanceOrigin | None:
        """Return whose an instance is; None where no site is known by it."""
        site = self._site(sender)
        if site is None:
            return None
        titles = (sender.calling_ae_title, sender.called_ae_title)
        return Caller(site, *titles, sender.address).origin

    def readmit(self, parked: QuarantineRecord, told: InstanceOrigin) -> InstanceOrigin | None:
        """Return whose a parked instance is by now; its detail ends with where it came from."""
        address = parked.detail.rpartition(" ")[2]
        return self.admit(Sender(told.calling_ae_title, told.called_ae_title, address))

    def _site(self, sender: Sender) -> Site | None:
        try:
            if not sender.calling_ae_title:
                return self._sites.get(self._settings.orthanc.upload_site)
            return self._sites.admit(sender.calling_ae_title, sender.address)
        except (UnknownCallingAeTitleError, NotFoundError):
            return TRIAL_SITE if self._settings.router.accept_unknown_ae else None
        except SiteRefusedError:
            return None
