"""What the page of a township gateway asks beside the services of every page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flask import Flask

    from edge_gateway.marks import Marks
    from edge_gateway.model import EdgeFigures, StudyDeliveries
    from edge_gateway.own_ledger import OwnLedger

_EXTENSION = "eirhub.edge"


@dataclass(frozen=True)
class EdgeServices:
    """The gateway's own parts.

    `deliveries` says of studies how far their instances are; `unfinished` names the studies of
    which something is owed or was refused, the oldest first, at most so many.
    """

    ledger: OwnLedger
    marks: Marks
    figures: Callable[[], EdgeFigures]
    deliveries: Callable[[Sequence[str]], Mapping[str, StudyDeliveries]]
    unfinished: Callable[[int], Sequence[str]]


def edge_services() -> EdgeServices:
    """Return the gateway's own services of the application that answers the current request."""
    return cast("EdgeServices", current_app.extensions[_EXTENSION])


def install_edge_services(app: Flask, given: EdgeServices) -> None:
    """Make `given` what `edge_services()` returns inside `app`."""
    app.extensions[_EXTENSION] = given
