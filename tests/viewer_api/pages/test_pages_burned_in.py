"""The desk for text in pictures: a registrar sees, masks, clears or keeps; all is on record."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access_control.audit import AuditQuery
from access_control.model import Role
from hub_kernel.tasks import deliver_all_due
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.region import PASSWORD, Examination, Region, archive, settle

HELD = "2.25.5800001"
WHY = "only the scale of the machine"


@pytest.fixture(scope="module")
def case_page(region: Region) -> str:
    """An ultrasound that says nothing about text: without the recogniser it waits."""
    accounts = region.hub.access.accounts
    accounts.add_user("clerk", PASSWORD, {Role.REGISTRAR}, frozenset({"sijing"}), "钱登记")
    accounts.add_user("clerk2", PASSWORD, {Role.REGISTRAR}, frozenset({"central"}), "孙登记")
    archive(
        region.hub,
        Examination(
            "sijing",
            "D5800",
            "Shen^Yi=沈^一",
            "F",
            "19900101",
            "20261010",
            "examples_ybr_color.dcm",
            HELD,
        ),
    )
    settle(region.hub, [HELD])
    # A cine is tried at neighbouring frames too; one decision is enough to show one of them.
    case, *_ = [
        one
        for one in region.hub.eir.burned_in.cases("held", None)
        if one.study_instance_uid == HELD
    ]
    return f"/burned-in/{case.case_id}"


def test_what_is_held_is_listed_with_its_reason(
    signed_in: Callable[..., Browser], case_page: str
) -> None:
    page = signed_in("clerk").page("/burned-in")
    assert page.select_one(f'a[href="{case_page}"]')
    assert "usually carry text" in page.get_text()
    assert "not installed" in page.get_text()
    assert "通常带有文字" in signed_in("clerk", "zh").page("/burned-in").get_text()


@pytest.mark.parametrize("username", ["clerk2", "doctor", "boss", "engineer"])
def test_nobody_else_sees_the_case_or_its_picture(
    signed_in: Callable[..., Browser], case_page: str, username: str
) -> None:
    browser = signed_in(username)
    assert browser.get(case_page).status_code == 404
    assert browser.get(f"{case_page}/picture").status_code == 404


def test_a_decision_without_a_reason_or_of_no_known_kind_is_refused(
    signed_in: Callable[..., Browser], case_page: str, region: Region
) -> None:
    clerk = signed_in("clerk")
    for fields in (
        {"verdict": "clear", "reason": " "},
        {"verdict": "burn", "reason": WHY},
        {"verdict": "mask", "reason": WHY},
        {"verdict": "mask", "reason": WHY, "more": "1,2,3"},
    ):
        assert clerk.send(case_page, **fields).status_code == 422
    assert clerk.post(case_page, verdict="clear", reason=WHY).status_code == 403
    version = region.hub.eir.version(HELD, "public")
    assert version is not None
    assert not version.key_pictures


def test_a_masked_picture_is_shown_to_the_public_and_the_decision_is_on_record(
    signed_in: Callable[..., Browser], case_page: str, region: Region
) -> None:
    clerk = signed_in("clerk")
    plain = clerk.get(f"{case_page}/picture")
    assert plain.content_type == "image/png"
    answer = clerk.send(case_page, verdict="mask", reason=WHY, more="0,0,60,20")
    assert answer.status_code == 303
    deliver_all_due(region.database, region.hub.base.outbox)
    version = region.hub.eir.version(HELD, "public")
    assert version is not None
    assert version.key_pictures
    masked = clerk.get(f"{case_page}/picture?masked=1")
    assert masked.data != plain.data
    records = region.hub.access.audit.search(AuditQuery(action="clear_pictures")).records
    assert any(WHY in one.detail and one.resource_id == HELD for one in records)
    assert clerk.page("/burned-in?state=masked").select_one(f'a[href="{case_page}"]')
