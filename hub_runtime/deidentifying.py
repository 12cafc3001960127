"""De-identification, wired: who looks for text in pixels, its desk, and exports for research."""

from typing import TYPE_CHECKING

from eir_versions.deidentification.desk import BurnedInDesk
from eir_versions.deidentification.gate import TextGate
from eir_versions.deidentification.text_finder import TextFinder
from eir_versions.recipes import PUBLIC, BurnedIn
from hub_runtime.foundation import Foundation

if TYPE_CHECKING:
    from hub_runtime.bootstrap import Hub


def text_gate(base: Foundation) -> TextGate:
    """Return the gate for text in pixels; its child process starts with the first picture."""
    eir = base.settings.eir
    finder = TextFinder(eir.decode_memory_mb, eir.decode_timeout_s, wanted=eir.find_text)
    return TextGate(base.database, finder)


def burned_in_desk(hub: "Hub") -> BurnedInDesk:
    """Return the desk for text in pixels of a hub."""
    scan = hub.eir.recipes.get(PUBLIC).burned_in or BurnedIn()
    return BurnedInDesk(hub.database, hub.texts, scan, hub.eir.draw)
