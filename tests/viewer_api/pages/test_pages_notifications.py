"""The page of notifications that consumers have not taken, for who runs the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete

from access_control.audit import AuditQuery
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import Region
from xds_registry.tables_subscriptions import PARKED, PENDING, NotificationRow, SubscriptionRow

DEAD = "http://consumer.example/<b>dead</b>"
MOMENT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def owed(region: Region) -> Iterator[None]:
    database = region.hub.database
    with database.unit_of_work() as work:
        work.session.add(
            SubscriptionRow(
                subscription_id="s1", subscriber_id="m", consumer=DEAD, reference="r", topic="t",
                query_id="q", patient_id="", filters="[]", created_at=MOMENT,
                terminates_at=datetime(2099, 1, 1, tzinfo=UTC),
            )
        )  # fmt: skip
        work.session.flush()
        work.session.add_all(
            NotificationRow(
                subscription_id="s1", submission_set_uuid=f"urn:{state}", consumer=DEAD,
                items="[]", state=state, occurred_at=MOMENT, reason="HTTP 500",
            )
            for state in (PARKED, PENDING)
        )  # fmt: skip
    yield
    with database.unit_of_work() as work:
        work.session.execute(delete(NotificationRow))
        work.session.execute(delete(SubscriptionRow))


def test_an_engineer_sees_what_is_parked_and_sends_it_again(
    signed_in: Callable[..., Browser], region: Region, owed: None
) -> None:
    engineer = signed_in("engineer")
    page = engineer.page("/operations/notifications")
    (row,) = [one.get_text(" ", strip=True) for one in page.select("tbody tr")]
    assert row.startswith(f"{DEAD} 1 1 ")
    assert "HTTP 500" in row
    where = "/operations/notifications"
    answer = engineer.send(where, f"{where}/retry", consumer=DEAD)
    assert answer.status_code == 302
    (left,) = region.hub.registry.broker.waiting()
    assert (left.pending, left.parked) == (2, 0)
    (record,) = region.hub.access.audit.search(AuditQuery(action="retry_notifications")).records
    assert record.detail == "1 owed again"


def test_who_does_not_run_the_hub_sees_nothing_and_sends_nothing(
    signed_in: Callable[..., Browser], region: Region, owed: None
) -> None:
    doctor = signed_in("doctor")
    assert doctor.get("/operations/notifications").status_code == 404
    sent = doctor.send("/find", "/operations/notifications/retry", consumer=DEAD)
    assert sent.status_code in {400, 403, 404}
    (left,) = region.hub.registry.broker.waiting()
    assert left.parked == 1


def test_nothing_owed_is_said_in_both_languages(signed_in: Callable[..., Browser]) -> None:
    page = signed_in("engineer").page("/operations/notifications").get_text()
    assert "Nobody waits for a notification" in page
    chinese = signed_in("engineer", "zh").page("/operations/notifications").get_text()
    assert "没有待送达的通知" in chinese
