"""Find rows by any of several pairs, as identifiers with their issuers, through an index.

SQLite looks up a list of values in an index, but reads the whole table for a list of pairs. So what
comes first is asked for beside the pairs: the index finds those rows, the pairs choose among them.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, tuple_

Pair = tuple[str, str]


def is_any_of(first: Any, second: Any, pairs: Sequence[Pair]) -> ColumnElement[bool]:
    """Return the condition that two columns hold one of `pairs`; without any, nothing matches."""
    return and_(first.in_({one for one, _ in pairs}), tuple_(first, second).in_(pairs))


def is_any_bound(first: Any, second: Any, name: str) -> ColumnElement[bool]:
    """Return the same for a statement that is made once; `bound` gives what it is run with."""
    return and_(
        first.in_(bindparam(_first_of(name), expanding=True)),
        tuple_(first, second).in_(bindparam(name, expanding=True)),
    )


def bound(name: str, pairs: Sequence[Pair]) -> dict[str, list[Any]]:
    """Return the parameters of `is_any_bound` with that name."""
    return {_first_of(name): sorted({one for one, _ in pairs}), name: list(pairs)}


def _first_of(name: str) -> str:
    return f"{name}_first"
