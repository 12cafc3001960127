"""Settings of destinations: what forwarding needs to know of one beside its address."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from hub_kernel.settings_types import Section

Hours = Annotated[
    str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?$")
]
_LOOPBACK = re.compile(r"127\..*|::1|localhost")


class RateSettings(Section):
    """A cap on how fast a destination is sent to."""

    kb_s: Annotated[int, Field(ge=1)]
    """Kilobytes (1,000 bytes) a second, all associations together."""
    hours: Hours = ""
    """Hours in which it holds, as 08:00-18:00 in `hub.time_zone`; by default always."""
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    """Days on which it holds; by default every day."""


class ForwardingOptions(Section):
    """A destination's name, and how forwarding treats it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """The hub's own word for it."""
    associations: Annotated[int, Field(ge=1, le=8)] = 2
    """Associations at once; with two or more one is kept free for emergencies."""
    rates: tuple[RateSettings, ...] = ()
    """Rate caps: tables of `kb_s`, `hours`, `weekdays`; the first whose hours are now holds."""


class WebDestinationSettings(ForwardingOptions):
    """One STOW-RS service that instances are forwarded to (PS3.18 10.5)."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    """The address of its DICOMweb services; `/studies` is added."""
    token_file: Path | None = None
    """File whose first line is the bearer token to show there."""
    password_file: Path | None = None
    """File whose first line is `user:password`, where it wants these instead."""
    tls_ca: Path | None = None
    """PEM file of the authority that signed its certificate, instead of the system's."""
    tls_certificate: Path | None = None
    """PEM client certificate the hub shows there."""
    tls_key: Path | None = None
    """PEM key of that certificate."""

    @model_validator(mode="after")
    def _keeps_secrets(self) -> Self:
        """Refuse to send a secret where everybody on the way can read it."""
        parts = urlsplit(self.url)
        secret = self.token_file or self.password_file
        if secret and parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or ""):
            raise ValueError("a token or password goes over https only")
        return self
