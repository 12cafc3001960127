"""Refused HL7 messages: kept, corrected, sent again, or set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from patient_index.hl7v2.exchange import Peer
from tests.viewer_api.pages.conftest import Browser, soup
from tests.viewer_api.pages.identity.desk import Desk

PEER = Peer("10.21.0.7")


@pytest.fixture
def refused(desk: Desk, numbers: Iterator[int]) -> tuple[int, int]:
    """A message with an unknown authority: (its number, the refusal)."""
    number = next(numbers)
    answered = desk.hl7.answer(message(number).encode(), PEER)
    assert answered.refusal is not None
    kept = next(one for one in desk.hl7.refused.open() if one.control_id == f"MSG{number}")
    return number, kept.refusal_id


def message(number: int, authority: str = "NOWHERE") -> str:
    return "\r".join(
        (
            f"MSH|^~\\&|HIS|SIJING|EIRHUB|HUB|20261121093015||ADT^A04|MSG{number}|P|2.5"
            "||||||UNICODE UTF-8",
            "EVN||20261121093015",
            f"PID|1||H{number}^^^{authority}||闻人^小远||19700427|M",
            "PV1||O",
            "",
        )
    )


def test_a_refused_message_is_listed_with_its_sender_and_the_reason(
    registrar: Browser, refused: tuple[int, int]
) -> None:
    row = registrar.page("/identity/messages").select_one(
        f'tr:has(a[href="/identity/messages/{refused[1]}"])'
    )
    text = row.get_text(" ", strip=True)
    assert "HIS|SIJING" in text
    assert "PID-3.4" in text
    assert "王" not in text


def test_the_wrong_place_is_marked_and_the_reason_is_in_the_readers_language(
    signed_in: Callable[..., Browser], refused: tuple[int, int]
) -> None:
    url = f"/identity/messages/{refused[1]}"
    page = signed_in("registrar").page(url)
    assert "the assigning authority is not known" in page.select_one("[role=alert]").get_text()
    (hit,) = page.select("li.hit")
    assert hit.get_text().startswith("PID|")
    assert "标识发放机构未登记" in signed_in("registrar", "zh").page(url).get_text()


def test_a_corrected_message_is_carried_out_as_if_its_sender_had_sent_it(
    desk: Desk, registrar: Browser, refused: tuple[int, int]
) -> None:
    number, message_id = refused
    url = f"/identity/messages/{message_id}"
    corrected = message(number, "SIJING").replace("\r", "\r\n")
    answer = registrar.send(url, to=f"{url}/replay", text=corrected)
    assert answer.status_code == 302
    assert desk.person("sijing", f"H{number}")
    page = registrar.page(url)
    assert "Carried out" in page.get_text()
    assert "钱登记" in page.get_text()
    assert not page.select("form[action*=replay]")
    assert not registrar.page("/identity/messages").select(f'a[href="{url}"]')
    assert registrar.page("/identity/messages?state=replayed").select(f'a[href="{url}"]')


def test_a_message_refused_again_says_why_and_keeps_what_was_typed(
    registrar: Browser, refused: tuple[int, int]
) -> None:
    url = f"/identity/messages/{refused[1]}"
    typed = message(refused[0], "SIJING").replace("19700427", "19701327").replace("\r", "\n")
    answer = registrar.send(url, to=f"{url}/replay", text=typed)
    assert answer.status_code == 422
    page = soup(answer)
    assert "PID-7" in page.select_one("[role=alert]").get_text()
    assert "19701327" in page.select_one("textarea").get_text()
    assert registrar.page("/identity/messages").select(f'a[href="{url}"]')


def test_a_message_is_set_aside_with_a_reason_and_only_with_one(
    registrar: Browser, refused: tuple[int, int]
) -> None:
    url = f"/identity/messages/{refused[1]}"
    registrar.send(url, to=f"{url}/dismiss", reason=" ")
    assert registrar.page(url).select("textarea")
    registrar.send(url, to=f"{url}/dismiss", reason="test system of the vendor")
    assert "test system of the vendor" in registrar.page(url).get_text()


def test_a_message_decided_before_is_not_decided_again(
    registrar: Browser, refused: tuple[int, int]
) -> None:
    url = f"/identity/messages/{refused[1]}"
    page = registrar.page(url)
    token = page.select_one("[name=csrf_token]")["value"]
    registrar.post(f"{url}/dismiss", csrf_token=token, reason="first")
    answer = registrar.post(f"{url}/replay", csrf_token=token, text=message(refused[0], "SIJING"))
    assert answer.status_code == 303
    assert "first" in registrar.page(url).get_text()


def test_hostile_text_in_a_message_stays_text(desk: Desk, registrar: Browser) -> None:
    evil = (
        message(0)
        .replace("闻人^小远", "</textarea><script>alert(1)</script>")
        .replace("MSG0", "EVIL")
    )
    desk.hl7.answer(evil.encode(), PEER)
    kept = next(one for one in desk.hl7.refused.open() if one.control_id == "EVIL")
    body = registrar.get(f"/identity/messages/{kept.refusal_id}").get_data(as_text=True)
    assert "<script>alert" not in body
    assert body.count("</textarea>") == 1


@pytest.mark.parametrize("username", ["local", "doctor", "auditor", "engineer"])
def test_only_who_registers_for_the_whole_region_sees_messages(
    signed_in: Callable[..., Browser], username: str, refused: tuple[int, int]
) -> None:
    browser = signed_in(username)
    assert browser.get("/identity/messages").status_code == 404
    assert browser.get(f"/identity/messages/{refused[1]}").status_code == 404


def test_a_message_that_never_came_is_not_found(registrar: Browser) -> None:
    assert registrar.get("/identity/messages/999999").status_code == 404
