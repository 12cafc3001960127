"""What de-identification refuses."""

from eir_versions.errors import EirError


class DeidentificationError(EirError):
    """An export cannot be made as asked; the message says why and names no patient."""


class LeftOutError(EirError):
    """One instance does not leave the hub de-identified; `reason` is a word that may be shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"left out: {reason}")
        self.reason = reason
