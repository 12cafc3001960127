"""The person reads who looked: in plain words, counted, by the desk and by a link."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from patient_index.model import Decided
from tests.viewer_api.pages.conftest import Browser
from tests.viewer_api.pages.identity.desk import Desk
from tests.viewer_api.pages.region import CHEST_CT, SPINE_MR


def test_who_looked_is_told_in_plain_words_refusals_included(
    desk: Desk, registrar: Browser, signed_in: Callable[..., Browser]
) -> None:
    person = desk.region.person
    signed_in("doctor").page(f"/patients/{person}")
    signed_in("doctor").page(f"/studies/{CHEST_CT}/clinical")
    assert signed_in("stranger").get(f"/studies/{CHEST_CT}/clinical").status_code == 404
    page = registrar.page(f"/identity/people/{person}/accesses")
    lines = [" ".join(line.get_text(" ").split()) for line in page.select(".access-list li")]
    doctor = [line for line in lines if "陈医师 (Clinician)" in line]
    assert any("looked at the list of your examinations" in line for line in doctor)
    assert any("looked at the pictures" in line and "CT scan · Chest" in line for line in doctor)
    assert any("外院医师" in line and "nothing was shown" in line for line in lines)
    assert page.select("[data-print]")


def test_a_search_that_showed_the_person_is_among_who_looked(
    desk: Desk, registrar: Browser, signed_in: Callable[..., Browser], numbers: Iterator[int]
) -> None:
    name, found = f"S{next(numbers)}", "searched for people and saw your name and numbers"
    one, other = (
        desk.arrives(
            "sijing", f"{name}{letter}", f"Shangguan^{letter}=上官^{hanzi}", born
        ).global_id
        for letter, hanzi, born in (("Yi", "宜", "1961-01-01"), ("Tu", "图", "1992-02-02"))
    )
    signed_in("doctor").page(f"/patients?q={name}Yi")
    lines = registrar.page(f"/identity/people/{one}/accesses").select(".access-list li")
    (line,) = [one for one in lines if "陈医师" in one.get_text()]
    assert found in " ".join(line.get_text(" ").split())
    assert found not in registrar.page(f"/identity/people/{other}/accesses").get_text(" ")


def test_what_somebody_does_again_and_again_is_said_once_and_counted(
    desk: Desk, registrar: Browser, signed_in: Callable[..., Browser]
) -> None:
    for _ in range(3):
        signed_in("doctor").page(f"/patients/{desk.region.namesake}")
    page = registrar.page(f"/identity/people/{desk.region.namesake}/accesses")
    (line,) = [one for one in page.select(".access-list li") if "陈医师" in one.get_text()]
    assert "3 times" in line.select_one(".when").get_text()


def test_accesses_before_a_merge_belong_to_the_merged_person(
    desk: Desk, registrar: Browser, signed_in: Callable[..., Browser], numbers: Iterator[int]
) -> None:
    number = next(numbers)
    one = desk.arrives("sijing", f"M{number}", "Dongfang^Bai=东方^白", "1960-01-01").global_id
    other = desk.arrives("sijing", f"N{number}", "Nangong^Wen=南宫^问", "1991-02-02").global_id
    signed_in("doctor").page(f"/patients/{other}")
    desk.patients.merge(one, other, Decided("registrar", "shown"))
    page = registrar.page(f"/identity/people/{one}/accesses")
    assert "陈医师" in page.select_one(".access-list").get_text()


def test_the_link_shows_who_looked_at_its_study_and_nothing_of_the_others(
    desk: Desk, signed_in: Callable[..., Browser], link: tuple[str, str]
) -> None:
    signed_in("reader").page(f"/studies/{SPINE_MR}/diagnostic")
    signed_in("doctor").page(f"/studies/{CHEST_CT}/clinical")
    phone = Browser(desk.region)
    phone.send(f"/share/{link[0]}", passcode=link[1])
    page = phone.page(phone.page("/share/exam").select_one("a[href$=accesses]")["href"])
    text = page.select_one("main").get_text(" ")
    assert "陈医师" in text
    assert "Whoever held the link" in text
    assert "MR scan" not in text
    assert "127.0.0.1" not in text


def test_without_a_link_nobody_sees_who_looked(desk: Desk) -> None:
    assert Browser(desk.region).get("/share/exam/accesses").status_code == 404
