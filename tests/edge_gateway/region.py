"""A hub that answers HTTP on a free port, and the edge of one of its sites beside it."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from access_control.model import Role, Site
from edge_gateway.client import HubAddress, HubClient, LineLimits
from edge_gateway.model import Offer
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import (
    HubSettings,
    RouterSettings,
    Settings,
    StudySettings,
    UploadSettings,
    WebSettings,
)
from hub_kernel.tasks import deliver_all_due
from hub_kernel.tls import TlsFiles
from hub_runtime.bootstrap import build_hub
from hub_runtime.http_server import HttpServer
from hub_runtime.hub import Hub
from tests.dicom_router.instances import ct, encoded

SITES = ("sijing", "jiuting")


@dataclass
class Line:
    """What went over the line, and when it is cut: after `cut_after` bytes of datasets."""

    cut_after: int | None = None
    sent: int = 0

    def __call__(self, count: int) -> None:
        if self.cut_after is not None and self.sent + count > self.cut_after:
            raise ConnectionResetError("the line was cut")
        self.sent += count


@dataclass
class Region:
    """The hub, its address, and tokens of edges."""

    hub: Hub
    url: str
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, site: str | None, role: Role = Role.EDGE) -> str:
        name = f"{role}-{site}"
        if name not in self.tokens:
            self.tokens[name] = self.hub.access.tokens.create(
                f"{name}-{len(self.hub.access.tokens.all())}",
                {role},
                None if site is None else {site},
                datetime.now(UTC) + timedelta(days=1),
            )
        return self.tokens[name]

    def client(
        self, site: str = "sijing", *, token: str | None = None, chunk_bytes: int = 65_536
    ) -> HubClient:
        address = HubAddress(self.url, site, self.token(site) if token is None else token)
        return HubClient(address, LineLimits(5.0, 20.0, chunk_bytes))

    def settle(self) -> None:
        """Complete every study, register and render it."""
        self.hub.archive.complete_quiet_studies()
        deliver_all_due(self.hub.database, self.hub.base.outbox)


@contextmanager
def open_region(folder: Path, tls: TlsFiles | None = None, **changes: object) -> Iterator[Region]:
    settings = Settings(
        hub=HubSettings(data_dir=folder / "hub"),
        router=RouterSettings(port=0),
        web=WebSettings(port=0, max_request_bytes=9_000_000),
        study=StudySettings(quiet_period_s=0.001),
        uploads=UploadSettings(site_bytes=64 * 1024 * 1024, site_uploads=4, keep_hours=1),
    ).model_copy(update=changes)
    hub = build_hub(settings)
    hub.open()
    for number, site_id in enumerate(SITES):
        hub.access.sites.add(site(site_id, number))
    server = HttpServer(hub.wsgi(), settings.web, tls=tls)
    try:
        yield Region(hub, server.start())
    finally:
        server.stop()
        hub.close()


def site(site_id: str, number: int) -> Site:
    return Site(
        site_id=site_id,
        name=f"{site_id}社区卫生服务中心",
        name_en=f"{site_id} Health Centre",
        institution=site_id,
        level="township",
        ae_titles=(f"CT_{site_id.upper()}",),
        networks=("127.0.0.0/8",),
        assigning_authority=AssigningAuthority(site_id.upper(), f"1.2.3.{number + 1}"),
        used_charset="GB18030",
    )


def offer_of(instance: Dataset, site_id: str = "sijing") -> tuple[Offer, Callable[[], BinaryIO]]:
    """What an edge offers of a dataset, and its bytes."""
    data = encoded(instance)
    offer = Offer(
        site_id=site_id,
        sop_class_uid=instance.SOPClassUID,
        sop_instance_uid=instance.SOPInstanceUID,
        study_instance_uid=instance.StudyInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        dataset_bytes=len(data),
        dataset_sha256=hashlib.sha256(data).hexdigest(),
        calling_ae_title="CT_ROOM_1",
        called_ae_title="EDGE",
        charset_habit="GBK",
    )
    return offer, lambda: io.BytesIO(data)


def big(number: int = 1, *, kib: int = 1024, **changes: object) -> Dataset:
    """A slice of so many KiB."""
    pixels = bytes(range(256)) * (kib * 4)
    return ct(number, PixelData=pixels, **changes)
