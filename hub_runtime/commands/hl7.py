"""`eirhub hl7` runs the HL7 v2 listener alone: identity feed, PIX and PDQ over MLLP."""

import click

from hub_kernel.settings import Settings
from hub_runtime.commands.serve import run
from hub_runtime.options import with_settings


@click.command()
@with_settings
def hl7(settings: Settings) -> None:
    """Run the HL7 v2 listener only (MLLP: ITI-8, ITI-9, ITI-21)."""
    run(settings, ("hl7",))
