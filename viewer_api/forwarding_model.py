"""What the pages and the API see of forwarding: its destinations, its rows, its desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Destination(Protocol):
    """One destination; see `dicom_router.forwarding.desk.DestinationView`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def configured(self) -> bool: ...  # noqa: D102
    @property
    def breaker(self) -> str: ...  # noqa: D102
    @property
    def failures(self) -> int: ...  # noqa: D102
    @property
    def next_try_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def held_by(self) -> str: ...  # noqa: D102
    @property
    def last_error(self) -> str: ...  # noqa: D102
    @property
    def last_error_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def last_success_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def sent_count(self) -> int: ...  # noqa: D102
    @property
    def sent_bytes(self) -> int: ...  # noqa: D102
    @property
    def bytes_per_s(self) -> int: ...  # noqa: D102
    @property
    def counts(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def oldest_at(self) -> datetime | None: ...  # noqa: D102


class Row(Protocol):
    """One instance for one destination; see `dicom_router.forwarding.model.Item`."""

    @property
    def item_id(self) -> int: ...  # noqa: D102
    @property
    def destination(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def last_status(self) -> str: ...  # noqa: D102
    @property
    def last_comment(self) -> str: ...  # noqa: D102
    @property
    def sop_instance_uid(self) -> str: ...  # noqa: D102


class ForwardingDesk(Protocol):
    """What the router offers; see `dicom_router.forwarding.desk`."""

    def destinations(self) -> Sequence[Destination]: ...  # noqa: D102
    def destination(self, name: str, /) -> Destination: ...  # noqa: D102
    def items(  # noqa: D102
        self, destination: str, state: str, *, limit: int, after: int | None = None
    ) -> Sequence[Row]: ...
    def item(self, item_id: int, /) -> Row: ...  # noqa: D102
    def retry(self, item_id: int, /) -> None: ...  # noqa: D102
    def park(self, item_id: int, by: str, reason: str, /) -> None: ...  # noqa: D102
    def retry_now(self, destination: str, /) -> int: ...  # noqa: D102
    def release_parked(self, destination: str, /) -> int: ...  # noqa: D102
    def hold(self, destination: str, by: str, /) -> None: ...  # noqa: D102
    def resume(self, destination: str, /) -> None: ...  # noqa: D102
