"""Settings of retention: how long studies are kept; nothing is ever deleted without a person."""

from typing import Annotated

from pydantic import Field

from hub_kernel.settings_types import Section

Years = Annotated[int, Field(ge=0, le=200)]


class RetentionRuleSettings(Section):
    """How long studies of some modalities are kept."""

    modalities: Annotated[tuple[str, ...], Field(min_length=1)]
    """Modalities, as CT and MR."""
    years: Years
    """Years; 0 is for ever."""


class RetentionSettings(Section):
    """After how many years `eirhub archive retention` offers studies for deletion."""

    years: Years = 0
    """Years that a study is kept where no rule says otherwise; 0 is for ever."""
    rules: tuple[RetentionRuleSettings, ...] = ()
    """Tables of `modalities` and `years`; of a study's modalities the longest term holds."""
    from_last_visit: bool = True
    """Count from the person's latest study, as the law does; false: from each study's own."""
    quiet_days: Annotated[int, Field(ge=1)] = 31
    """With no newer study than this many days ago, the hub's clock is doubted: nothing goes."""
