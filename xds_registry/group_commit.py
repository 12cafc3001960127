"""Let many callers share one transaction, each returning only when its own part is durable.

There is no thread of its own: whoever comes while nobody commits becomes the one who commits, for
itself and for all who came meanwhile. A lone caller therefore pays no hand-over.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_GROUP = 256


class GroupFailedError(Exception):
    """The one who committed for this caller was interrupted; whether it is durable is unknown."""


@dataclass
class _Entry(Generic[Item, Result]):
    item: Item
    outcome: Result | Exception | None = None


class GroupCommit(Generic[Item, Result]):
    """Hands groups of items to `commit`, one group at a time, in order of arrival.

    `commit` returns one result or one exception per item, in order, after making them durable.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result | Exception]]) -> None:
        self._commit = commit
        self._turn = threading.Condition()
        self._waiting: list[_Entry[Item, Result]] = []
        self._committing = False

    def submit(self, item: Item) -> Result:
        """Return the result for `item` once its group is durable, or raise its exception.

        Raises:
            GroupFailedError: see there.
        """
        entry: _Entry[Item, Result] = _Entry(item)
        with self._turn:
            self._waiting.append(entry)
        while entry.outcome is None:
            group = self._next_group(entry)
            if group:
                self._run(group)
        if isinstance(entry.outcome, Exception):
            raise entry.outcome
        return entry.outcome

    def _next_group(self, entry: _Entry[Item, Result]) -> list[_Entry[Item, Result]]:
        """Wait until `entry` is settled (no group) or it is this caller's turn (a group)."""
        with self._turn:
            while self._committing and entry.outcome is None:
                self._turn.wait()
            if entry.outcome is not None:
                return []
            self._committing = True
            group = self._waiting[:LARGEST_GROUP]
            del self._waiting[:LARGEST_GROUP]
            return group

    def _run(self, group: list[_Entry[Item, Result]]) -> None:
        outcomes: Sequence[Result | Exception] = ()
        try:
            outcomes = self._commit([entry.item for entry in group])
        finally:
            with self._turn:
                for position, entry in enumerate(group):
                    known = position < len(outcomes)
                    entry.outcome = outcomes[position] if known else GroupFailedError()
                self._committing = False
                self._turn.notify_all()
