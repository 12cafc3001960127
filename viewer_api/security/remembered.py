"""What the database has said about who asks and what for, for as long as it would say so again.

A viewer fetches a study in hundreds of requests, and each of them needs the same answers. What is
kept is forgotten with the next commit of anybody, in whatever process, so that a right that is
taken back is gone from the next request on, as without a memory (`hub_kernel.database_version`);
and after a second, unless it does not depend on the time. Nothing is decided here: whatever is
remembered or asked, `access.require` decides on every request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from flask import current_app, g, request

from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import datetime

    from flask import Flask

T = TypeVar("T")

_EXTENSION = "eirhub.remembered"
_LIFETIME = timedelta(seconds=1)
_MOST = 4096
_SAFE_METHODS = frozenset({"GET", "HEAD"})


def install_memory(app: Flask) -> None:
    """Give `app` its memory."""
    app.extensions[_EXTENSION] = _Memory()


def remembered(key: Hashable, ask: Callable[[], T | None], *, timeless: bool = False) -> T | None:
    """Return what `ask` returns, or has returned for `key` before where that holds still.

    `timeless` says that the answer depends on nothing but the database. A request that may change
    something asks anew: it must see what it has changed itself.
    """
    if request.method not in _SAFE_METHODS:
        return ask()
    memory = cast("_Memory", current_app.extensions[_EXTENSION])
    given = services()
    # One version for the whole request, and older than whatever it asks for.
    version = g.get("database_version")
    if version is None:
        version = g.database_version = given.database.version.current()
    now = given.clock.now()
    found = memory.recall(version, key, now)
    if found is None:
        found = ask()
        if found is not None:
            memory.keep(version, key, _Answer(found, None if timeless else now))
    return cast("T | None", found)


@dataclass(frozen=True)
class _Answer:
    value: object
    asked_at: datetime | None


@dataclass
class _Memory:
    """Answers of one version of the database."""

    _version: Hashable = None
    _answers: OrderedDict[Hashable, _Answer] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def recall(self, version: Hashable, key: Hashable, now: datetime) -> object:
        """Return the answer known for `key`; None where none is, or it is too old."""
        with self._lock:
            if version != self._version:
                self._version = version
                self._answers.clear()
            answer = self._answers.get(key)
        if answer is None:
            return None
        is_young = answer.asked_at is None or timedelta(0) <= now - answer.asked_at < _LIFETIME
        return answer.value if is_young else None

    def keep(self, version: Hashable, key: Hashable, answer: _Answer) -> None:
        """Keep an answer that was asked for at that version or later."""
        with self._lock:
            if version != self._version:
                return  # something was committed meanwhile: it may be older than that
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > _MOST:
                self._answers.popitem(last=False)
