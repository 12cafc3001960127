"""Settings of the quotas of sites; what a site's quotas are is part of the site."""

from typing import Annotated

from pydantic import Field

from hub_kernel.settings_types import Section


class QuotaSettings(Section):
    """When the hub warns that a site nears one of its quotas (`eirhub site edit`)."""

    warn_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.8, 0.9, 0.95)
    """Shares of a quota; each is told once a day, and that it is used up in any case."""
