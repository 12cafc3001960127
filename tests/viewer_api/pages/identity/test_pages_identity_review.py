"""The review desk as its registrar works with it: by risk, side by side, decide, undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from bs4 import BeautifulSoup

from access_control.audit import AuditQuery
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.identity.desk import Desk, resident_number, valid_number


@pytest.fixture
def review(desk: Desk, numbers: Iterator[int]) -> tuple[int, int]:
    """A question about a borrowed card: (number of the pair, review)."""
    number = next(numbers)
    return number, desk.asks_about_a_borrowed_card(number)


def people_of(desk: Desk, number: int) -> tuple[str, str]:
    return desk.person("sijing", f"S{number}"), desk.person("jiuting", f"J{number}")


def cases(browser: Browser) -> list[str]:
    """The address of every question that waits, over all pages of the queue."""
    found, url = [], "/identity"
    while url:
        page = browser.page(url)
        found += [link["href"] for link in page.select("ol.queue a")]
        more = page.find("a", string="More")
        url = more["href"] if more else ""
    return found


def decide(browser: Browser, review_id: int, verdict: str, **more: str) -> str:
    url = f"/identity/reviews/{review_id}"
    answer = browser.send(url, verdict=verdict, **more)
    assert answer.status_code == 303
    return answer.headers["Location"]


def rows(page: BeautifulSoup) -> dict[str, str]:
    """Field → how it is shown."""
    return {row.th.get_text(strip=True): row["class"][0] for row in page.select(".versus tbody tr")}


def test_a_borrowed_card_is_shown_side_by_side_with_the_weight_of_each_field(
    registrar: Browser, review: tuple[int, int]
) -> None:
    page = registrar.page(f"/identity/reviews/{review[1]}")
    heads = [head.get_text() for head in page.select(".versus thead th b")]
    assert heads == ["赵强", "王琳"]
    shown = rows(page)
    assert shown["Family name"] == shown["Given name"] == "differs"
    assert shown["Birth date"] == shown["Resident ID number"] == "agrees"
    number = next(row for row in page.select(".versus tbody tr") if "Resident ID" in row.get_text())
    assert number.select_one(".num").get_text().startswith("+")
    assert number.select_one("rect.bar-for")
    assert "a borrowed card?" in page.select_one(".case-head").get_text()
    assert "bits" in page.select_one("tfoot").get_text()


def test_what_sounds_alike_is_shown_as_near(
    desk: Desk, registrar: Browser, numbers: Iterator[int]
) -> None:
    number = next(numbers)
    phone = f"138{number:08d}"
    desk.arrives("sijing", f"L{number}", "Ouyang^Xiu=欧阳^修", "1975-03-05", phone=phone)
    outcome = desk.arrives("jiuting", f"K{number}", "Ouyang^Xiu=欧阳^秀", "1975-03-05", phone=phone)
    assert outcome.review_id is not None
    assert rows(registrar.page(f"/identity/reviews/{outcome.review_id}"))["Given name"] == "near"


def test_the_queue_has_numbers_in_common_before_likeness(
    desk: Desk, registrar: Browser, review: tuple[int, int], numbers: Iterator[int]
) -> None:
    number = next(numbers)
    phone = f"139{number:08d}"
    desk.arrives("sijing", f"L{number}", "Shangguan^Wan=上官^婉", "1965-03-05", "F", phone=phone)
    desk.arrives("jiuting", f"K{number}", "Shangguan^Wan=上官^晚", "1965-03-05", "F", phone=phone)
    kinds = [
        "card" if "number in common" in line.get_text() else "alike"
        for line in registrar.page("/identity").select("ol.queue li")
    ]
    assert {"card", "alike"} <= set(kinds)
    assert kinds == sorted(kinds, reverse=True)


def test_linking_makes_them_one_everywhere_and_undo_makes_them_two_again(
    desk: Desk, registrar: Browser, review: tuple[int, int]
) -> None:
    number, review_id = review
    before = people_of(desk, number)
    assert before[0] != before[1]
    following = decide(registrar, review_id, "link")
    assert people_of(desk, number)[0] == people_of(desk, number)[1]
    page = registrar.page(following)
    undo = page.select_one(".done form")
    assert undo["action"] == f"/identity/reviews/{review_id}"
    assert undo.select_one("[data-key=u]")
    assert decide(registrar, review_id, "take-back").endswith("did=take-back")
    assert people_of(desk, number) == before
    assert registrar.page(f"/identity/reviews/{review_id}").select_one("[data-key=l]")


def test_who_is_kept_apart_leaves_the_queue_and_can_be_brought_back(
    registrar: Browser, review: tuple[int, int]
) -> None:
    link = f"/identity/reviews/{review[1]}"
    decide(registrar, review[1], "keep-apart", reason="two cards shown")
    assert not registrar.page("/identity").select(f'a[href="{link}"]')
    assert registrar.page("/identity?state=decided").select(f'a[href="{link}"]')
    decided = registrar.page(link)
    assert "two cards shown" in decided.get_text()
    assert "钱登记" in decided.get_text()
    assert [button["value"] for button in decided.select("form.verdicts button")] == ["take-back"]
    decide(registrar, review[1], "take-back")
    assert registrar.page("/identity").select(f'a[href="{link}"]')


def test_a_question_handed_to_the_site_waits_in_its_own_queue_and_can_still_be_decided(
    desk: Desk, registrar: Browser, review: tuple[int, int]
) -> None:
    link = f"/identity/reviews/{review[1]}"
    decide(registrar, review[1], "ask-site")
    assert not registrar.page("/identity").select(f'a[href="{link}"]')
    assert registrar.page("/identity?state=asked").select(f'a[href="{link}"]')
    decide(registrar, review[1], "link")
    assert len(set(people_of(desk, review[0]))) == 1


def test_every_decision_has_one_key_and_the_keys_are_distinct(
    registrar: Browser, review: tuple[int, int]
) -> None:
    page = registrar.page(f"/identity/reviews/{review[1]}")
    keys = [tag["data-key"] for tag in page.select("[data-key]")]
    assert {"l", "k", "s", "n"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_skipping_goes_through_the_whole_queue_and_comes_round(
    desk: Desk, registrar: Browser, numbers: Iterator[int]
) -> None:
    for _ in range(3):
        desk.asks_about_a_borrowed_card(next(numbers))
    first = place = registrar.page("/identity").select_one("ol.queue a")["href"]
    seen: list[str] = []
    while place not in seen:
        seen.append(place)
        place = registrar.page(place).select_one("[data-key=j]")["href"]
    assert place == first
    assert len(seen) == len(cases(registrar))


def test_looking_and_deciding_are_on_record_for_both_people(
    desk: Desk, registrar: Browser, review: tuple[int, int]
) -> None:
    people = people_of(desk, review[0])
    decide(registrar, review[1], "keep-apart")
    audit = desk.hub.access.audit
    for person in people:
        query = AuditQuery(resource_ids=frozenset({person}))
        found = {(one.action, one.outcome) for one in audit.search(query).records}
        assert {("review_identity", "success"), ("decide_identity", "success")} <= found
    assert audit.verify().ok


def test_a_case_that_was_decided_meanwhile_is_shown_as_it_stands(
    desk: Desk, registrar: Browser, review: tuple[int, int]
) -> None:
    decide(registrar, review[1], "keep-apart")
    assert decide(registrar, review[1], "link") == f"/identity/reviews/{review[1]}"
    assert len(set(people_of(desk, review[0]))) == 2


@pytest.mark.parametrize("verdict", ["", "merge", "linked", "LINK"])
def test_an_unknown_verdict_changes_nothing(
    desk: Desk, registrar: Browser, review: tuple[int, int], verdict: str
) -> None:
    assert decide(registrar, review[1], verdict) == f"/identity/reviews/{review[1]}"
    assert registrar.page("/identity").select(f'a[href="/identity/reviews/{review[1]}"]')


def test_a_registrar_of_another_site_sees_neither_the_question_nor_the_people(
    desk: Desk, signed_in: Callable[..., Browser], review: tuple[int, int]
) -> None:
    far = signed_in("far")
    assert far.page("/identity").select(".empty")
    assert far.get(f"/identity/reviews/{review[1]}").status_code == 404
    for person in people_of(desk, review[0]):
        assert far.get(f"/identity/people/{person}").status_code == 404


@pytest.mark.parametrize("username", ["doctor", "reader", "tech", "engineer", "boss", "auditor"])
@pytest.mark.parametrize(
    "path", ["/identity", "/identity/people?q=x", "/identity/messages", "/identity/drift"]
)
def test_the_desk_is_closed_to_everybody_else(
    signed_in: Callable[..., Browser], username: str, path: str
) -> None:
    assert signed_in(username).get(path).status_code == 404


def test_a_question_that_was_never_asked_is_not_found(registrar: Browser) -> None:
    assert registrar.get("/identity/reviews/999999").status_code == 404


def test_a_decision_sent_from_elsewhere_is_refused(
    desk: Desk, registrar: Browser, review: tuple[int, int]
) -> None:
    answer = registrar.post(f"/identity/reviews/{review[1]}", verdict="link")
    assert answer.status_code == 403
    assert len(set(people_of(desk, review[0]))) == 2


def test_the_desk_reads_chinese(signed_in: Callable[..., Browser], review: tuple[int, int]) -> None:
    page = soup(signed_in("registrar", "zh").get(f"/identity/reviews/{review[1]}"))
    assert page.h1.get_text() == "他们是同一个人吗？"
    assert "可能借用证件" in page.get_text()


def test_records_that_would_link_but_for_a_second_candidate_are_asked_about_for_that_reason(
    desk: Desk, signed_in: Callable[..., Browser], numbers: Iterator[int]
) -> None:
    number = next(numbers)
    said = {"phone": f"136{number:08d}", "address": "松江区谷阳北路 77 弄 5 号 301 室"}
    for at in range(2):
        desk.arrives(
            "sijing", f"T{number}-{at}", "Dongfang^Shuo=东方^朔", "1961-07-08",
            resident_id=resident_number_of_a_man(number, at), **said,
        )  # fmt: skip
    outcome = desk.arrives("jiuting", f"T{number}", "Dongfang^Shuo=东方^朔", "1961-07-08", **said)
    assert outcome.review_id is not None
    url = f"/identity/reviews/{outcome.review_id}"
    page = signed_in("registrar").page(url)
    assert "another person is about as close" in page.select_one(".case-head").get_text()
    assert "decision" not in page.select_one(".versus").get_text().lower()
    assert "另有他人同样接近" in signed_in("registrar", "zh").page(url).get_text()


def resident_number_of_a_man(number: int, at: int) -> str:
    return valid_number(f"31011719610708{(number % 400) * 2 + at * 2 + 1:03d}")


def test_of_numbers_in_common_those_that_contradict_most_come_first(
    desk: Desk, registrar: Browser, numbers: Iterator[int]
) -> None:
    """A borrowed card mixes two people; a mistyped day only keeps one person in two places."""
    number = next(numbers)
    mistyped = desk.arrives(
        "sijing", f"E{number}", "Puyang^Qing=濮阳^晴", "1980-01-01", "F",
        resident_id=resident_number(number),
    )  # fmt: skip
    mistyped = desk.arrives(
        "jiuting", f"F{number}", "Puyang^Qing=濮阳^晴", "1980-01-02", "F",
        resident_id=resident_number(number),
    )  # fmt: skip
    borrowed = desk.asks_about_a_borrowed_card(next(numbers))
    order = cases(registrar)
    places = [order.index(f"/identity/reviews/{one}") for one in (borrowed, mistyped.review_id)]
    assert places == sorted(places)


def test_a_long_queue_is_paged_from_end_to_end_and_back(
    desk: Desk, registrar: Browser, numbers: Iterator[int]
) -> None:
    for _ in range(52):
        desk.asks_about_a_borrowed_card(next(numbers))
    first = registrar.page("/identity")
    assert len(first.select("ol.queue li")) == 50
    everything = cases(registrar)
    assert len(everything) == len(set(everything)) > 50
    assert f"1 to 50 of {len(everything)}" in first.get_text()
    second = registrar.page(first.select_one("a[rel=next]")["href"])
    assert not first.select("a[rel=prev]")
    back = registrar.page(second.select_one("a[rel=prev]")["href"])
    shown = [link["href"] for link in back.select("ol.queue a")]
    assert shown == everything[:50]
    beyond = registrar.page("/identity?start=99999")
    assert beyond.select("ol.queue li"), "the last page, not an empty one"
