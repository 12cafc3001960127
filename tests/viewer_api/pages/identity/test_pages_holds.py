"""The registrar holds a person's record, or one examination of it, and lifts the hold again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from access_control.audit import AuditQuery

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.viewer_api.pages.conftest import Browser
    from tests.viewer_api.pages.identity.desk import Desk


def test_a_registrar_places_a_hold_and_lifts_it_on_record(
    registrar: Browser, signed_in: Callable[..., Browser], desk: Desk
) -> None:
    person = desk.region.person
    url = f"/identity/people/{person}/holds"
    page = registrar.page(url)
    studies = [option["value"] for option in page.select("select[name=study] option")]
    assert studies[0] == ""
    assert len(studies) > 1
    assert registrar.send(url, study=studies[1], reason=" ").status_code == 400
    assert registrar.send(url, study="1.2.3.4", reason="court").status_code == 404
    assert desk.hub.access.holds.of_person(person) == ()

    assert registrar.send(url, study=studies[1], reason="court file 7").status_code == 303
    (hold,) = desk.hub.access.holds.of_person(person)
    assert (hold.study_instance_uid, hold.reason) == (studies[1], "court file 7")
    assert "court file 7" in registrar.page("/holds").get_text()
    chinese = signed_in("registrar", "zh").page(url).get_text()
    assert "保全中" in chinese
    study = desk.hub.index.study(studies[1])
    assert study is not None
    assert desk.hub.access.holds.on(study.patient, studies[1])

    lifted = registrar.send(url, hold=str(hold.hold_id), reason="the case is closed")
    assert lifted.status_code == 303
    assert "Nothing is held" in registrar.page("/holds").get_text()
    assert "the case is closed" in registrar.page(url).get_text()
    assert not desk.hub.access.holds.on(study.patient, studies[1])
    assert registrar.send(url, hold=str(hold.hold_id), reason="again").status_code == 404
    asked = AuditQuery(resource_ids=frozenset({person}), action="hold_record")
    details = [one.detail for one in desk.hub.access.audit.search(asked).records]
    for word in ("placed", "lifted"):
        assert any(f"hold {hold.hold_id} {word}" in detail for detail in details)


@pytest.mark.parametrize("username", ["doctor", "engineer"])
def test_nobody_else_sees_or_places_holds(
    signed_in: Callable[..., Browser], desk: Desk, username: str
) -> None:
    browser, person = signed_in(username), desk.region.person
    assert browser.get("/holds").status_code == 404
    assert browser.get(f"/identity/people/{person}/holds").status_code == 404
