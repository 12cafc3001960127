"""What a registrar changes and whom a search shows is on record, or does not happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from access_control.audit import AuditQuery, AuditRecord
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk
from viewer_api import found_people

WHY = "cards were shown at the desk"
FULL = "CREATE TRIGGER no_room BEFORE INSERT ON audit_record BEGIN SELECT RAISE(ABORT, 'full'); END"
ROOM = "DROP TRIGGER no_room"
LINKS = "SELECT count(*) FROM link_log"


@pytest.fixture
def pair(desk: Desk, numbers: Iterator[int]) -> tuple[str, str]:
    """Two people nobody would link: (number at sijing, number at jiuting)."""
    number = next(numbers)
    desk.arrives("sijing", f"R{number}", "Situ^Fang=司徒^方", "1951-01-02")
    desk.arrives("jiuting", f"R{number}", "Zhuge^Jin=诸葛^瑾", "1998-09-09")
    return f"R{number}", f"R{number}"


@contextmanager
def without_room(desk: Desk) -> Iterator[None]:
    """No audit record can be written."""
    _run(desk, FULL)
    try:
        yield
    finally:
        _run(desk, ROOM)


def _run(desk: Desk, statement: str) -> None:
    with desk.database.unit_of_work() as work:
        work.session.execute(text(statement))


def _links(desk: Desk) -> int:
    with desk.database.read() as session:
        return int(session.execute(text(LINKS)).scalar_one())


def _records(desk: Desk, action: str, *people: str) -> list[AuditRecord]:
    query = AuditQuery(action=action, resource_ids=frozenset(people))
    return list(desk.hub.access.audit.search(query).records)


def _steps(desk: Desk, registrar: Browser, pair: tuple[str, str]) -> Iterator[Callable[[], object]]:
    """Move a number to another person, take it apart again, merge, take the merge back."""
    one, other = desk.person("sijing", pair[0]), desk.person("jiuting", pair[1])

    def number(page: str, menu: str) -> str:
        options = registrar.page(page).select(f"{menu} option")
        return str(next(o["value"] for o in options if "JIUTING" in o["value"].upper() or True))

    moved = number(f"/identity/people/{other}", "#move-number")
    yield lambda: registrar.send(
        f"/identity/people/{other}", to=f"/identity/people/{other}/move",
        number=moved, other=one, reason=WHY,
    )  # fmt: skip
    yield lambda: registrar.send(
        f"/identity/people/{one}", to=f"/identity/people/{one}/separate", number=moved, reason=WHY
    )
    merge = f"/identity/people/{one}/merge"
    yield lambda: registrar.send(f"{merge}?other={other}", to=merge, other=other, reason=WHY)
    form = registrar.page(f"/identity/people/{one}").select(".log li form")[0]["action"]
    yield lambda: registrar.send(f"/identity/people/{one}", to=form, reason="a mistake")


def test_a_change_of_links_that_cannot_be_put_on_record_does_not_happen(
    desk: Desk, registrar: Browser, pair: tuple[str, str]
) -> None:
    one, other = desk.person("sijing", pair[0]), desk.person("jiuting", pair[1])
    for step in _steps(desk, registrar, pair):
        # The form is fetched before, so that only the change itself wants a record.
        links, records = _links(desk), len(_records(desk, "decide_identity", one, other))
        with _without_room_for_decisions(desk):
            assert step().status_code >= 500  # type: ignore[attr-defined]
        assert _links(desk) == links
        assert len(_records(desk, "decide_identity", one, other)) == records
        assert step().status_code == 303  # type: ignore[attr-defined]
        assert _links(desk) > links
        assert len(_records(desk, "decide_identity", one, other)) > records


@contextmanager
def _without_room_for_decisions(desk: Desk) -> Iterator[None]:
    """Looking can be put on record, deciding cannot."""
    wanted = "NEW.message LIKE '%decide_identity%'"
    _run(desk, FULL.replace("BEGIN SELECT", f"WHEN {wanted} BEGIN SELECT"))
    try:
        yield
    finally:
        _run(desk, ROOM)


def test_a_search_names_whom_it_showed_and_nothing_that_was_asked(
    desk: Desk, registrar: Browser, signed_in: Callable[..., Browser], pair: tuple[str, str]
) -> None:
    one = desk.person("sijing", pair[0])
    registrar.page("/identity/people?q=situfang")
    (looked, *_) = _records(desk, "review_identity")
    assert one in looked.detail
    doctor = signed_in("doctor")
    doctor.page("/patients?q=司徒方")
    (found, *_) = _records(desk, "find_patient")
    assert found.detail == f"1 shown {one}"
    doctor.page("/patients?q=nobody-at-all")
    (nobody, *_) = _records(desk, "find_patient")
    assert nobody.detail == "0 shown"
    for record in (looked, found, nobody):
        assert "司徒" not in record.line()
        assert "situ" not in record.line().lower()


def test_a_search_that_shows_many_names_the_first_and_the_number(
    desk: Desk, signed_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_people, "MOST_NAMED", 2)
    everybody = {
        desk.arrives("sijing", f"M{n}", f"Nangong^{n}", f"197{n}-01-01").global_id for n in range(4)
    }
    signed_in("doctor").page("/patients?q=nangong")
    (found, *_) = _records(desk, "find_patient")
    count, word, *named = found.detail.split()
    assert (count, word) == ("4", "shown")
    assert len(named) == 2
    assert set(named) < everybody


def test_a_search_that_cannot_be_put_on_record_shows_nobody(
    desk: Desk, signed_in: Callable[..., Browser], pair: tuple[str, str]
) -> None:
    one = desk.person("sijing", pair[0])
    doctor = signed_in("doctor")
    assert one in doctor.get("/patients?q=司徒方").get_data(as_text=True)
    with without_room(desk):
        answer = doctor.get("/patients?q=司徒方")
    assert answer.status_code >= 500
    assert one not in answer.get_data(as_text=True)
