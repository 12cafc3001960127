"""What a row of the table of bad inputs is."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.hostile.arena import Trial


@dataclass(frozen=True)
class Case:
    """One variant of one row. `attack` returns in a few words what the hub did.

    `expected` is the row's own promise; what must hold after every row is the oracle's.
    """

    row: int
    variant: str
    expected: str
    attack: Callable[[Trial], str]

    @property
    def name(self) -> str:
        return f"{self.row:02}-{self.variant}".replace(" ", "_")
