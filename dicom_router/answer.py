"""The answer to a DIMSE request: its status and, on failure, what the sender can do (PS3.7 C)."""

from dataclasses import dataclass

Counts = tuple[int | None, int, int, int]
"""Sub-operations: remaining (None where that is not said), completed, failed, with a warning."""


@dataclass(frozen=True)
class Answer:
    """A status (PS3.7 annex C), and in at most 64 ASCII characters what to do about it.

    `offending_tags` are the elements of the request at fault; `counts` those of a retrieval.
    """

    status: int
    comment: str = ""
    offending_tags: tuple[int, ...] = ()
    counts: Counts | None = None
