"""The answer to a DIMSE request: its status and, on failure, what the sender can do (PS3.7 C)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A status (PS3.7 annex C), and in at most 64 ASCII characters what to do about it."""

    status: int
    comment: str = ""
