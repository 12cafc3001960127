"""Where readers reach the hub, as its documents and pages name it."""

from dataclasses import dataclass

from hub_kernel.settings import Settings


@dataclass
class PublicAddress:
    """Where readers reach the hub; the port is known only once it is open if any may be taken."""

    url: str
    dicom_port: int
    viewer_port: int = 0

    def dicomweb(self) -> str:
        """Return the root of the DICOMweb services, as manifests name it."""
        return f"{self.url}/dicom-web"


def public_address(settings: Settings) -> PublicAddress:
    """Return the address that the settings name; a port that is 0 there is known later."""
    web = settings.web
    url = (web.public_url or f"http://{web.bind}:{web.port}").rstrip("/")
    return PublicAddress(url, settings.router.port)
