"""Hubs of tests look for no text in pictures: it costs a process and seconds for each hub.

What is about the recogniser turns it on by `eir.find_text`.
"""

import os

from hub_kernel.settings import EirSettings, Settings


def by_default() -> None:
    """Turn it off for hubs in this process and in those that tests start."""
    os.environ.setdefault("EIRHUB_EIR__FIND_TEXT", "false")
    EirSettings.model_fields["find_text"].default = False
    EirSettings.model_rebuild(force=True)
    Settings.model_fields["eir"].default = EirSettings()
    Settings.model_rebuild(force=True)
