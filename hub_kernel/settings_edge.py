"""Settings of township gateways: what an edge needs, and what its hub keeps of it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hub_kernel.settings_destinations import RateSettings
from hub_kernel.settings_types import Seconds, Section


class UploadSettings(Section):
    """What the hub keeps of uploads that edges have not finished."""

    site_bytes: Annotated[int, Field(ge=1_048_576)] = 34_359_738_368
    """Most bytes one site may have announced in unfinished uploads."""
    site_uploads: Annotated[int, Field(ge=1)] = 256
    """Most unfinished uploads of one site."""
    keep_hours: Annotated[float, Field(gt=0)] = 336.0
    """Hours after which an upload that nobody went on with is removed; it can be begun again."""


class EdgeSettings(Section):
    """The township gateway (`eirhub edge`)."""

    site_id: str = ""
    """The site this edge stands at; its record is here and at the hub alike."""
    hub_url: str = ""
    """The hub's address, as https://hub.example:8443; plain http works on this machine only."""
    token_file: Path | None = None
    """File with the machine token the hub made for this site (role `edge`)."""
    certificate: Path | None = None
    """PEM client certificate the edge shows, instead of a token or beside it."""
    key: Path | None = None
    """PEM key of that certificate."""
    ca_file: Path | None = None
    """PEM file of the authority that signed the hub's certificate; else the system's."""
    chunk_bytes: Annotated[int, Field(ge=65_536, le=8_388_608)] = 4_194_304
    """Largest part of an upload in one request; slow lines get smaller ones by themselves."""
    rates: tuple[RateSettings, ...] = ()
    """Rate caps: tables of `kb_s`, `hours`, `weekdays`; the first whose hours are now holds."""
    report_s: Seconds = 10.0
    """Seconds between two contacts with the hub."""
    keep_days: Annotated[float, Field(ge=0)] = 7.0
    """Days an instance stays in the spool after the hub's receipt, whatever happens."""
    spool_free_bytes: Annotated[int, Field(ge=0)] = 21_474_836_480
    """With less free space, what has its receipt and its days leaves the spool, oldest first."""
