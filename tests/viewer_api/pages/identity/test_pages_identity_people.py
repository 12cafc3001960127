"""A person's history: as of a moment, merge, take apart, move, take back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk

WHY = "cards were shown at the desk"


@pytest.fixture
def pair(desk: Desk, numbers: Iterator[int]) -> tuple[str, str]:
    """Two people nobody would link: (number at sijing, number at jiuting)."""
    number = next(numbers)
    desk.arrives("sijing", f"A{number}", "Situ^Ming=司徒^明", "1950-01-02")
    desk.arrives("jiuting", f"B{number}", "Zhuge^Liang=诸葛^亮", "1999-09-09")
    return f"A{number}", f"B{number}"


def people(desk: Desk, pair: tuple[str, str]) -> tuple[str, str]:
    return desk.person("sijing", pair[0]), desk.person("jiuting", pair[1])


def merge(browser: Browser, survivor: str, subsumed: str) -> str:
    page = f"/identity/people/{survivor}/merge"
    answer = browser.send(f"{page}?other={subsumed}", to=page, other=subsumed, reason=WHY)
    assert answer.status_code == 303
    return answer.headers["Location"]


def test_a_person_is_found_by_name_and_by_number(
    registrar: Browser, pair: tuple[str, str], desk: Desk
) -> None:
    person = people(desk, pair)[0]
    for question in ("司徒明", "situming", pair[0], person):
        page = registrar.page(f"/identity/people?q={question}")
        assert page.select(f'a[href="/identity/people/{person}"]'), question
    assert registrar.page("/identity/people?q=nobody-at-all").select(".empty")


def test_two_people_are_compared_before_they_are_merged_and_the_merge_is_taken_back(
    desk: Desk, registrar: Browser, pair: tuple[str, str]
) -> None:
    one, other = people(desk, pair)
    compared = registrar.page(f"/identity/people/{one}/merge?other={other}")
    assert [head.get_text() for head in compared.select(".versus thead b")] == ["司徒明", "诸葛亮"]
    assert people(desk, pair) == (one, other), "looking must change nothing"
    history = registrar.page(merge(registrar, one, other))
    assert people(desk, pair) == (one, one)
    assert WHY in history.select_one(".log").get_text()
    form = history.select_one(".log li form")
    answer = registrar.send(f"/identity/people/{one}", to=form["action"], reason="a mistake")
    assert answer.status_code == 303
    assert people(desk, pair) == (one, other)
    log = registrar.page(f"/identity/people/{one}").select_one(".log").get_text(" ", strip=True)
    assert "taken back" in log


def test_a_global_id_that_was_merged_away_leads_to_where_it_is_answered_now(
    desk: Desk, registrar: Browser, pair: tuple[str, str]
) -> None:
    one, other = people(desk, pair)
    merge(registrar, one, other)
    answer = registrar.get(f"/identity/people/{other}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/identity/people/{one}")


def test_the_history_shows_how_a_person_stood_at_an_earlier_moment(
    desk: Desk, registrar: Browser, pair: tuple[str, str]
) -> None:
    one, other = people(desk, pair)
    before = desk.hub.base.clock.now()
    merge(registrar, one, other)

    def numbers(moment: str) -> str:
        page = registrar.page(f"/identity/people/{one}?as_of={moment}")
        assert not page.select("form[method=post][action*=people]"), "the past cannot be changed"
        return str(page.select_one("[aria-labelledby=numbers]").get_text())

    assert pair[1] in registrar.page(f"/identity/people/{one}").get_text()
    then = before.astimezone(ZoneInfo("Asia/Shanghai")).isoformat().replace("+", "%2B")
    assert pair[0] in numbers(then)
    assert pair[1] not in numbers(then)
    long_ago = (
        (before - timedelta(days=9))
        .astimezone(ZoneInfo("Asia/Shanghai"))
        .strftime("%Y-%m-%dT%H:%M")
    )
    assert "no number led to this person" in numbers(long_ago)


def test_a_number_taken_apart_is_a_person_of_its_own(
    desk: Desk, registrar: Browser, pair: tuple[str, str]
) -> None:
    one, other = people(desk, pair)
    merge(registrar, one, other)
    page = f"/identity/people/{one}"
    select = registrar.page(page).select_one("#apart-number")
    value = next(o["value"] for o in select.select("option") if pair[1] in o["value"])
    registrar.send(page, to=f"{page}/separate", number=value, reason=WHY)
    assert people(desk, pair) == (one, other)


def test_a_number_is_moved_to_another_person(
    desk: Desk, registrar: Browser, pair: tuple[str, str]
) -> None:
    one, other = people(desk, pair)
    page = f"/identity/people/{other}"
    value = registrar.page(page).select_one("#move-number option")["value"]
    registrar.send(page, to=f"{page}/move", number=value, other=one, reason=WHY)
    assert people(desk, pair) == (one, one)


@pytest.mark.parametrize(
    ("to", "fields", "said"),
    [
        ("merge", {"other": "self", "reason": WHY}, "say why"),
        ("merge", {"other": "other", "reason": " "}, "say why"),
        ("merge", {"other": "other", "reason": "x" * 401}, "say why"),
        ("move", {"other": "P000", "number": "", "reason": WHY}, "no person or number"),
        ("move", {"other": "other", "number": "somebody else's", "reason": WHY}, "no person or"),
        ("separate", {"number": "somebody else's", "reason": WHY}, "no person or number"),
        ("decisions/999999/take-back", {"reason": WHY}, "no person or number"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_says_why(
    desk: Desk,
    registrar: Browser,
    pair: tuple[str, str],
    to: str,
    fields: dict[str, str],
    said: str,
) -> None:
    before = people(desk, pair)
    named = {"self": before[0], "other": before[1]}
    fields = {name: named.get(value, value) for name, value in fields.items()}
    page = f"/identity/people/{before[0]}"
    answer = registrar.send(page, to=f"{page}/{to}", **fields)
    assert answer.status_code == 303
    assert said in registrar.page(answer.headers["Location"]).select_one("[role=alert]").get_text()
    assert people(desk, pair) == before


def test_another_persons_decision_cannot_be_taken_back_from_here(
    desk: Desk, registrar: Browser, pair: tuple[str, str], numbers: Iterator[int]
) -> None:
    one, other = people(desk, pair)
    merge(registrar, one, other)
    decision = desk.patients.decisions(one)[-1].decision_id
    number = next(numbers)
    stranger = desk.arrives("sijing", f"X{number}", "Murong^Bo=慕容^博", "1940-04-04").global_id
    page = f"/identity/people/{stranger}"
    registrar.send(page, to=f"{page}/decisions/{decision}/take-back", reason=WHY)
    assert people(desk, pair) == (one, one)


def test_a_site_registrar_merges_nobody_of_other_sites(
    desk: Desk, signed_in: Callable[..., Browser], pair: tuple[str, str], numbers: Iterator[int]
) -> None:
    number = next(numbers)
    own = desk.arrives("central", f"C{number}", "Linghu^Chong=令狐^冲", "1988-08-08").global_id
    local, (one, _) = signed_in("local"), people(desk, pair)
    assert local.get(f"/identity/people/{own}").status_code == 200
    assert local.get(f"/identity/people/{own}/merge?other={one}").status_code == 404
    answer = local.send(
        f"/identity/people/{own}", to=f"/identity/people/{own}/merge", other=one, reason=WHY
    )
    assert answer.status_code == 404
    assert people(desk, pair)[0] == one


def test_a_link_made_by_likeness_explains_itself_field_by_field(
    desk: Desk, registrar: Browser, numbers: Iterator[int]
) -> None:
    number = next(numbers)
    said = {"phone": f"137{number:08d}", "address": f"松江区荣乐东路 {number} 弄 2 号 601 室"}
    desk.arrives("sijing", f"M{number}", "Murong^Xue=慕容^雪", "1958-11-30", "F", **said)
    outcome = desk.arrives("jiuting", f"N{number}", "Murong^Xue=慕容^雪", "1958-11-30", "F", **said)
    assert outcome.linked_by == "matched-record"
    page = registrar.page(f"/identity/people/{desk.person('sijing', f'M{number}')}")
    rows = {row.th.get_text(): row for row in page.select(".log table tbody tr")}
    assert {"Family name", "Given name", "Birth date", "Telephone", "Starting point"} <= set(rows)
    assert "1958-11-30" in rows["Birth date"].get_text()
    worth = [float(row.select_one("td.num").get_text()) for row in rows.values()]
    total = float(page.select_one(".log table tfoot td.num").get_text())
    assert abs(sum(worth) - total) < 0.1 * len(worth)
