"""The ledger by site at the hub: what edges report, what arrives, what is late and why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from sqlalchemy import delete, update

from access_control.model import Role
from edge_gateway.errors import NotAdmittedError
from edge_gateway.model import DifferenceKind, EdgeFigures, HeldInstance, Offer
from image_archive.tables import INSTANCE
from tests.dicom_router.instances import ct
from tests.edge_gateway.region import Line, Region, offer_of

STUDY = "1.2.826.0.1.3680043.10.1603.1"
LONG_AGO = timedelta(hours=2)


def held(offer: Offer, ago: timedelta = timedelta()) -> HeldInstance:
    return HeldInstance(
        offer.sop_instance_uid,
        offer.study_instance_uid,
        offer.dataset_sha256,
        offer.dataset_bytes,
        datetime.now(UTC) - ago,
    )


def api(region: Region, path: str, role: Role = Role.ENGINEER, site: str | None = None) -> Any:
    token = region.token(site, role)
    answer = requests.get(
        f"{region.url}/api/v1/ledger{path}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=20,
    )
    return answer.json() if answer.ok else answer.status_code


def test_what_an_edge_reports_is_awaited_until_it_arrives(region: Region) -> None:
    first, opened = offer_of(ct(1))
    second, second_bytes = offer_of(ct(2))
    client = region.client()
    client.report(EdgeFigures(waiting=2, version="test"), [held(first), held(second)])
    client.upload(first, opened, Line())
    region.hub.edges.inventory.sweep()
    (site,) = [one for one in api(region, "")["sites"] if one["site_id"] == "sijing"]
    assert (site["awaited"], site["gateway"]["waiting"], site["silent"]) == (1, 2, False)
    (study,) = api(region, "/sijing")["studies"]
    assert (study["received"], study["durable"], study["committed"]) == (2, 1, 1)
    client.upload(second, second_bytes, Line())
    region.hub.edges.inventory.sweep()
    region.settle()
    (study,) = api(region, "/sijing")["studies"]
    assert (study["received"], study["durable"], study["committed"]) == (2, 2, 2)
    assert (study["registered"], study["rendered"], study["late"]) == (True, True, None)


def test_a_study_of_which_nothing_has_arrived_is_in_the_ledger(region: Region) -> None:
    offer, _ = offer_of(ct())
    region.client().report(EdgeFigures(), [held(offer)])
    (study,) = api(region, "/sijing")["studies"]
    assert (study["received"], study["durable"], study["modalities"]) == (1, 0, [])
    assert api(region, "/jiuting")["studies"] == []


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (EdgeFigures(waiting=1), "queued"),
        (EdgeFigures(parked=1), "parked"),
        (EdgeFigures(waiting=1, reason="hub_not_ready"), "hub_not_ready"),
        (EdgeFigures(waiting=1, reason="spool_full"), "edge_full"),
    ],
)
def test_what_is_late_says_why(region: Region, figures: EdgeFigures, reason: str) -> None:
    offer, _ = offer_of(ct())
    region.client().report(figures, [held(offer, LONG_AGO)])
    (study,) = api(region, "/sijing?late=true")["studies"]
    assert study["late"] == reason


def test_a_silent_edge_is_the_reason_before_every_other(region: Region) -> None:
    offer, _ = offer_of(ct())
    region.client().report(EdgeFigures(waiting=1), [held(offer, LONG_AGO)])
    with region.hub.database.unit_of_work() as work:
        from edge_gateway.tables import EdgeContactRow

        work.session.execute(
            update(EdgeContactRow).values(last_contact_at=datetime.now(UTC) - LONG_AGO)
        )
    (study,) = api(region, "/sijing")["studies"]
    assert study["late"] == "edge_silent"
    (site,) = [one for one in api(region, "")["sites"] if one["site_id"] == "sijing"]
    assert (site["silent"], site["late"]) == (True, 1)
    assert site["lag_s"] >= 7000


def test_who_is_not_responsible_for_a_site_sees_nothing_of_it(region: Region) -> None:
    offer, opened = offer_of(ct())
    region.client().upload(offer, opened, Line())
    path = f"/sijing/instances/{offer.sop_instance_uid}"
    assert api(region, path, Role.TECHNICIAN, "sijing")["hub"]["condition"] == "intact"
    assert api(region, path, Role.TECHNICIAN, "jiuting") == 404
    assert api(region, "/sijing", Role.TECHNICIAN, "jiuting") == 404
    assert api(region, "/sijing", Role.CLINICIAN, "sijing") == 404
    assert [one["site_id"] for one in api(region, "", Role.MANAGER, "jiuting")["sites"]] == [
        "jiuting"
    ]
    # An instance of one site does not show in the ledger of another.
    assert api(region, f"/jiuting/instances/{offer.sop_instance_uid}") == 404


def test_the_ledger_of_one_instance_tells_every_stage(region: Region) -> None:
    offer, opened = offer_of(ct())
    client = region.client()
    client.report(EdgeFigures(), [held(offer)])
    client.upload(offer, opened, Line())
    region.hub.edges.inventory.sweep()
    region.settle()
    told = api(region, f"/sijing/instances/{offer.sop_instance_uid}")
    assert told["edge"]["dataset_sha256"] == told["hub"]["dataset_sha256"] == offer.dataset_sha256
    assert told["edge"]["arrived_at"]
    assert told["study"]["registered"] is told["study"]["rendered"] is True
    assert "Wang" not in str(told)


def test_an_edge_asks_how_far_its_studies_are_and_is_told_only_what_changed(
    region: Region,
) -> None:
    offer, opened = offer_of(ct())
    client = region.client()
    client.upload(offer, opened, Line())
    first = client.studies([STUDY])
    assert first is not None
    assert (first.studies[0].complete, first.studies[0].instances) == (False, 1)
    assert client.studies([STUDY], first.etag) is None
    region.settle()
    second = client.studies([STUDY], first.etag)
    assert second is not None
    assert second.studies[0].rendered
    elsewhere = region.client("jiuting").studies([STUDY])
    assert elsewhere is not None
    assert elsewhere.studies == ()


def test_a_report_for_another_site_is_refused(region: Region) -> None:
    client = region.client("sijing", token=region.token("jiuting"))
    with pytest.raises(NotAdmittedError):
        client.report(EdgeFigures(), [])
    assert region.hub.edges.contacts.all() == {}


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{",
        '{"figures": 1}',
        '{"figures": {"waiting": -1}}',
        '{"figures": {"reason": "a\\nb"}}',
        '{"figures": {}, "instances": [{"sop_instance_uid": "../x"}]}',
        '{"figures": {}, "instances": [7]}',
        "[" * 100_000,
    ],
)
def test_a_crooked_report_is_refused_and_changes_nothing(region: Region, body: str) -> None:
    answer = requests.post(
        f"{region.url}/edge/sijing/report",
        body,
        headers={"Authorization": f"Bearer {region.token('sijing')}"},
        timeout=20,
    )
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert region.hub.edges.contacts.all() == {}


def test_comparing_names_every_kind_of_difference(region: Region) -> None:
    client = region.client()
    same, same_bytes = offer_of(ct(1))
    other, other_bytes = offer_of(ct(2))
    missing, _ = offer_of(ct(3))
    damaged, damaged_bytes = offer_of(ct(4))
    for offer, opened in ((same, same_bytes), (other, other_bytes), (damaged, damaged_bytes)):
        client.upload(offer, opened, Line())
    changed, _ = offer_of(ct(2, StudyDescription="OTHER"))
    ledger = [held(same), held(changed), held(missing), held(damaged)]
    with region.hub.database.unit_of_work() as work:
        work.session.execute(
            update(INSTANCE)
            .where(INSTANCE.c.sop_instance_uid == damaged.sop_instance_uid)
            .values(condition="damaged")
        )
    region.hub.archive.complete_quiet_studies()
    found = client.compare(ledger)
    assert {one.kind for one in found} == set(DifferenceKind)
    by_kind = {one.kind: one.sop_instance_uid for one in found}
    assert by_kind[DifferenceKind.MISSING_AT_HUB] == missing.sop_instance_uid
    assert by_kind[DifferenceKind.OTHER_BYTES] == changed.sop_instance_uid
    assert by_kind[DifferenceKind.DAMAGED_AT_HUB] == damaged.sop_instance_uid


def test_an_instance_that_the_hub_has_lost_is_found_and_awaited_again(region: Region) -> None:
    client = region.client()
    offer, opened = offer_of(ct())
    client.upload(offer, opened, Line())
    client.report(EdgeFigures(), [held(offer)])
    region.settle()
    assert region.hub.edges.inventory.compare_all("sijing", lambda _d, _t: None).differences == ()
    with region.hub.database.unit_of_work() as work:
        work.session.execute(delete(INSTANCE))
    compared = region.hub.edges.inventory.compare_all("sijing", lambda _d, _t: None)
    assert [one.kind for one in compared.differences] == [DifferenceKind.MISSING_AT_HUB]
    assert region.hub.edges.inventory.sweep() == 1
    assert client.upload(offer, opened, Line()).outcome == "stored"
    assert region.hub.edges.inventory.sweep() == 0


def test_many_instances_are_compared_in_pages(region: Region) -> None:
    now = datetime.now(UTC)
    many = [
        HeldInstance(f"1.2.3.{n}", f"1.2.{n // 100}", f"{n:064x}", 10, now) for n in range(5_000)
    ]
    for start in range(0, len(many), 1000):
        region.client().report(EdgeFigures(), many[start : start + 1000])
    seen: list[tuple[int, int]] = []
    compared = region.hub.edges.inventory.compare_all(
        "sijing", lambda done, total: seen.append((done, total))
    )
    assert compared.counts()["missing_at_hub"] == 5_000
    assert (compared.instances, compared.studies) == (5_000, 50)
    assert seen[-1] == (5_000, 5_000)
    assert len(seen) == 5
